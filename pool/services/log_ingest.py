"""Brings this process's own share log and found blocks into the books: the way of a pool without a transport.

Everything may be interrupted and repeated: the position moves in the shares' transaction, and a solution stays on disk
until its row is committed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Protocol

from pool.accounting.found_block import BlockState
from pool.blocks.solution_store import ClosedSolution, SolutionRecord
from pool.progress import in_log
from pool.shares.record import Position, ShareRun
from pool.shares.watermark import Watermark

log = logging.getLogger("parapool.books")

BATCH_SHARES = 5000
"""Stored in one transaction, which takes some 30 ms: no other writer waits for longer, and no page is written twice for
less."""

STORE_S = 4.0
"""While nobody waits for them, shares are stored so often: a commit costs as much as hundreds of shares."""

TOLD_BEHIND_S = 10
"""Catching up is told of from here on; a busy pool that keeps up is not."""
TRIM_S = 60.0
MARK_S = 4.0
"""A log tells so often how far it is drained; a block that waits for it is told at the next pass."""

BLOCK_STATES: Mapping[str, BlockState] = {"accepted": "submitted", "unknown": "submitted", "rejected": "rejected"}
"""A submission's answer is not yet a block's place in the chain: only `rejected` is worth a state of its own."""

InThread = Callable[..., Awaitable[Any]]
"""Runs a function in the thread that makes every SQL call."""


class ShareSource(Protocol):
    """The share log's reading side."""

    @property
    def appended_sequence(self) -> int: ...

    @property
    def durable_sequence(self) -> int: ...

    def read_run(self, position: Position, limit: int) -> ShareRun | None: ...

    def trim(self, position: Position) -> int: ...


class SolutionSource(Protocol):
    """The solution store's side towards the books. `changes` is another number after each solution or outcome that was
    added; None when it cannot tell, as another process adds them."""

    @property
    def changes(self) -> int | None: ...

    def open_names(self) -> set[tuple[str, str]]: ...

    def open_record(self, chain: str, block_hash_hex: str) -> SolutionRecord | None: ...

    def closed_solutions(self) -> Iterator[ClosedSolution]: ...

    def booked(self, chain: str, block_hash_hex: str) -> None: ...


class LogBooks(Protocol):
    """The books of one share log, synchronous; each call is one transaction and may be repeated."""

    def position(self) -> tuple[Position, int]: ...

    def store_shares(self, batch: ShareRun, position: Position, now_ms: int) -> int: ...

    def drain(self, watermark: Watermark, now_ms: int) -> None: ...

    def book_solution(self, record: SolutionRecord, state: BlockState, reason: str, now_ms: int) -> None: ...


class DrainClock:
    """Finds a log's watermark. A moment is taken while the loop is between two submissions: what was received before it
    is appended by then. Once all of that is durable and has been read, nothing from before the moment can still come.
    """

    def __init__(self, shares: ShareSource, now_ms: Callable[[], int]) -> None:
        self._shares = shares
        self._now_ms = now_ms
        self._moment: Watermark | None = None
        self._reached_ms = 0

    def before_reading(self) -> Watermark:
        """What will be the watermark when everything durable now has been read. On the loop's thread."""
        if self._moment is None:
            self._moment = Watermark(self._shares.appended_sequence, self._now_ms())
        durable = self._shares.durable_sequence
        if durable >= self._moment.sequence:
            self._reached_ms, self._moment = self._moment.time_ms, None
        return Watermark(durable, self._reached_ms)


class LogIngest:
    """One consumer of one log. `consumed_through` and `caught_up_ms` are plain attributes for metrics and health."""

    def __init__(
        self, shares: ShareSource, solutions: SolutionSource, books: LogBooks, now_ms: Callable[[], int]
    ) -> None:
        self._shares = shares
        self._solutions = solutions
        self._books = books
        self._now_ms = now_ms
        self._clock = DrainClock(shares, now_ms)
        self._position: Position | None = None
        self._read_to_ms = self._read_to_sequence = 0
        self._known_open: set[tuple[str, str]] = set()
        self._known_changes: int | None = None
        self._trimmed_s = 0.0
        self._stored_s: float | None = None
        self._marked_s: float | None = None
        self.consumed_through = -1
        self.caught_up_ms = now_ms()

    def hurry(self) -> None:
        """Somebody waits for shares or for the watermark: both are written at the next pass."""
        self._stored_s = self._marked_s = None

    async def step(self, in_thread: InThread, leads: bool) -> bool:
        """Brings what is durable now into the books, when it is time: each process its own log, whoever leads. Found
        blocks are looked for at every pass, and one that is new is no reason to wait.

        The log is drained only when found blocks are in, too: a record may bring its solving share, which a crash took
        from the log, and other blocks' windows must not be computed without it."""
        now_ms = self._now_ms()
        watermark = self._clock.before_reading()
        if not self._is_due():
            if not await self._has_news(in_thread):
                return True
            self.hurry()
        self._stored_s = time.monotonic()
        stored = 0
        try:
            with in_log("share log into the books", log) as progress:
                while self._read_to_sequence < watermark.sequence and (count := await in_thread(self._consume_run)):
                    stored += count
                    behind_s = (self._now_ms() - self._read_to_ms) // 1000
                    if behind_s >= TOLD_BEHIND_S:
                        progress.tell(f"shares stored, {behind_s:,} s behind", stored)
            await in_thread(self._learn_of_solutions)
            if self._marked_s is None or time.monotonic() - self._marked_s >= MARK_S:
                await in_thread(self._books.drain, watermark, now_ms)
                self._marked_s = time.monotonic()
        except BaseException:
            self.hurry()
            self._read_to_sequence = 0
            raise
        self.consumed_through = watermark.sequence
        self.caught_up_ms = now_ms
        if time.monotonic() - self._trimmed_s > TRIM_S and self._position is not None:
            self._trimmed_s = time.monotonic()
            await in_thread(self._shares.trim, self._position)
        return True

    def _is_due(self) -> bool:
        return self._stored_s is None or time.monotonic() - self._stored_s >= STORE_S

    async def _has_news(self, in_thread: InThread) -> bool:
        """Whether there may be a found block, or an outcome, that the books do not have."""
        if self._solutions.changes is not None:
            return self._solutions.changes != self._known_changes
        found: bool = await in_thread(self._has_new_solutions)
        return found

    def _has_new_solutions(self) -> bool:
        return self._solutions.open_names() != self._known_open or any(self._solutions.closed_solutions())

    def _consume_run(self) -> int:
        if self._position is None:
            self._position, _ = self._books.position()
        run = self._shares.read_run(self._position, BATCH_SHARES)
        if run is None:
            return 0
        self._position = None
        last = run.lines[-1]
        # When this raises, the commit may have happened or not: the next pass asks the books.
        self._books.store_shares(run, run.end, self._now_ms())
        self._position = run.end
        self._read_to_ms, self._read_to_sequence = last.time_ms, last.sequence
        return len(run.lines)

    def _learn_of_solutions(self) -> None:
        changes = self._solutions.changes  # what is added while we look is for the next pass
        names = self._solutions.open_names()
        for chain, hash_hex in sorted(names - self._known_open):
            record = self._solutions.open_record(chain, hash_hex)
            if record is not None:
                self._books.book_solution(record, "submitted", "", self._now_ms())
        self._known_open = names
        for closed in self._solutions.closed_solutions():
            record = closed.record
            reason = "" if closed.state == "accepted" else closed.reason
            self._books.book_solution(record, BLOCK_STATES[closed.state], reason, self._now_ms())
            self._solutions.booked(record.chain, record.block_hash_hex)
        self._known_changes = changes
