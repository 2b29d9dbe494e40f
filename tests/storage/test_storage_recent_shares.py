"""The sums of the last hour, brought up to date by what is new: always those of a reading of everything."""

from __future__ import annotations

import random

import pytest
from storage_samples import logged, make_route

from pool.storage import recent_shares
from pool.storage.books import SqlBooks
from pool.storage.database import Database
from pool.storage.recent_shares import FORGET_MS, RecentShares, Totals

NOW_MS = 10_000_000_000
ROUTES = [make_route(name) for name in ("anna", "bert", "carl")] + [make_route("anna", alpha="anna-alpha")]


def totals(database: Database, recent: RecentShares, now_ms: int) -> Totals:
    with database.read() as connection:
        return recent.totals(connection, now_ms)


def test_storage_recent_shares_are_the_same_however_they_were_read(
    database: Database, books: SqlBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(7)
    kept, sequence, now_ms = RecentShares(), 0, NOW_MS
    other = SqlBooks(database, "pool/second", "main")
    for _ in range(30):
        now_ms += chance.choice((0, 1000, 17_000, 120_000, FORGET_MS))
        batch = []
        for _ in range(chance.randrange(8)):
            sequence += chance.randrange(1, 4)
            batch.append(
                logged(
                    sequence, chance.choice(ROUTES), worker=chance.choice("ab"), weight=chance.randrange(2**62),
                    time_ms=now_ms - 1000 * chance.randrange(300), stale=chance.random() < 0.1,
                )
            )  # fmt: skip
        if batch:
            chance.choice((books, other)).store_shares(batch, batch[-1].position, now_ms)
        assert totals(database, kept, now_ms) == totals(database, RecentShares(), now_ms)
    assert totals(database, kept, now_ms + 3_600_000) == Totals(0, 0, 0, None, 0, 0, True)


def test_storage_recent_shares_of_a_large_pool_are_read_in_pieces(
    database: Database, books: SqlBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent_shares, "READ_ROWS", 4)
    batch = [logged(2 * number, ROUTES[0], weight=1, time_ms=NOW_MS - 1000 * (20 - number)) for number in range(1, 11)]
    books.store_shares(batch, batch[-1].position, NOW_MS)
    recent = RecentShares()
    found = [totals(database, recent, NOW_MS) for _ in range(4)]
    assert [(each.shares_1h, each.whole) for each in found] == [(4, False), (8, False), (10, True), (10, True)]


def test_storage_recent_shares_begin_with_the_hour(database: Database, books: SqlBooks) -> None:
    ago_s = (7200, 3601, 3600, 3599, 300, 299, 1)
    batch = [logged(number, ROUTES[0], weight=1, time_ms=NOW_MS - 1000 * ago) for number, ago in enumerate(ago_s, 1)]
    books.store_shares(batch, batch[-1].position, NOW_MS)
    recent = RecentShares()
    assert totals(database, recent, NOW_MS)[:4] == (2, 4, 4, NOW_MS - 1000)
    assert totals(database, recent, NOW_MS + 1000)[:4] == (1, 3, 3, NOW_MS - 1000)
