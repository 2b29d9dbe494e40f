"""One run of the books where the blocks of one chain are made of votes: siblings take the same votes at other indexes,
branches that were left win again, and late votes are in no block.
"""

from __future__ import annotations

from typing import Any

from books_run import ACTIONS, BooksReport, BooksRun, run_books
from sim_chain import look
from sim_oracle import Reading
from sim_votes import SimVoteChain
from votes_oracle import check_places, check_votes

from pool.blocks.solution_store import SolutionRecord

VOTING = frozenset({"aux"})


class VotesRun(BooksRun):
    """Several votes are found for one block, and none of them is one."""

    actions = ACTIONS | {"reorganise": 8, "solve": 7}
    settling = 4  # what leaves and what comes instead are two passes, and final votes leave before

    async def settle(self) -> Reading:
        reading = await super().settle()
        check_votes(self.model, reading, self.world.chains)
        return reading

    def _check(self) -> Reading:
        reading = super()._check()
        check_places(reading)
        return reading

    async def _solve(self) -> None:
        for _ in range(self.random.choice((1, 2, 4))):
            await super()._solve()
        if self.random.random() < 0.7:
            self.world.chains["aux"].grow(1)
            look(self.world.watched["aux"])

    async def _reorganise(self) -> None:
        """Mostly just so deep that a block with votes of ours leaves for a sibling, which may have them too."""
        name = "aux"
        chain = self.world.chains[name]
        assert isinstance(chain, SimVoteChain)
        holding = [place for place in map(chain.place, chain.votes) if place is not None]
        depths = sorted({chain.height - chain.height_of(container) + 1 for container, _ in holding})
        depths = [depth for depth in depths if depth <= chain.maturity + 2]
        if not depths or self.random.random() < 0.2:
            await super()._reorganise()
            return
        chain.reorganise(self.random.choice(depths))
        look(self.world.watched[name])
        if self.random.random() < 0.5:
            await self.world.sleep(9.0)
            if self.random.random() < 0.5:
                chain.return_to_abandoned(chain.maturity + 2)
                look(self.world.watched[name])

    def _deliver(self, record: SolutionRecord) -> None:
        chain = self.world.chains[record.chain]
        if isinstance(chain, SimVoteChain):
            chain.hear(record.block_hash_hex, self._parents[record.chain, record.block_hash_hex])
        else:
            super()._deliver(record)


def run_votes(seed: int, **options: Any) -> BooksReport:
    """Plays a seed, as run_books."""
    return run_books(seed, voting=VOTING, director=VotesRun, **options)
