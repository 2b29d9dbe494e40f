"""Keeps the books: shares and found blocks into SQL, blocks followed on their chains until they are final.

Loops that never stand in the way of mining. One takes shares and solutions in (log_ingest.py, stream_ingest.py); one
per chain follows its blocks (block_following.py), so that a node that hangs delays its own chain's books only.
Every SQL call runs in the one worker thread that is handed in. Every step may be interrupted and repeated: a block's
credits, transfers and state are one transaction that looks at the block's state first. Of several processes that keep
the books of one pool, one follows its blocks.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from typing import Protocol, TypeVar

from pool.accounting.books_away import BooksAwayError
from pool.accounting.found_block import ChainTerms
from pool.services.block_following import BlockFollowing
from pool.services.followed_chain import BlockBooks, ChainAwayError, ChainView
from pool.services.log_ingest import InThread
from pool.services.vote_scan import ScanBooks, VoteScan
from pool.ticks import next_tick

log = logging.getLogger("parapool.books")

RETRY_S = 5.0
SILENT_S = 90.0
"""A call at the database that takes longer is told: its own time limits should have ended it by then."""

LEAD_S = 5.0
"""The lead is asked for so often; it lasts four times as long."""

NEWS_S = 5.0
"""Who leads asks the books so often whether anybody has found a block."""

T = TypeVar("T")


class Ingest(Protocol):
    """Where shares and solutions come from. `consumed_through`: all shares up to this sequence of this process's own
    log are in SQL, -1 before the first pass; `caught_up_ms`: when everything that was there was in SQL last.
    """

    @property
    def consumed_through(self) -> int: ...

    @property
    def caught_up_ms(self) -> int: ...

    async def step(self, in_thread: InThread, leads: bool) -> bool:
        """One pass; whether it could do anything. Errors are raised. `leads` tells whether this process is the one
        that follows the pool's blocks.
        """

    def hurry(self) -> None:
        """Somebody waits for what is durable now, such as a block for the watermark: everything at the next pass."""


class Books(BlockBooks, ScanBooks, Protocol):
    """What the books do for a pool: they follow its blocks, in one of its processes."""

    def take_lead(self, now_ms: int, lasts_ms: int) -> bool:
        """Whether this process follows the pool's blocks, for so long."""

    def newest_block(self) -> int:
        """A number that is another one when a block was added since."""


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


class Bookkeeping:
    """The service. For metrics and health: `lag_ms`, and `faults`: what cannot go on, by loop name, in words."""

    def __init__(
        self,
        ingest: Ingest,
        books: Books,
        chains: Mapping[str, ChainView],
        terms: Mapping[str, ChainTerms],
        executor: Executor,
        *,
        now_ms: Callable[[], int] = wall_ms,
        interval_s: float = 0.5,
    ) -> None:
        """`executor` has a single thread, which makes every SQL call; `chains` and `terms` have the same keys."""
        self._ingest = ingest
        self._books = books
        self._executor = executor
        self._now_ms = now_ms
        self._interval_s = interval_s
        self._following: dict[str, BlockFollowing] = {}
        self._scans: dict[str, VoteScan] = {}
        self._loops: asyncio.TaskGroup | None = None
        self._news: dict[str, asyncio.Event] = {}
        self.adopt(chains, terms)
        self._leads = False
        self._lead_asked_s: float | None = None
        self._asking_lead = asyncio.Lock()
        self._newest: int | None = None
        self._newest_asked_s = float("-inf")
        self.faults: dict[str, str] = {}
        self._without_database: set[str] = set()
        self._silent = False

    @property
    def lag_ms(self) -> int:
        """How long ago everything durable was in SQL; some seconds when all is well."""
        return max(0, self._now_ms() - self._ingest.caught_up_ms)

    @property
    def leads(self) -> bool:
        """Whether this process is the one that follows the pool's blocks."""
        return self._leads

    async def in_thread(self, call: Callable[..., T], *arguments: object) -> T:
        """Runs something else in the one thread that makes every SQL call."""
        return await self._in_thread(call, *arguments)

    @property
    def consumed_through(self) -> int:
        """All durable shares up to this sequence are in SQL; -1 before the first pass."""
        return self._ingest.consumed_through

    async def catch_up(self) -> None:
        """Brings everything durable into SQL once, e.g. at a stop when `run` was cancelled; errors are raised."""
        self._ingest.hurry()
        await self._ingest.step(self._in_thread, self._leads)

    async def run(self) -> None:
        """Until cancelled. Nothing that goes wrong ends it: it is logged once and tried again."""
        async with asyncio.TaskGroup() as group:
            self._loops = group
            group.create_task(self._repeat("shares", self._take_in, partial(next_tick, self._interval_s)))
            for chain in self._following:
                self._start(group, chain)

    def _start(self, loops: asyncio.TaskGroup, chain: str) -> None:
        loops.create_task(self._repeat(chain, partial(self._follow, chain), partial(self._rest, chain)))

    def adopt(self, chains: Mapping[str, ChainView], terms: Mapping[str, ChainTerms]) -> None:
        """Follows these chains as well, and those that it follows already by these terms. A chain that is not among
        them is followed on, by the terms that it had: its blocks are somebody's money."""
        for chain, view in chains.items():
            if chain in self._following:
                self._following[chain].terms = terms[chain]
                if chain in self._scans:
                    self._scans[chain].terms = terms[chain]
                continue
            self._following[chain] = BlockFollowing(
                chain, view, self._books, terms[chain], self._in_thread,
                hurry=self._ingest.hurry, now_ms=self._now_ms, interval_s=self._interval_s,
            )  # fmt: skip
            self._news[chain] = asyncio.Event()
            if view.votes:
                self._scans[chain] = VoteScan(
                    chain, view, self._books, terms[chain], self._in_thread, self._now_ms
                )
            if self._loops is not None:
                self._start(self._loops, chain)

    async def step(self) -> None:
        """One pass of everything, each watched block looked at once; errors are raised."""
        self._ingest.hurry()
        await self._take_in()
        for chain, following in self._following.items():
            following.look_at_all()
            if chain in self._scans:
                self._scans[chain].look_at_once()
            await self._follow(chain)

    # -- the loops ---------------------------------------------------------------------------------------------------

    async def _repeat(
        self, name: str, work: Callable[[], Awaitable[bool]], rest: Callable[[], Awaitable[None]]
    ) -> None:
        """`work` tells whether it could do anything; a pass that could not ends no outage. `rest` is between two."""
        while True:
            try:
                worked = await work()
            except Exception as error:
                if not isinstance(error, BooksAwayError):
                    self._database_answered(name)
                self._report(name, error)
                await asyncio.sleep(RETRY_S)
                continue
            self._database_answered(name)
            if worked:
                self._recovered(name)
            await rest()

    def _report(self, name: str, error: Exception) -> None:
        """One line per outage, with a traceback unless it is only a node or the database that is away.

        Every loop meets the database's outage, with one reason after the other until it is back: told once in all.
        """
        if isinstance(error, BooksAwayError):
            if not self._without_database:
                log.error("the database is away, the books wait: %s", error)
            self._without_database.add(name)
            self.faults[name] = f"the database is away: {error}"
            return
        if self.faults.get(name) == str(error):
            return
        self.faults[name] = str(error)
        if isinstance(error, ChainAwayError):
            log.warning("books wait for a node chain=%s: %s", name, error)
        else:
            log.error("books cannot go on, trying again loop=%s: %s", name, error, exc_info=error)

    def _recovered(self, name: str) -> None:
        if self.faults.pop(name, None) is not None:
            log.info("books go on loop=%s", name)

    def _database_answered(self, name: str) -> None:
        """A pass that came past the database ends its outage, also when what it met then is a node that is away."""
        if name not in self._without_database:
            return
        del self.faults[name]
        self._without_database.discard(name)
        if not self._without_database:
            log.info("the database is back, the books go on")

    def _tell_silence(self) -> None:
        if not self._silent:
            self._silent = True
            log.error("the database has not answered for %g s, the books wait", SILENT_S)

    async def _take_in(self) -> bool:
        worked = await self._ingest.step(self._in_thread, await self._is_leader())
        if self._leads and time.monotonic() - self._newest_asked_s >= NEWS_S:
            await self._look_for_blocks()
        return worked

    async def _look_for_blocks(self) -> None:
        """One question for all chains, which otherwise look only when a block of theirs is due."""
        newest = await self._in_thread(self._books.newest_block)
        self._newest_asked_s = time.monotonic()
        if newest != self._newest:
            self._newest = newest
            self._tell_news()

    def _tell_news(self) -> None:
        for chain, news in self._news.items():
            self._following[chain].look_for_more()
            news.set()

    async def _rest(self, chain: str) -> None:
        """Until a block may be due, or there is one more."""
        rest_s = self._following[chain].rest_s() if self._leads else NEWS_S
        if rest_s <= self._interval_s or chain in self._scans:
            await next_tick(self._interval_s)
            return
        news = self._news[chain]
        with suppress(TimeoutError):
            async with asyncio.timeout(rest_s):
                await news.wait()
        news.clear()

    async def _is_leader(self) -> bool:
        """Known for some seconds; while the database is away every pass asks it, and so meets it first of all."""
        if self._must_ask_lead():
            async with self._asking_lead:
                if self._must_ask_lead():  # and nobody has while we waited
                    await self._ask_lead()
        return self._leads

    def _must_ask_lead(self) -> bool:
        asked_s = self._lead_asked_s
        return bool(self._without_database) or asked_s is None or time.monotonic() - asked_s >= LEAD_S

    async def _ask_lead(self) -> None:
        now_s = time.monotonic()
        leads = await self._in_thread(self._books.take_lead, self._now_ms(), int(4 * LEAD_S * 1000))
        if leads != self._leads:
            if self._lead_asked_s is not None:
                log.info("this process now %s the pool's blocks", "follows" if leads else "leaves to another one")
            self._tell_news()
        self._leads, self._lead_asked_s = leads, now_s

    async def _follow(self, chain: str) -> bool:
        """False when no node of the chain could be asked."""
        if not await self._is_leader():
            return True
        followed = await self._following[chain].follow()
        if followed and chain in self._scans:
            await self._scans[chain].step()
        return followed

    async def _in_thread(self, call: Callable[..., T], *arguments: object) -> T:
        loop = asyncio.get_running_loop()
        silence = loop.call_later(SILENT_S, self._tell_silence)
        try:
            answer = await loop.run_in_executor(self._executor, partial(call, *arguments))
        finally:
            silence.cancel()
        if self._silent:
            self._silent = False
            log.info("the database answers again")
        return answer
