"""Shares in SQL: consumed once, with their position, and read backwards as a window."""

from __future__ import annotations

import time
from typing import Any

import pytest
from sqlalchemy import delete, func, select, update
from storage_samples import block_hash_hex, header_hash, logged, make_route

from pool.accounting.books_away import BooksAwayError
from pool.shares.record import AccountKey, LoggedShare, Position, Route
from pool.shares.watermark import Watermark
from pool.storage import front_ends, tables
from pool.storage.books import PositionMovedError, SqlBooks
from pool.storage.database import Database
from pool.storage.pool_window import pool_shares
from pool.storage.share_store import SequenceReusedError, ShareStore

ANNA = make_route("anna", alpha="anna-alpha")
BERT = make_route("bert")
NOW_MS = 1_000_000


def count(database: Database) -> int:
    with database.read() as connection:
        return connection.execute(select(func.count()).select_from(tables.shares)).scalar_one()


def window(database: Database, chain: str, block: int, last: int) -> tuple[list[int], frozenset[int]]:
    with database.read() as connection:
        place = ShareStore("main").window_place(connection, chain, block_hash_hex(block), last, 0)
        return [share.sequence for share in pool_shares(connection, place)], place.solvers_of(1)


def test_storage_shares_and_position_are_one(database: Database, books: SqlBooks) -> None:
    assert books.position() == (Position(0, 0), 0)
    assert books.store_shares([logged(1, ANNA), logged(2, BERT)], Position(1, 200), NOW_MS) == 2
    assert books.position() == (Position(1, 200), 2)
    assert SqlBooks(database).position() == (Position(1, 200), 2)
    assert SqlBooks(database, "other").position() == (Position(0, 0), 0)


def test_storage_shares_are_counted_once_when_replayed(database: Database, books: SqlBooks) -> None:
    batch = [logged(sequence, ANNA) for sequence in range(1, 6)]
    books.store_shares(batch, Position(1, 500), NOW_MS)
    assert books.store_shares(batch, Position(1, 500), NOW_MS) == 0
    assert SqlBooks(database).store_shares([*batch, logged(6, ANNA)], Position(1, 600), NOW_MS) == 1
    assert count(database) == 6


def test_storage_shares_leave_no_gap_when_the_database_is_an_older_one(database: Database, books: SqlBooks) -> None:
    """A standby takes over without the last commit: the books go on from where it is, not from where they were."""
    books.store_shares([logged(1, ANNA)], Position(1, 100), NOW_MS)
    books.store_shares([logged(2, ANNA)], Position(1, 200), NOW_MS)
    with database.write() as connection:
        connection.execute(delete(tables.shares).where(tables.shares.c.sequence == 2))
        connection.execute(update(tables.share_logs).values(byte_offset=100, sequence=1))
    with pytest.raises(PositionMovedError, match="main stands at"):
        books.store_shares([logged(3, ANNA)], Position(1, 300), NOW_MS)
    assert books.position() == (Position(1, 100), 1)
    assert books.store_shares([logged(2, ANNA), logged(3, ANNA)], Position(1, 300), NOW_MS) == 2


def test_storage_shares_of_one_header_count_once_whoever_sends_it(database: Database, books: SqlBooks) -> None:
    books.store_shares([logged(1, ANNA)], Position(1, 100), NOW_MS)
    assert books.store_shares([logged(2, BERT, header_hash=header_hash(1))], Position(1, 200), NOW_MS) == 0
    assert window(database, "regbtc", 1, 9)[0] == [1]
    assert books.position() == (Position(1, 200), 2)


def test_storage_shares_refuse_a_sequence_given_twice(database: Database, books: SqlBooks) -> None:
    books.store_shares([logged(1, ANNA)], Position(1, 100), NOW_MS)
    with pytest.raises(SequenceReusedError, match="sequence 1 already belongs to another share"):
        books.store_shares([logged(2, BERT), logged(1, BERT, header_hash=header_hash(99))], Position(1, 200), NOW_MS)
    assert count(database) == 1
    assert books.position() == (Position(1, 100), 1)
    # The rolled-back route of the failed batch is not remembered under an id that never was.
    assert books.store_shares([logged(2, BERT)], Position(1, 200), NOW_MS) == 1


def test_storage_shares_of_two_logs_do_not_meet(database: Database, books: SqlBooks) -> None:
    books.store_shares([logged(1, ANNA)], Position(1, 100), NOW_MS)
    SqlBooks(database, "ltc").store_shares([logged(1, ANNA, header_hash=header_hash(50))], Position(1, 100), NOW_MS)
    assert count(database) == 2
    assert window(database, "regbtc", 1, 9)[0] == [1]


def test_storage_watermark_that_was_rolled_back_is_written_the_next_time(
    database: Database, books: SqlBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first watermark of a log makes its row; when that commit fails, nothing may remember the row."""
    register = front_ends.drain

    def failing(*arguments: Any) -> None:
        register(*arguments)
        raise BooksAwayError("the commit did not come through")

    with monkeypatch.context() as patch:
        patch.setattr(front_ends, "drain", failing)
        with pytest.raises(BooksAwayError):
            books.drain(Watermark(0, 1000), 1000)
    books.drain(Watermark(0, 2000), 2000)
    with database.read() as connection:
        assert [log.drained for log in front_ends.front_ends(connection, "main")] == [Watermark(0, 2000)]


def test_storage_window_is_newest_first_and_ends_with_the_solving_share(database: Database, books: SqlBooks) -> None:
    books.store_shares([logged(sequence, ANNA) for sequence in range(1, 10)], Position(1, 900), NOW_MS)
    assert window(database, "regbtc", 1, 5)[0] == [5, 4, 3, 2, 1]


def test_storage_window_holds_what_counts_for_the_chain(database: Database, books: SqlBooks) -> None:
    solved = (("alpha", bytes.fromhex(block_hash_hex(7))[::-1]),)
    batch = [
        logged(1, ANNA, chains=("regbtc",)),
        logged(2, ANNA, chains=("alpha", "regbtc")),
        logged(3, ANNA, stale=True),
        logged(4, ANNA, stale=True, solved=solved, chains=("regbtc",)),
        logged(5, ANNA, chains=("alphabet",)),
    ]
    books.store_shares(batch, Position(1, 500), NOW_MS)
    assert window(database, "alpha", 7, 9) == ([4, 2], frozenset({4}))
    assert window(database, "alpha", 8, 9) == ([2], frozenset())
    assert window(database, "regbtc", 8, 9) == ([2, 1], frozenset())


def test_storage_accounts_follow_the_route(database: Database, books: SqlBooks) -> None:
    plain = Route(b"plain".ljust(16), "carl", {"regbtc": AccountKey("miner", "00cc", "carl")})
    bare = Route(b"bare".ljust(16), "dora", {})
    books.store_shares([logged(1, ANNA), logged(2, BERT), logged(3, plain), logged(4, bare)], Position(1, 300), NOW_MS)
    with database.write() as connection:
        routes = connection.execute(select(tables.routes.c.id).order_by(tables.routes.c.id)).scalars().all()
        found = ShareStore("main").accounts_of(connection, "alpha", routes)
        again = ShareStore("main").accounts_of(connection, "alpha", routes)
        rows = {row.id: tuple(row)[1:] for row in connection.execute(select(tables.accounts))}
    assert found == again
    assert [rows[found[route]] for route in routes] == [
        ("alpha", "miner", ANNA.accounts["alpha"].script_hex, "anna-alpha"),
        ("alpha", "held", BERT.accounts["alpha"].script_hex, "bert"),
        ("alpha", "held", "00cc", "carl"),
        ("alpha", "held", "address:dora", "dora"),
    ]


def test_storage_accounts_are_shared_by_routes_with_one_script(database: Database, books: SqlBooks) -> None:
    other = make_route("bert", alpha="anna-alpha")
    books.store_shares([logged(1, ANNA), logged(2, other)], Position(1, 200), NOW_MS)
    with database.read() as connection:
        where = tables.accounts.c.address == "anna-alpha"
        assert connection.execute(select(func.count()).select_from(tables.accounts).where(where)).scalar() == 1


def test_storage_shares_are_stored_and_read_fast_enough(database: Database, books: SqlBooks) -> None:
    """At least 10,000 rows a second in batches of 1,000, and a window of 100,000 shares in less than a second: of this
    process's own time, which does not depend on what else the machine does. measure_windows.py has larger ones.
    """
    total = 100_000
    routes = [make_route(f"miner{number}") for number in range(50)]
    batches: list[list[LoggedShare]] = [
        [logged(sequence, routes[sequence % 50]) for sequence in range(start, start + 1000)]
        for start in range(1, total, 1000)
    ]
    began = time.process_time()
    for batch in batches:
        books.store_shares(batch, batch[-1].position, NOW_MS)
    stored_s = time.process_time() - began
    began = time.process_time()
    assert len(window(database, "alpha", 1, total)[0]) == total
    read_s = time.process_time() - began
    assert total / stored_s > 10_000
    assert read_s < 1.0
    print(f"{total / stored_s:.0f} shares/s stored, window of {total} read in {read_s:.2f} s")
