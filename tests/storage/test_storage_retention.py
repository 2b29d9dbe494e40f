"""Old shares go, never those that a window may still reach; what stays of them are sums by hour."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, select
from storage_samples import header_hash, logged, make_route, solution

from pool.shares.record import Position
from pool.shares.watermark import Watermark
from pool.storage import retention
from pool.storage.books import SqlBooks
from pool.storage.database import Database
from pool.storage.pool_window import newest_sequence
from pool.storage.retention import HOUR_MS, Reach, Retention
from pool.storage.tables import share_sums, shares

ANNA, BERT = make_route("anna"), make_route("bert")
EASY = 2**256 - 1
"""A target whose work is one hash: no window reaches far."""

REACHES = {chain: Reach(2, EASY, 0) for chain in ("regbtc", "alpha", "beta")}
DAYS = 1
NOW_MS = 40 * HOUR_MS


@pytest.fixture
def kept(database: Database) -> Retention:
    return Retention(database, "main", DAYS)


def fill(books: SqlBooks, hours: int = 40, **options: object) -> None:
    """Four shares of ten an hour, one of them Bert's and one late; the log has drained to now."""
    batch = []
    for number in range(hours * 4):
        route = BERT if number % 4 == 3 else ANNA
        time_ms = (number // 4) * HOUR_MS + (number % 4) * 60_000
        values = {"time_ms": time_ms, "stale": number % 4 == 2, "header_hash": header_hash(number + 1)} | options
        batch.append(logged(number + 1, route, **values))
    books.store_shares(batch, Position(1, 100), NOW_MS)
    books.drain(Watermark(hours * 4, NOW_MS + HOUR_MS), NOW_MS)


def finish(kept: Retention, reaches: dict[str, Reach] | None = None, now_ms: int = NOW_MS) -> int:
    steps = 0
    while kept.step(reaches or REACHES, now_ms):
        steps += 1
        assert steps < 500
    return steps


def stored_hours(database: Database) -> list[int]:
    with database.read() as connection:
        times = connection.execute(select(shares.c.time_ms)).scalars()
        return sorted({time_ms // HOUR_MS for time_ms in times})


def test_retention_keeps_the_stated_days_and_the_sums(database: Database, books: SqlBooks, kept: Retention) -> None:
    fill(books)
    finish(kept)
    assert stored_hours(database) == list(range(16, 40))
    with database.read() as connection:
        rows = connection.execute(select(share_sums.c.hour_ms, func.sum(share_sums.c.shares))
                                  .group_by(share_sums.c.hour_ms)).all()
        weights = sorted(connection.execute(select(share_sums.c.weight).where(share_sums.c.hour_ms == 0)).scalars())
    assert [(row[0] // HOUR_MS, int(row[1])) for row in sorted(rows)] == [(hour, 3) for hour in range(40)]
    assert weights == ["10", "20"]
    assert finish(kept) == 0, "nothing is left to do"


def test_retention_deletes_in_small_pieces(
    database: Database, books: SqlBooks, kept: Retention, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "DELETE_SHARES", 3)
    fill(books)
    assert finish(kept) >= 40 + 16 * 2
    assert stored_hours(database) == list(range(16, 40))


def test_retention_keeps_what_a_window_now_may_reach(database: Database, books: SqlBooks, kept: Retention) -> None:
    """A chain so hard that its window holds 300 of the 30 an hour's weight: twice that is 20 hours, then 40 for 600."""
    fill(books)
    work_of_450 = Reach(2, 2**256 // 450 - 1, 0)
    finish(kept, REACHES | {"alpha": work_of_450})
    assert stored_hours(database) == list(range(40)), "1,800 is more than all there is"
    work_of_200 = Reach(2, 2**256 // 200 - 1, 0)
    finish(kept, REACHES | {"alpha": work_of_200})
    assert stored_hours(database) == list(range(13, 40)), "800 are 27 hours of 30"


def test_retention_keeps_the_least_time_of_a_window(database: Database, books: SqlBooks, kept: Retention) -> None:
    fill(books)
    finish(kept, REACHES | {"alpha": Reach(2, EASY, 15 * 3600)})
    assert stored_hours(database) == list(range(10, 40)), "twice fifteen hours"


def test_retention_keeps_the_window_of_a_block_that_is_not_final(
    database: Database, books: SqlBooks, kept: Retention
) -> None:
    fill(books)
    found_ms = 10 * HOUR_MS + 5000
    books.book_solution(solution("alpha", 5, 41, found_ms=found_ms), "submitted", "", NOW_MS)
    finish(kept)
    # Its target's work is 100, twice twice that 400: fourteen hours of 30, more than there are before it.
    assert stored_hours(database) == list(range(40))
    [block] = books.watched_blocks("alpha")
    books.retire(block, NOW_MS)
    finish(kept)
    assert stored_hours(database) == list(range(16, 40))


def test_retention_waits_for_front_ends_that_are_behind(database: Database, books: SqlBooks, kept: Retention) -> None:
    fill(books)
    SqlBooks(database, "main/second", "main").drain(Watermark(0, 5 * HOUR_MS), NOW_MS)
    finish(kept)
    with database.read() as connection:
        assert connection.execute(select(func.max(share_sums.c.hour_ms))).scalar() == 3 * HOUR_MS


def test_retention_sums_weights_beyond_64_bits(database: Database, books: SqlBooks, kept: Retention) -> None:
    heavy = 2**62 + 12_345
    fill(books, hours=2, weight=heavy)
    finish(kept)
    with database.read() as connection:
        weights = sorted(int(text) for text in connection.execute(select(share_sums.c.weight)).scalars())
    assert weights == [heavy, heavy, 2 * heavy, 2 * heavy]


def test_retention_leaves_other_pools_alone(database: Database, books: SqlBooks, tmp_path: Path) -> None:
    fill(books)
    finish(Retention(database, "other", DAYS))
    assert stored_hours(database) == list(range(40))


def test_retention_and_windows_find_shares_by_their_time_on_sqlite(new_sqlite_url: Callable[[], str]) -> None:
    """SQLite keeps no count of a log's shares, and would read all of them where a time leads to a few."""
    database = Database(new_sqlite_url())
    fill(SqlBooks(database))
    asked: list[tuple[str, Any]] = []

    def listen(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        bounds = statement.partition("WHERE")[2].partition("ORDER")[0]
        if statement.startswith("SELECT") and "shares.time_ms " in bounds:
            asked.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", listen)
    finish(Retention(database, "main", DAYS))
    with database.read() as connection:
        assert newest_sequence(connection, 1, 30 * HOUR_MS) > 0
        assert newest_sequence(connection, 2, 30 * HOUR_MS) == 0
        event.remove(database.engine, "before_cursor_execute", listen)
        plans = {
            row.detail
            for statement, parameters in asked
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            if row.detail.startswith(("SEARCH", "SCAN"))
        }
    assert len(asked) > 2
    assert all("ix_shares_time_ms (time_ms" in plan for plan in plans), plans
    database.close()
