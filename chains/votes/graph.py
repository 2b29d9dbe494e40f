"""What a node knows of a chain: valid blocks, valid votes for them, and which block it prefers.

The preferred block is always the greatest of all known ones by (work, known votes for it, smaller leader vote), the
first seen among equals; votes only ever add to a block, so keeping the greatest is looking at what has just changed.
Nothing in here checks signatures, proofs or content: what is added was found valid (chains/votes/validity.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from chains.primitives.target import work_of
from chains.votes.block import SignedBlock
from chains.votes.header import BlockHeader
from chains.votes.rules import VoteRules
from chains.votes.target import block_time, vote_target
from chains.votes.vote import Vote

NO_LEADER = 2**256
"""The leader's size of genesis, which no vote leads: larger than every hash."""


@dataclass(eq=False, slots=True)
class KnownBlock:
    """One valid block and what follows from its ancestors. `target` is for votes on this block, `leader` the size of
    its smallest vote, `votes` the known votes *for* it in the order they were seen, `children` its known successors."""

    id: bytes
    header: BlockHeader
    block: SignedBlock | None  # None: genesis
    body: bytes
    previous: KnownBlock | None
    work: int
    time_s: int
    anchor_time_s: int
    target: int
    leader: int
    votes: dict[bytes, Vote] = field(default_factory=dict)
    children: list[KnownBlock] = field(default_factory=list)

    @property
    def height(self) -> int:
        return self.header.height

    def rank(self) -> tuple[int, int, int]:
        """What preference compares; greater is better."""
        return (self.work, len(self.votes), -self.leader)

    def included(self) -> list[Vote]:
        """The votes in this block, leader's first; none in genesis."""
        if self.block is None or self.previous is None:
            return []
        return [self.previous.votes[vote] for vote in self.block.votes]


class VoteGraph:
    """All that is known, from genesis on. `best` is the preferred block."""

    def __init__(self, rules: VoteRules) -> None:
        self.rules = rules
        header = rules.genesis
        target = vote_target(rules, 0, 0, 0)
        self.genesis = KnownBlock(header.id, header, None, b"", None, 0, 0, 0, target, NO_LEADER)
        self.best = self.genesis
        self.blocks: dict[bytes, KnownBlock] = {self.genesis.id: self.genesis}
        self._previous_of_vote: dict[bytes, KnownBlock] = {}

    def vote(self, vote_id: bytes) -> Vote | None:
        block = self._previous_of_vote.get(vote_id)
        return None if block is None else block.votes[vote_id]

    def add_vote(self, vote: Vote) -> bool:
        """A valid vote for a known block. Whether it was new."""
        if vote.id in self._previous_of_vote:
            return False
        block = self.blocks[vote.previous]
        block.votes[vote.id] = vote
        self._previous_of_vote[vote.id] = block
        self._consider(block)
        return True

    def add_block(self, block: SignedBlock, votes: Mapping[bytes, Vote], body: bytes) -> KnownBlock:
        """A valid block whose predecessor is known; `votes` are those it includes, which may be new here too: they
        count as votes for its predecessor, and so for its siblings' standing."""
        previous = self.blocks[block.header.previous]
        for vote in block.votes:
            self.add_vote(votes[vote])
        time_s = block_time([votes[vote].time_s for vote in block.votes], previous.time_s)
        height = block.header.height
        anchor = time_s if height == 1 else previous.anchor_time_s
        known = KnownBlock(
            id=block.header.id,
            header=block.header,
            block=block,
            body=body,
            previous=previous,
            work=previous.work + self.rules.k * work_of(previous.target),
            time_s=time_s,
            anchor_time_s=anchor,
            target=vote_target(self.rules, height, time_s, anchor),
            leader=int.from_bytes(block.votes[0], "little"),
        )
        self.blocks[known.id] = known
        previous.children.append(known)
        self._consider(known)
        return known

    def drop_votes(self, block: KnownBlock) -> list[bytes]:
        """Forget the votes for a block that no known block includes; their ids."""
        kept = {vote for child in block.children if child.block is not None for vote in child.block.votes}
        gone = [vote for vote in block.votes if vote not in kept]
        for vote in gone:
            del block.votes[vote], self._previous_of_vote[vote]
        return gone

    def proposals(self, previous: KnownBlock, leader_vote: bytes) -> int:
        """How many blocks with this leader vote are known: more than one is an equivocation."""
        size = int.from_bytes(leader_vote, "little")
        return sum(child.leader == size for child in previous.children)

    def would_be_best(self, previous: KnownBlock, leader: int) -> bool:
        """Whether a new block after `previous`, led by a vote of this size, would become the preferred one."""
        work = previous.work + self.rules.k * work_of(previous.target)
        return (work, 0, -leader) > self.best.rank()

    def path_from_best(self) -> Iterator[KnownBlock]:
        """The preferred chain, newest first, down to genesis."""
        block: KnownBlock | None = self.best
        while block is not None:
            yield block
            block = block.previous

    def fork(self, one: KnownBlock, other: KnownBlock) -> KnownBlock:
        """The last common ancestor."""
        while one is not other:
            if one.height >= other.height and one.previous is not None:
                one = one.previous
            elif other.previous is not None:
                other = other.previous
        return one

    def _consider(self, block: KnownBlock) -> None:
        if block is not self.best and block.rank() > self.best.rank():
            self.best = block
