"""The whole pool over an hour, a day and a week: from memory, from sums, and from shares that are not added up yet."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert
from storage_samples import logged, make_route

from pool.storage import pool_hashrates
from pool.storage.books import SqlBooks
from pool.storage.database import Database
from pool.storage.pool_hashrates import KEPT_MS, PoolHashrates
from pool.storage.recent_shares import RecentShares
from pool.storage.tables import share_sums

HOUR_MS = 3_600_000
NOW_MS = 1000 * HOUR_MS + HOUR_MS // 2
ROUTES = [make_route("anna"), make_route("bert")]


def store(books: SqlBooks, *shares: tuple[int, int, int], stale: bool = False) -> None:
    """(sequence, weight, time) of each, in order."""
    batch = [
        logged(sequence, ROUTES[sequence % 2], weight=weight, time_ms=time_ms, stale=stale)
        for sequence, weight, time_ms in shares
    ]
    books.store_shares(batch, batch[-1].position, NOW_MS)


def add_up(database: Database, *sums: tuple[int, int, int]) -> None:
    """(hour, route, weight) of each."""
    with database.write() as connection:
        for hour, route_id, weight in sums:
            row = {"hour_ms": hour * HOUR_MS, "log_id": 1, "chain_set_id": 1, "shares": 1, "weight": str(weight)}
            connection.execute(insert(share_sums).values(route_id=route_id, **row))


def series(database: Database, hashrates: PoolHashrates, now_ms: int = NOW_MS) -> dict[str, Any]:
    with database.read() as connection:
        return hashrates.series(connection, now_ms)


def test_storage_pool_hashrates_of_an_hour_by_five_minutes(database: Database, books: SqlBooks) -> None:
    store(books, (1, 10**9, NOW_MS - HOUR_MS - 1000))
    store(books, (2, 600, NOW_MS - HOUR_MS + 1000), (3, 300, NOW_MS - 301_000), (4, 900, NOW_MS - 1000))
    store(books, (5, 10**9, NOW_MS - 500), stale=True)
    hour = series(database, PoolHashrates(RecentShares()))["1h"]
    assert (hour["step_ms"], hour["end_ms"]) == (300_000, NOW_MS)
    assert hour["points"] == [2, *[0] * 9, 1, 3]


def test_storage_pool_hashrates_of_a_week_take_sums_and_fresh_shares(database: Database, books: SqlBooks) -> None:
    store(
        books,
        (1, 7200, 998 * HOUR_MS + 5), (2, 3600, 999 * HOUR_MS - 1), (3, 10**9, 999 * HOUR_MS),
        (4, 5400, 1000 * HOUR_MS),
    )  # fmt: skip
    add_up(
        database, (999, 1, 3600 * 4), (999, 2, 3600 * 5), (990, 1, 3600 * 2**80), (832, 2, 3600 * 6), (831, 2, 3600),
    )  # fmt: skip
    found = series(database, PoolHashrates(RecentShares()))
    week = found["7d"]
    assert (week["step_ms"], week["end_ms"], len(week["points"])) == (HOUR_MS, NOW_MS, 168)
    by_hour = dict(zip(range(833, 1001), week["points"], strict=True))
    assert by_hour[1000] == 3, "the hour that runs, over its half hour"
    assert by_hour[999] == 9, "what is added up, of all miners, goes before the shares"
    assert by_hour[998] == 3, "not added up yet"
    assert by_hour[990] == 2**80 and by_hour[991] is None
    assert found["24h"]["points"] == week["points"][-24:]


def test_storage_pool_hashrates_leave_out_an_hour_that_has_just_begun(database: Database, books: SqlBooks) -> None:
    early_ms = 1000 * HOUR_MS + 60_000
    store(books, (1, 7200, early_ms - HOUR_MS + 2000), (2, 3600, early_ms - 1))
    day = series(database, PoolHashrates(RecentShares()), early_ms)["24h"]
    assert (day["end_ms"], len(day["points"]), day["points"][-1]) == (1000 * HOUR_MS, 24, 2)


def test_storage_pool_hashrates_read_little_at_a_time(
    database: Database, books: SqlBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_hashrates, "READ_ROWS", 2)
    store(books, *((number, 3600, 999 * HOUR_MS + number) for number in range(1, 4)))
    add_up(database, *((hour, route, 3600) for hour in (990, 991, 992) for route in (1, 2)))
    hashrates = PoolHashrates(RecentShares())
    seen = []
    for number in range(4):
        points = series(database, hashrates, NOW_MS + number * KEPT_MS)["7d"]["points"]
        seen.append(dict(zip(range(833, 1001), points, strict=True)))
    assert [by_hour[992] for by_hour in seen] == [2, 2, 2, 2]
    assert [by_hour[990] for by_hour in seen] == [None, None, 2, 2], "an hour a time"
    assert seen[0][999] is None, "too many shares to be read for a picture"
    add_up(database, (999, 1, 7 * 3600))
    assert series(database, hashrates, NOW_MS + 4 * KEPT_MS - 1)["7d"]["points"][-2] is None, "kept for a while"
    assert series(database, hashrates, NOW_MS + 4 * KEPT_MS)["7d"]["points"][-2] == 7


def test_storage_pool_hashrates_of_a_new_pool_are_there(database: Database) -> None:
    found = series(database, PoolHashrates(RecentShares()))
    assert found["1h"]["points"] == [0] * 12
    assert found["7d"]["points"][:164] == [None] * 164 and len(found["7d"]["points"]) == 168
