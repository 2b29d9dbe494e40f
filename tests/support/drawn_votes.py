"""The owner of a leader key whose votes are drawn instead of mined: the rules see no difference."""

from __future__ import annotations

import random

from chains.bk.chain import BkChain
from chains.bk.messages import Offer
from chains.votes.attempt import attempt
from chains.votes.graph import KnownBlock
from chains.votes.vote import Vote, make_vote
from pool.simulation.bk_miner import DrawingMiner, read_drawn


class Leader(DrawingMiner):
    def __init__(self, number: int, seed: int = 0) -> None:
        super().__init__(number, random.Random(1000 * seed + number))

    def vote(self, chain: BkChain, block: KnownBlock, time_s: int) -> Vote:
        """A vote for a block, that the chain has not heard of yet."""
        return make_vote(*self.draw(block, chain.rules, time_s), chain.rules, read_drawn)

    def proposal(self, chain: BkChain) -> Offer | None:
        """What this leader may sign now, signed."""
        found = attempt(chain.graph, self.key)
        return None if found is None else self.signed(*found, chain.build(found[0].id), chain.rules)
