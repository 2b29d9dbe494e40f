"""A chain whose blocks are made of votes: which of ours a block has, where, and for how much, chance decides per block.

Whoever makes a block of a height chooses among the votes for its predecessor, so the same vote is in one block here, at
another index there, and in none elsewhere.
"""

from __future__ import annotations

from random import Random

from sim_chain import SimChain, SimNode

from chains.kind import BlockIncome, BlockStatus, Inclusion, PaidVote


class SimVoteChain(SimChain):
    """`votes` are ours that somebody has heard, with the block that they are for; `contents` are the votes of a block
    in their order, None where it is somebody else's, each with what it earns."""

    def __init__(self, name: str, random: Random, maturity: int) -> None:
        self.votes: dict[str, str] = {}
        self.contents: dict[str, tuple[tuple[str | None, int], ...]] = {}
        self._chance = Random(random.getrandbits(32))
        super().__init__(name, random, maturity)

    def hear(self, vote: str, parent: str) -> None:
        self.votes.setdefault(vote, parent)

    def add(self, hash_hex: str, parent: str | None) -> None:
        if hash_hex not in self.paths:
            self.contents[hash_hex] = self._choose(parent)
        super().add(hash_hex, parent)

    def place(self, vote: str) -> tuple[str, int] | None:
        """(block, index) in the best chain."""
        parent = self.votes.get(vote)
        return None if parent is None else place_in(self, self.main, vote, parent)

    def pays(self, container: str, index: int) -> int:
        return self.contents[container][index][1]

    def _choose(self, parent: str | None) -> tuple[tuple[str | None, int], ...]:
        chance = self._chance
        ours = [vote for vote, voted in self.votes.items() if voted == parent and chance.random() < 0.75]
        votes: list[str | None] = [*ours, *([None] * chance.randint(0, 2))]
        chance.shuffle(votes)
        part = chance.choice((0, 1, 333, 625_000_000))
        rest = chance.choice((0, 0, 1, 2, 7, 12_345))
        return tuple((vote, part + (0 if index else rest)) for index, vote in enumerate(votes))


def place_in(chain: SimVoteChain, main: tuple[str, ...], vote: str, parent: str) -> tuple[str, int] | None:
    """Where a vote is in this chain, which may be the one that a node knows."""
    height = chain.height_of(parent) + 1
    if height > len(main) or main[height - 2] != parent:
        return None
    container = main[height - 1]
    for index, (one, _) in enumerate(chain.contents[container]):
        if one == vote:
            return container, index
    return None


class SimVoteNode(SimNode):
    """A node of such a chain."""

    _chain: SimVoteChain

    def __init__(self, name: str, chain: SimVoteChain, random: Random, faults: object) -> None:
        super().__init__(name, chain, random, faults)  # type: ignore[arg-type]
        self.heard = dict(chain.votes)

    def sync(self) -> None:
        super().sync()
        if not (self.manners.away or self.manners.lagging):
            self.heard = dict(self._chain.votes)

    async def block_reward(self, hash_hex: str) -> int:
        raise AssertionError("a vote's status tells what it earns")

    async def income_at(self, height: int) -> BlockIncome | None:
        await self._ask("income")
        answer = None
        if height <= len(self.view):
            container = self.view[height - 1]
            votes = enumerate(self._chain.contents[container])
            paid = tuple(PaidVote(index, vote, amount) for index, (vote, amount) in votes if vote is not None)
            answer = BlockIncome(container, height, paid)
        await self._reply("income")
        return answer

    def _status(self, hash_hex: str) -> BlockStatus:
        parent = self.heard.get(hash_hex)
        if parent is None or self.manners.denies:
            return BlockStatus(False)
        height = self._chain.height_of(parent) + 1
        place = place_in(self._chain, self.view, hash_hex, parent)
        if place is None:
            return BlockStatus(True, 0 if self.view[-1] == parent else -1, height)
        inclusion = Inclusion(*place, self._chain.pays(*place))
        return BlockStatus(True, len(self.view) - height + 1, height, inclusion)
