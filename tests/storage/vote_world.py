"""The books over a chain whose blocks pay votes, which one can move by hand: `Votes` in place of the chain beta."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bookkeeping_world import World
from sqlalchemy import select
from storage_samples import block_hash_hex, make_route

from chains.kind import BlockIncome, BlockStatus, Inclusion, PaidVote
from pool.storage.tables import blocks

CHAIN = "beta"
ANNA = make_route("anna", beta="anna-beta")


@dataclass(frozen=True)
class Block:
    """A block of votes: their numbers in its order with what each earns."""

    hash_hex: str
    votes: tuple[tuple[int, int], ...]


class Votes:
    """A chain of votes as a synced node shows it: the main chain's blocks by height. `known` are votes that the node
    has heard of, with the height of the blocks that can have them; those of `foreign` do not pay us."""

    votes = True

    def __init__(self) -> None:
        self.main: dict[int, Block] = {}
        self.known: dict[int, int] = {}
        self.foreign: set[int] = set()
        self.synced = True
        self.away = False
        self.asked: list[str] = []
        self._number = 0

    @property
    def tip_height(self) -> int:
        return max(self.main, default=0)

    def connect(self, name: str, height: int, *votes: tuple[int, int]) -> None:
        """A block is the tip at a height; those that were there and above leave."""
        for above in [at for at in self.main if at >= height]:
            del self.main[above]
        self.main[height] = Block(name.ljust(64, "0"), votes)
        self.known |= {number: height for number, _ in votes}

    def advance(self, count: int) -> None:
        for _ in range(count):
            self._number += 1
            self.connect(f"e{self._number}", self.tip_height + 1)

    async def block_status(self, hash_hex: str) -> BlockStatus:
        self._ask(hash_hex)
        number = int(hash_hex, 16)
        if number not in self.known:
            return BlockStatus(False)
        for height, block in self.main.items():
            for index, (vote, amount) in enumerate(block.votes):
                if vote == number:
                    pays = 0 if number in self.foreign else amount
                    confirmations = self.tip_height - height + 1
                    return BlockStatus(True, confirmations, height, Inclusion(block.hash_hex, index, pays))
        waits = self.known[number] == self.tip_height + 1
        return BlockStatus(True, 0 if waits else -1, self.known[number])

    async def block_reward(self, hash_hex: str) -> int:
        raise AssertionError("a vote's status tells what it earns")

    async def income_at(self, height: int) -> BlockIncome | None:
        self._ask(str(height))
        block = self.main.get(height)
        if block is None:
            return None
        ours = [
            PaidVote(index, block_hash_hex(number), amount)
            for index, (number, amount) in enumerate(block.votes)
            if number not in self.foreign
        ]
        return BlockIncome(block.hash_hex, height, tuple(ours))

    def _ask(self, what: str) -> None:
        if self.away:
            raise ConnectionError("node is away")
        self.asked.append(what)


class VoteWorld(World):
    """`vote` finds one; `rows` tells what the books have of one."""

    def __init__(self, folder: Path, url: str) -> None:
        super().__init__(folder, url)
        self.chain = Votes()
        self.chains[CHAIN] = self.chain  # type: ignore[assignment]
        self.restart()
        self._sequence = 0

    def vote(self, number: int, height: int, state: str | None = "accepted") -> None:
        """A share is a vote for a block at this height."""
        self._sequence += 1
        self.chain.known.setdefault(number, height)
        self.solve(CHAIN, number, self._sequence, ANNA, state, height=height)

    def rows(self, number: int) -> list[tuple[str, str, str | None, int, int | None]]:
        """(name, state, block, index, reward) of a vote's rows, the first one first."""
        vote = block_hash_hex(number)
        with self.database.read() as connection:
            found = connection.execute(select(blocks).where(blocks.c.chain == CHAIN).order_by(blocks.c.id))
            return [
                (row.hash_hex[len(vote) :], row.state, _short(row.container_hash_hex), row.event_index, row.reward)
                for row in found
                if row.hash_hex.startswith(vote)
            ]

    def states(self, *numbers: int) -> list[str]:
        """The state of each vote's rows."""
        return [" ".join(row[1] for row in self.rows(number)) for number in numbers]


def _short(name: str | None) -> str | None:
    return None if name is None else name.rstrip("0")
