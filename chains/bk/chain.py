"""One B_k chain as a node knows it: the graph of votes and blocks, and the accounts along its preferred chain."""

from __future__ import annotations

from dataclasses import dataclass

from chains.accounts.ledger import Accounts, LedgerBlock, LedgerUndo
from chains.accounts.mempool import Mempool
from chains.accounts.transfer import Transfer
from chains.accounts.wallet import address_format
from chains.bk.content import EMPTY_BODY, EMPTY_ROOT, body_of, body_problem, ledger_block, root_of
from chains.bk.parameters import BkParameters
from chains.votes.content import BuiltContent, ContentLimits
from chains.votes.graph import KnownBlock, VoteGraph
from chains.walk.walk import Moved, Outcome, Step, Walk

ADDRESS_PREFIX = "bk"
FEE_RATE = 1000
"""Smallest units that relaying 1000 bytes of transfer costs."""


@dataclass(frozen=True, slots=True)
class VotePlace:
    """Where a vote is paid on the preferred chain: the block, its index there (0 leads), and what it earns."""

    block: KnownBlock
    index: int
    amount: int


class BkChain:
    """Also the kind's content: what leaders put into blocks, and what may be in them. The accounts follow `graph.best`
    whenever `follow` is called; nothing in them can make a block invalid."""

    def __init__(self, parameters: BkParameters) -> None:
        self.parameters = parameters
        self.rules = parameters.rules()
        self.graph = VoteGraph(self.rules)
        self.limits = ContentLimits(parameters.body_bytes)
        self.accounts = Accounts(self.graph.genesis.id, parameters.maturity_blocks)
        self.addresses = address_format(ADDRESS_PREFIX)
        self.mempool = Mempool(self.accounts, FEE_RATE)
        self.walk: Walk[LedgerBlock, LedgerUndo] = Walk(self.accounts, self.graph.genesis.id)

    # -- content ----------------------------------------------------------------------------------------------------

    def build(self, previous: bytes) -> BuiltContent:
        """What waits, if the accounts stand at `previous`; nothing for another block, where it may not be payable."""
        waiting: tuple[Transfer, ...] = ()
        if previous == self.walk.tip and len(self.mempool):
            waiting = self.mempool.choose(self.limits.body_bytes * 9 // 10)
        if not waiting:
            return BuiltContent(EMPTY_ROOT, EMPTY_BODY)
        transfers = [one.serialize() for one in waiting]
        return BuiltContent(root_of(transfers), body_of(transfers))

    def check(self, root: bytes, body: bytes) -> str | None:
        return body_problem(root, body)

    def forget_late(self, block_id: bytes, depth: int) -> list[bytes]:
        """When a block was connected: forget the votes that no block can include any more, those for blocks that are
        now just below `depth`. Their ids."""
        deep: KnownBlock | None = self.graph.blocks[block_id]
        for _ in range(depth + 1):
            deep = None if deep is None else deep.previous
        if deep is None:
            return []
        siblings = [deep] if deep.previous is None else deep.previous.children
        return [vote for one in siblings for vote in self.graph.drop_votes(one)]

    # -- accounts ---------------------------------------------------------------------------------------------------

    def follow(self) -> Moved[LedgerBlock] | None:
        """Bring the accounts to the preferred block; what that undid and did, None when they were there."""
        best = self.graph.best
        if best.id == self.walk.tip:
            return None
        fork = self.graph.fork(best, self.graph.blocks[self.walk.tip])
        steps: list[Step[LedgerBlock]] = []
        block = best
        while block is not fork:
            steps.append(Step(block.id, ledger_block(block, self.rules.k, self.parameters.subsidy)))
            assert block.previous is not None, "every block descends from genesis"
            block = block.previous
        moved = self.walk.move(fork.id, steps[::-1])
        back = [one for done in moved.undone if done.record is not None for one in done.record.transfers]
        if back or len(self.mempool):
            self.mempool.follow(back)
        return moved

    def is_preferred(self, block: KnownBlock) -> bool:
        """Whether a block is on the preferred chain, as far as the accounts have followed it."""
        return block.id in self.walk

    def block_at(self, height: int) -> KnownBlock:
        """The preferred chain's block of a height from 0 to `height`. Raises IndexError."""
        if not 0 <= height <= len(self.walk):
            raise IndexError(height)
        return self.graph.genesis if height == 0 else self.graph.blocks[self.walk.steps_since(height - 1)[0].id]

    def block_names(self, height: int) -> dict[str, bytes]:
        """What that block is known by."""
        return {"block": self.block_at(height).id}

    @property
    def height(self) -> int:
        return len(self.walk)

    def fees(self, block: KnownBlock) -> int:
        """What a preferred block's transfers paid its leader: those that were applied."""
        done = self.walk.get(block.id)
        if done is None or done.record is None or done.outcome is not Outcome.APPLIED:
            return 0
        ignored = {transfer_id for transfer_id, _ in done.ignored}
        chain_id = self.accounts.chain_id
        return sum(one.fee for one in done.record.transfers if one.id_on(chain_id) not in ignored)

    def amounts(self, block: KnownBlock) -> tuple[int, ...]:
        """What each vote in a preferred block earned, the leader's first with remainder and fees; all 0 if the accounts
        ignored the block."""
        done = self.walk.get(block.id)
        if done is None or done.record is None or done.outcome is not Outcome.APPLIED:
            return (0,) * (0 if block.block is None else len(block.block.votes))
        first, *others = (paid.amount for paid in done.record.rewards)
        return (first + self.fees(block), *others)

    def place_of(self, vote_id: bytes) -> VotePlace | None:
        """Where a vote is on the preferred chain; None when it is in none of its blocks."""
        vote = self.graph.vote(vote_id)
        if vote is None:
            return None
        for child in self.graph.blocks[vote.previous].children:
            if child.block is not None and vote_id in child.block.votes and self.is_preferred(child):
                index = child.block.votes.index(vote_id)
                return VotePlace(child, index, self.amounts(child)[index])
        return None
