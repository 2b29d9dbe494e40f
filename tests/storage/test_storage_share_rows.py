"""Rows stored by the thousand: whatever a login calls its worker comes back as it was."""

from __future__ import annotations

import pytest
from sqlalchemy import select
from storage_samples import logged, make_route

from pool.shares.record import Position
from pool.storage import database as database_module
from pool.storage.books import SqlBooks
from pool.storage.database import Database
from pool.storage.tables import shares

ANNA = make_route("anna")
WORKERS = [
    "rig", "", '"', "\\", '\\"', "{a,b}", "a,b", "NULL", "null", " ", "a b", "ü", "矿工", "'", "%s", "%(v1)s", "$1",
    ":x",
    "\t", "\n", "\\N", "\\x41", "?",
]  # fmt: skip


@pytest.mark.parametrize("together", [1, 3, 100])
def test_storage_share_rows_keep_every_value(
    database: Database, books: SqlBooks, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "VALUES_ROWS", together)
    batch = [
        logged(number, ANNA, worker=worker, weight=2**63 - number, stale=number % 2 == 0, time_ms=2**41 + number)
        for number, worker in enumerate(WORKERS, 1)
    ]
    assert books.store_shares(batch, Position(1, 1), 1) == len(batch)
    row = shares.c
    query = select(row.sequence, row.worker, row.weight, row.stale, row.time_ms, row.header_hash)
    with database.read() as connection:
        rows = connection.execute(query.order_by(row.sequence)).all()
    assert [tuple(found) for found in rows] == [
        (one.share.sequence, one.share.worker, one.share.weight, int(one.share.stale), one.share.time_ms,
         one.share.header_hash)
        for one in batch
    ]  # fmt: skip
