"""A share log that is far ahead of the books: they catch up, and the log says how far they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pool import progress
from pool.accounting.books_away import BooksAwayError
from pool.blocks.solution_store import ClosedSolution, SolutionRecord
from pool.services import log_ingest
from pool.services.log_ingest import BATCH_SHARES, STORE_S, TOLD_BEHIND_S, LogIngest
from pool.shares.record import AccountKey, Position, Route, ShareLine, ShareRun
from pool.shares.watermark import Watermark

NOW_MS = 1_000_000_000
ROUTE = Route(b"r", "anna", {"a": AccountKey("miner", "00", "anna")})


class Log:
    """Shares that were received so many seconds ago, all durable; and no found block."""

    def __init__(self, count: int, ago_s: int) -> None:
        self.appended_sequence = self.durable_sequence = count
        self._time_ms = NOW_MS - 1000 * ago_s
        self.found: set[tuple[str, str]] = set()
        self.changes: int | None = None
        self.looked = 0

    def read_run(self, position: Position, limit: int) -> ShareRun | None:
        last = min(position.offset + limit, self.durable_sequence)
        numbers = range(position.offset + 1, last + 1)
        lines = [ShareLine(number, self._time_ms, b"r", "w", 1, 0, b"h", False, ()) for number in numbers]
        return ShareRun(lines, {b"r": ROUTE}, {0: ("a",)}, Position(0, last)) if lines else None

    def trim(self, position: Position) -> int:
        return 0

    def open_names(self) -> set[tuple[str, str]]:
        self.looked += 1
        return set(self.found)

    def open_record(self, chain: str, block_hash_hex: str) -> SolutionRecord | None:
        return None

    def closed_solutions(self) -> Iterator[ClosedSolution]:
        return iter(())

    def booked(self, chain: str, block_hash_hex: str) -> None:
        raise AssertionError("there is no block")


class Books:
    def __init__(self) -> None:
        self.stored = 0

    def position(self) -> tuple[Position, int]:
        return Position(0, 0), 0

    def store_shares(self, batch: ShareRun, position: Position, now_ms: int) -> int:
        self.stored += len(batch.lines)
        return len(batch.lines)

    def drain(self, watermark: Watermark, now_ms: int) -> None: ...

    def book_solution(self, record: Any, state: Any, reason: str, now_ms: int) -> None:
        raise AssertionError("there is no block")


async def at_once(work: Callable[..., Any], *arguments: Any) -> Any:
    return work(*arguments)


@pytest.fixture(autouse=True)
def _every_look_is_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(progress, "QUIET_S", 0.0)
    monkeypatch.setattr(progress, "PIPE_S", 0.0)
    caplog.set_level("INFO", "parapool.books")


async def catch_up(ago_s: int) -> None:
    log, books = Log(2 * BATCH_SHARES + 1, ago_s), Books()
    ingest = LogIngest(log, log, books, lambda: NOW_MS)
    await ingest.step(at_once, leads=True)
    assert (books.stored, ingest.consumed_through) == (2 * BATCH_SHARES + 1, 2 * BATCH_SHARES + 1)


async def test_log_ingest_says_how_far_it_has_caught_up(caplog: pytest.LogCaptureFixture) -> None:
    await catch_up(ago_s=7200)
    assert [message.rpartition(", ")[0] for message in caplog.messages] == [
        "share log into the books: 5,000 shares stored, 7,200 s behind",
        "share log into the books: 10,000 shares stored, 7,200 s behind",
        "share log into the books: 10,001 shares stored, 7,200 s behind",
        "share log into the books: over",
    ]


async def test_log_ingest_that_keeps_up_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    await catch_up(ago_s=TOLD_BEHIND_S - 1)
    assert caplog.messages == []


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(log_ingest, "time", made)
    return made


class Drained(Books):
    def __init__(self) -> None:
        super().__init__()
        self.watermarks: list[int] = []

    def drain(self, watermark: Watermark, now_ms: int) -> None:
        self.watermarks.append(watermark.sequence)


async def test_log_ingest_stores_now_and_then_while_nobody_waits(clock: Clock) -> None:
    log, books = Log(10, 0), Drained()
    ingest = LogIngest(log, log, books, lambda: NOW_MS)
    await ingest.step(at_once, leads=True)
    log.appended_sequence = log.durable_sequence = 20
    for _ in range(7):
        await ingest.step(at_once, leads=True)
        clock.now_s += STORE_S / 8
    assert (books.stored, ingest.consumed_through, books.watermarks) == (10, 10, [10])
    clock.now_s += STORE_S / 8
    await ingest.step(at_once, leads=True)
    assert (books.stored, ingest.consumed_through, books.watermarks) == (20, 20, [10, 20])


async def test_log_ingest_does_not_wait_when_it_is_to_hurry(clock: Clock) -> None:
    log, books = Log(10, 0), Drained()
    ingest = LogIngest(log, log, books, lambda: NOW_MS)
    await ingest.step(at_once, leads=True)
    log.appended_sequence = log.durable_sequence = 20
    ingest.hurry()
    await ingest.step(at_once, leads=True)
    assert (books.stored, books.watermarks) == (20, [10, 20])


async def test_log_ingest_does_not_wait_when_a_block_is_found(clock: Clock) -> None:
    log, books = Log(10, 0), Drained()
    ingest = LogIngest(log, log, books, lambda: NOW_MS)
    await ingest.step(at_once, leads=True)
    log.appended_sequence = log.durable_sequence = 20
    log.found = {("a", "00")}
    await ingest.step(at_once, leads=True)
    assert (books.stored, books.watermarks) == (20, [10, 20])
    await ingest.step(at_once, leads=True)
    assert books.watermarks == [10, 20], "the same block is no news"


async def test_log_ingest_looks_for_blocks_on_disk_when_the_store_counts_one_more(clock: Clock) -> None:
    log, books = Log(10, 0), Drained()
    log.changes = 0
    ingest = LogIngest(log, log, books, lambda: NOW_MS)
    for _ in range(3):
        await ingest.step(at_once, leads=True)
    assert log.looked == 1, "and not at each pass"
    log.found, log.changes = {("a", "00")}, 1
    log.appended_sequence = log.durable_sequence = 20
    for _ in range(3):
        await ingest.step(at_once, leads=True)
    assert (books.stored, books.watermarks, log.looked) == (20, [10, 20], 2)


async def test_log_ingest_misses_no_block_that_is_found_while_it_looks(clock: Clock) -> None:
    class Finding(Log):
        def open_names(self) -> set[tuple[str, str]]:
            before = super().open_names()
            if self.looked == 2:
                self.found, self.changes = {("a", "00"), ("b", "00")}, 2
            return before

    log, books = Finding(10, 0), Drained()
    log.changes = 0
    ingest = LogIngest(log, log, books, lambda: NOW_MS)
    await ingest.step(at_once, leads=True)
    log.found, log.changes = {("a", "00")}, 1
    await ingest.step(at_once, leads=True)
    assert log.looked == 2
    await ingest.step(at_once, leads=True)
    assert log.looked == 3


async def test_log_ingest_tries_at_once_after_a_failure(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    log, books = Log(10, 0), Drained()
    ingest = LogIngest(log, log, books, lambda: NOW_MS)

    def failing(*_: object) -> int:
        raise BooksAwayError("away")

    with monkeypatch.context() as patch:
        patch.setattr(books, "store_shares", failing)
        with pytest.raises(BooksAwayError):
            await ingest.step(at_once, leads=True)
    await ingest.step(at_once, leads=True)
    assert (books.stored, ingest.consumed_through, books.watermarks) == (10, 10, [10])


async def test_log_ingest_ends_a_pass_with_what_was_durable_at_its_beginning() -> None:
    """Shares that come meanwhile are for the next pass: a busy log would keep a pass going for ever."""
    log, books = Log(10, 0), Drained()
    ingest = LogIngest(log, log, books, lambda: NOW_MS)

    async def meanwhile(work: Callable[..., Any], *arguments: Any) -> Any:
        log.appended_sequence = log.durable_sequence = log.durable_sequence + 1
        return work(*arguments)

    await ingest.step(meanwhile, leads=True)
    assert (books.stored, ingest.consumed_through, books.watermarks) == (11, 10, [10])
