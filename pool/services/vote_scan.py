"""Compares what a chain's blocks pay our votes with the books: every block of its main chain, whoever led it.

The books follow each vote that they know. This finds income that they do not know of, and what they hold otherwise than
the chain: told in the log, and given to nobody, as nothing tells whose it is. It works some blocks at a time, behind
the tip by `DEPTH`, goes on where it was after a restart, and goes back when the chain has changed below it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from chains.kind import BlockIncome, PaidVote
from pool.accounting.found_block import ChainTerms, FoundBlock, Place
from pool.services.followed_chain import ChainView, ask
from pool.services.log_ingest import InThread

log = logging.getLogger("parapool.books")

DEPTH = 6
"""Blocks on top of one that is compared, where the maturity is not less: above, the books may be about to see it."""

BLOCKS_A_STEP = 20
STEP_MS = 10_000

BACK = 100
"""So many blocks at least are compared again when the chain has changed below."""

PATIENCE_MS = 180_000
"""A block is compared again and again for so long before anything is told of it: votes that a deep reorganisation moved
are booked meanwhile. All blocks of a step wait at the same time."""

DRAINED_MS = 60_000
"""How much later than the first sight of a vote every front end must have told all that it knew."""


class ScanBooks(Protocol):
    """The books in SQL, synchronous."""

    def scanned(self, chain: str) -> tuple[int, str] | None:
        """Height and hash of the last block compared; the hash is empty where it is not known."""

    def set_scanned(self, chain: str, height: int, hash_hex: str) -> None: ...

    def lowest_height(self, chain: str) -> int | None: ...

    def vote_rows(self, chain: str, votes: list[str]) -> list[FoundBlock]: ...

    def watch_again(self, block: FoundBlock, now_ms: int) -> None: ...

    def drained_ms(self) -> int | None:
        """The time up to which everything of all front ends is in the books."""


@dataclass(slots=True)
class Doubt:
    """A block that does not agree with the books: since when, and whether that is told already."""

    height: int
    since_ms: int
    told: bool = False


class VoteScan:
    """One chain's. `terms` may be changed at any time."""

    def __init__(
        self, chain: str, view: ChainView, books: ScanBooks, terms: ChainTerms, in_thread: InThread,
        now_ms: Callable[[], int],
    ) -> None:  # fmt: skip
        self._chain = chain
        self._view = view
        self._books = books
        self.terms = terms
        self._in_thread = in_thread
        self._now_ms = now_ms
        self._doubts: dict[str, Doubt] = {}
        self._next_ms = 0

    def look_at_once(self) -> None:
        """Makes the next step due."""
        self._next_ms = 0

    async def step(self) -> None:
        """Compares the next blocks, if it is time. Raises ChainAwayError and what the books raise."""
        now_ms = self._now_ms()
        tip = self._view.tip_height
        if not self._view.synced or tip is None or 0 < self._next_ms - now_ms <= STEP_MS:
            return
        self._next_ms = now_ms + STEP_MS
        last = tip - min(DEPTH, self.terms.maturity)
        height = await self._start(tip, last)
        end = min(last, height + BLOCKS_A_STEP)
        done: BlockIncome | None = None
        waits = False
        for at in range(height + 1, end + 1):
            income = await ask(self._chain, self._view.income_at(at))
            if income is None:
                break
            waits = not await self._agrees(income) or waits
            done = done if waits else income
        if done is not None:
            self._doubts = {name: doubt for name, doubt in self._doubts.items() if doubt.height > done.height}
            await self._in_thread(self._books.set_scanned, self._chain, done.height, done.hash_hex)
            if done.height == end < last:
                self._next_ms = 0

    async def _start(self, tip: int, last: int) -> int:
        """The height up to which everything is compared already."""
        scanned = await self._in_thread(self._books.scanned, self._chain)
        if scanned is None:
            lowest = await self._in_thread(self._books.lowest_height, self._chain)
            height = max(0, last if lowest is None else min(last, lowest - 1))
            await self._in_thread(self._books.set_scanned, self._chain, height, "")
            return height
        height, hash_hex = scanned
        if not hash_hex or height > tip:
            return int(height)
        income = await ask(self._chain, self._view.income_at(height))
        if income is not None and income.hash_hex != hash_hex:
            height = max(0, height - max(BACK, 2 * self.terms.maturity))
            await self._in_thread(self._books.set_scanned, self._chain, height, "")
            log.info("the chain has changed, votes are compared again chain=%s from=%d", self._chain, height + 1)
        return int(height)

    async def _agrees(self, income: BlockIncome) -> bool:
        """Whether a block is done with: the books have its votes as it has them, or it has been told that they do
        not."""
        votes = [vote.hash_hex for vote in income.votes]
        rows: list[FoundBlock] = await self._in_thread(self._books.vote_rows, self._chain, votes) if votes else []
        by_vote: dict[str, list[FoundBlock]] = {vote: [] for vote in votes}
        for row in rows:
            by_vote[row.solve_hex].append(row)
        unknown = [vote for vote in income.votes if not by_vote[vote.hash_hex]]
        other = []
        for vote in income.votes:
            known = by_vote[vote.hash_hex]
            if known and not await self._is_booked(vote, Place(income.hash_hex, vote.event_index), known):
                other.append(vote)
        if not unknown and not other:
            self._doubts.pop(income.hash_hex, None)
            return True
        doubt = self._doubts.setdefault(income.hash_hex, Doubt(income.height, self._now_ms()))
        if doubt.told:
            return True
        if not await self._is_certain(doubt):
            return False
        doubt.told = True
        if unknown:
            log.error(
                "votes that the books do not know pay the pool, nobody is credited chain=%s height=%d block=%s"
                " votes=%d amount=%d first=%s",
                self._chain, income.height, income.hash_hex, len(unknown), sum(vote.amount for vote in unknown),
                unknown[0].hash_hex,
            )  # fmt: skip
        for vote in other:
            log.error(
                "a vote is in the books otherwise than in its chain chain=%s height=%d block=%s index=%d vote=%s"
                " amount=%d",
                self._chain, income.height, income.hash_hex, vote.event_index, vote.hash_hex, vote.amount,
            )  # fmt: skip
        return True

    async def _is_booked(self, vote: PaidVote, place: Place, known: list[FoundBlock]) -> bool:
        """Whether the books have a vote in its place, or will: what is watched is followed there."""
        for row in known:
            if row.place == place and row.state in ("immature", "mature"):
                return row.reward == vote.amount
        if any(row.state == "mature" for row in known):
            return False
        if not any(row.watched for row in known):
            row = next((row for row in known if row.place == place), known[0])
            log.warning(
                "a vote that was given up is in a block after all, watched again chain=%s height=%d vote=%s",
                self._chain, row.height, vote.hash_hex,
            )  # fmt: skip
            await self._in_thread(self._books.watch_again, row, self._now_ms())
        return True

    async def _is_certain(self, doubt: Doubt) -> bool:
        """Whether a block has disagreed for long enough, and all that front ends knew by then is in the books."""
        now_ms = self._now_ms()
        doubt.since_ms = min(doubt.since_ms, now_ms)  # of a clock that was put back
        if now_ms - doubt.since_ms < PATIENCE_MS:
            return False
        drained_ms = await self._in_thread(self._books.drained_ms)
        return drained_ms is None or drained_ms >= doubt.since_ms + DRAINED_MS
