"""The share log of another process here, durable as far as that process tells; and many ingests as one.

The mother keeps the books of all her front ends' logs. She reads their files herself; what she may read, and up to
which moment nothing more can come, only the process that writes can say. It says it every half second.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from pool.services.bookkeeping import Ingest
from pool.services.front_end_messages import Drained
from pool.services.log_ingest import DrainClock, InThread, LogBooks, LogIngest, ShareSource, SolutionSource
from pool.shares.record import BEGINNING, Position, ShareRun
from pool.shares.share_log_reader import ShareLogReader
from pool.shares.watermark import UNDRAINED, Watermark

STEP_S = 1.0
"""Each pass of a log is two transactions, however many shares it brings."""


class ToldLog(ShareSource):
    """`heard` takes what the writer says. `consumed` is how far the books have asked the log to be trimmed."""

    def __init__(self, directory: Path) -> None:
        self._told: Drained | None = None
        self._reader = ShareLogReader(directory, lambda: self._durable)
        self.consumed: Position = BEGINNING

    @property
    def _durable(self) -> Position:
        return BEGINNING if self._told is None else Position(self._told.segment, self._told.offset)

    def heard(self, told: Drained) -> None:
        self._told = told

    def forget(self) -> None:
        """Another process will write this log: what the one before said of the end holds no more."""
        self._told = None

    @property
    def watermark(self) -> Watermark:
        return UNDRAINED if self._told is None else Watermark(self._told.sequence, self._told.time_ms)

    @property
    def appended_sequence(self) -> int:
        return self.watermark.sequence

    @property
    def durable_sequence(self) -> int:
        return self.watermark.sequence

    def read_run(self, position: Position, limit: int) -> ShareRun | None:
        return None if self._told is None else self._reader.read_run(position, limit)

    def trim(self, position: Position) -> int:
        """The writer trims, when it hears of it."""
        self.consumed = position
        return 0


class _ToldClock(DrainClock):
    """The watermark is the writer's, not one of this process's moments."""

    def __init__(self, log: ToldLog) -> None:
        super().__init__(log, lambda: 0)
        self._log = log

    def before_reading(self) -> Watermark:
        return self._log.watermark


class ToldIngest(LogIngest):
    """Brings a front end's log into the books while it writes."""

    def __init__(
        self, shares: ToldLog, solutions: SolutionSource, books: LogBooks, now_ms: Callable[[], int]
    ) -> None:
        super().__init__(shares, solutions, books, now_ms)
        self._clock = _ToldClock(shares)
        self.told = shares

    @property
    def told_ms(self) -> int:
        """Up to when the books have everything of this log."""
        return min(self.caught_up_ms, self.told.watermark.time_ms or self.caught_up_ms)


class ManyIngests:
    """The process's own log and those of its front ends, by name: implements bookkeeping.Ingest."""

    def __init__(self, own: Ingest) -> None:
        self._own = own
        self._stepped_s: dict[LogIngest, float] = {}
        self.others: dict[str, LogIngest] = {}

    @property
    def consumed_through(self) -> int:
        return self._own.consumed_through

    @property
    def caught_up_ms(self) -> int:
        others = (
            ingest.told_ms if isinstance(ingest, ToldIngest) else ingest.caught_up_ms for ingest in self.others.values()
        )
        return min([self._own.caught_up_ms, *others])

    async def step(self, in_thread: InThread, leads: bool) -> bool:
        worked = await self._own.step(in_thread, leads)
        others = list(self.others.values())
        self._stepped_s = {ingest: at for ingest, at in self._stepped_s.items() if ingest in others}
        for ingest in others:
            now_s = time.monotonic()
            if now_s - self._stepped_s.get(ingest, -STEP_S) >= STEP_S:
                self._stepped_s[ingest] = now_s
                await ingest.step(in_thread, leads)
        return worked

    def hurry(self) -> None:
        self._stepped_s.clear()
        self._own.hurry()
        for ingest in self.others.values():
            ingest.hurry()
