"""A header hash counts once, though no index of the database says so: whoever sends it again, and whenever."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select, text, update
from storage_samples import header_hash, logged, make_route, solution

from pool.audit.share_checks import check_shares
from pool.blocks.solution_store import SolvingShare
from pool.shares.record import LoggedShare, Position
from pool.storage import known_hashes, tables
from pool.storage.books import SqlBooks
from pool.storage.database import Database
from pool.storage.share_store import SequenceReusedError, StoredMeanwhileError

ANNA = make_route("anna", alpha="anna-alpha")
NOW_MS = 1_000_000


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_hashes, "GENERATION", 8)
    monkeypatch.setattr(known_hashes, "LOAD_ROWS", 6)


@pytest.fixture
def middling_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_hashes, "GENERATION", 48)
    monkeypatch.setattr(known_hashes, "LOAD_ROWS", 6)


def store(books: SqlBooks, *batch: LoggedShare) -> int:
    return books.store_shares(list(batch), Position(1, 1), NOW_MS)


def stored(database: Database) -> list[tuple[str, int, int]]:
    """Log, sequence and the number that the hash was made of."""
    query = select(tables.share_logs.c.name, tables.shares.c.sequence, tables.shares.c.header_hash)
    query = query.join(tables.share_logs, tables.share_logs.c.id == tables.shares.c.log_id)
    with database.read() as connection:
        rows = connection.execute(query).all()
    return sorted((row.name, row.sequence, int.from_bytes(row.header_hash, "little")) for row in rows)


def number_of(one: LoggedShare) -> int:
    return int.from_bytes(one.share.header_hash, "little")


def solve(books: SqlBooks, sequence: int, number: int, time_ms: int) -> None:
    """A block's own record tells of the share that solved it."""
    share = SolvingShare(ANNA, "rig", time_ms, ("regbtc",), header_hash(number))
    record = solution("regbtc", number, sequence, solving_share=share)
    books.book_solution(record, "submitted", "", NOW_MS)


def test_storage_hashes_come_twice_in_one_batch(database: Database, books: SqlBooks) -> None:
    twice = logged(2, ANNA, header_hash=header_hash(1))
    assert store(books, logged(1, ANNA), twice, logged(3, ANNA)) == 2
    assert stored(database) == [("main", 1, 1), ("main", 3, 3)]


def test_storage_hashes_are_known_to_whoever_starts(database: Database, books: SqlBooks) -> None:
    store(books, logged(1, ANNA), logged(2, ANNA))
    again = SqlBooks(database, "other")
    assert store(again, logged(7, ANNA, header_hash=header_hash(2)), logged(8, ANNA)) == 1
    assert stored(database) == [("main", 1, 1), ("main", 2, 2), ("other", 8, 8)]


def test_storage_hashes_that_another_process_stores_are_known(database: Database, books: SqlBooks) -> None:
    other = SqlBooks(database, "other")
    store(books, logged(1, ANNA))
    store(other, logged(2, ANNA))
    store(books, logged(3, ANNA))
    assert store(other, logged(4, ANNA, header_hash=header_hash(3)), logged(5, ANNA)) == 1
    assert store(books, logged(6, ANNA, header_hash=header_hash(5))) == 0


@pytest.mark.usefixtures("small_memory")
def test_storage_hashes_of_a_log_that_comes_again_under_another_name(database: Database, books: SqlBooks) -> None:
    """Somebody renamed a front end: all that its share log still has is read again, far beyond what memory holds."""
    batch = [logged(sequence, ANNA) for sequence in range(1, 101)]
    for start in range(0, 100, 5):
        store(books, *batch[start : start + 5])
    renamed = SqlBooks(database, "renamed", "main")
    for start in range(0, 100, 5):
        assert store(renamed, *batch[start : start + 5]) == 0
    assert store(renamed, logged(101, ANNA)) == 1


@pytest.mark.usefixtures("small_memory")
def test_storage_hashes_are_looked_up_before_a_share_is_passed_over(database: Database, books: SqlBooks) -> None:
    """What memory takes for known counts when the table does not have it: eight bytes of a hash can be another's."""
    store(books, logged(1, ANNA))
    alike = header_hash(1)[:8] + bytes([1]) * 24
    assert store(books, logged(2, ANNA, header_hash=alike)) == 1
    assert store(books, logged(3, ANNA, header_hash=alike), logged(4, ANNA, header_hash=alike)) == 0


def test_storage_hashes_are_looked_for_as_far_back_as_memory_goes(
    database: Database, books: SqlBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not among all shares that ever were, which would take the only writer for minutes."""
    asked: list[int] = []
    among = known_hashes._among

    def telling(connection: Connection, hashes: Sequence[bytes], after_ms: int, *more: int) -> Iterator[bytes]:
        asked.append(after_ms)
        return among(connection, hashes, after_ms, *more)

    monkeypatch.setattr(known_hashes, "_among", telling)
    monkeypatch.setattr(known_hashes, "LOAD_ROWS", 1)
    hour_ms = known_hashes.HOUR_MS
    store(books, *(logged(number, ANNA, time_ms=number * hour_ms) for number in range(1, 6)))
    again = SqlBooks(database, "other")
    assert store(again, logged(6, ANNA, time_ms=6 * hour_ms)) == 1
    assert store(again, logged(7, ANNA, header_hash=header_hash(6), time_ms=7 * hour_ms)) == 0
    assert store(again, logged(8, ANNA, header_hash=header_hash(6), time_ms=8 * hour_ms)) == 0
    assert asked[-2:] == [4 * hour_ms, 4 * hour_ms], "an hour before the oldest that memory has, of the fifth share"


def test_storage_hashes_of_a_batch_that_was_rolled_back_are_forgotten(
    database: Database, books: SqlBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(books, logged(1, ANNA))
    reused = logged(1, ANNA, header_hash=header_hash(9))
    with pytest.raises(SequenceReusedError, match="sequence 1 already belongs to another share"):
        store(books, logged(2, ANNA), reused)
    monkeypatch.setattr(known_hashes, "_among", lambda *_: iter(()))
    assert store(books, logged(2, ANNA)) == 1, "nothing had to be looked for in the table"


def test_storage_hashes_that_are_there_unknown_to_memory_are_learnt(database: Database, books: SqlBooks) -> None:
    """Another process told a block's share under this log, and went away: once more, with the table read anew."""
    store(books, logged(1, ANNA))
    solve(SqlBooks(database), 2, 2, 2000)
    with pytest.raises(StoredMeanwhileError):
        store(books, logged(2, ANNA), logged(3, ANNA))
    assert store(books, logged(2, ANNA), logged(3, ANNA)) == 1
    assert stored(database) == [("main", 1, 1), ("main", 2, 2), ("main", 3, 3)]


@pytest.mark.parametrize("restarts", [False, True])
def test_storage_hashes_of_solving_shares_that_the_log_lost(
    database: Database, books: SqlBooks, restarts: bool
) -> None:
    """The record of a block brings a share that a crash took from the log; its miner sends it again, and the new front
    end, which knows nothing of it, takes it under a new sequence.
    """
    store(books, logged(1, ANNA))
    solve(books, 2, 2, 2000)
    if restarts:
        books = SqlBooks(database)
    assert store(books, logged(1_000_002, ANNA, header_hash=header_hash(2), time_ms=9000)) == 0
    assert stored(database) == [("main", 1, 1), ("main", 2, 2)]


@pytest.mark.usefixtures("small_memory")
def test_storage_hashes_of_records_that_come_after_their_share_was_taken_again(
    database: Database, books: SqlBooks
) -> None:
    """The same, but the books read a long log first, and the block's record last."""
    store(books, logged(1_000_002, ANNA, header_hash=header_hash(2), time_ms=9000))
    for start in range(1_000_010, 1_000_110, 10):
        store(books, *(logged(sequence, ANNA, time_ms=sequence) for sequence in range(start, start + 10)))
    solve(books, 2, 2, 2000)
    assert ("main", 2, 2) not in stored(database)
    assert ("main", 1_000_002, 2) in stored(database)


def test_storage_hashes_of_a_record_and_its_log_are_one_share(database: Database, books: SqlBooks) -> None:
    for _ in range(2):
        solve(books, 5, 5, 5000)
    assert store(books, logged(4, ANNA), logged(5, ANNA, header_hash=header_hash(5))) == 1
    assert stored(database) == [("main", 4, 4), ("main", 5, 5)]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
@pytest.mark.usefixtures("middling_memory")
def test_storage_hashes_count_once_whatever_comes(
    tmp_path: Path, new_sqlite_url: Callable[[], str], seed: int
) -> None:
    """Two processes with two logs, stored shares that come again whenever, hashes sent again within what memory
    holds (what comes again fills it, too), processes that start anew: each hash is stored once, by the first.
    """
    chance = random.Random(seed)
    database = Database(new_sqlite_url())
    logs = ["left", "right"]
    books = {name: SqlBooks(database, name, "main") for name in logs}
    sent: dict[str, list[LoggedShare]] = {name: [] for name in logs}
    expected: dict[int, tuple[str, int]] = {}
    number = 0
    replayed = False
    for _ in range(chance.randrange(5, 25)):
        name = chance.choice(logs)
        if chance.random() < 0.15:
            books[name] = SqlBooks(database, name, "main")
        if sent[name] and not replayed and chance.random() < 0.4:
            replayed = True
            start = chance.randrange(len(sent[name]))
            books[name].store_shares(sent[name][start : start + chance.randrange(1, 9)], Position(1, 1), NOW_MS)
            continue
        replayed = False
        batch = []
        for _ in range(chance.randrange(1, 6)):
            number += 1
            of = max(1, number - chance.randrange(5)) if chance.random() < 0.2 else number
            batch.append(logged(number, ANNA, header_hash=header_hash(of), time_ms=1000 * number))
            expected.setdefault(of, (name, number))
        books[name].store_shares(batch, Position(1, 1), NOW_MS)
        # One that was passed over is no replay of something stored.
        sent[name] += (one for one in batch if expected[number_of(one)] == (name, one.share.sequence))
    assert stored(database) == sorted((name, sequence, of) for of, (name, sequence) in expected.items())
    with database.read() as connection:
        assert check_shares(connection) == []
    database.close()


# -- the audit ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [1, 3])
def test_audit_finds_a_header_hash_that_counts_twice(
    database: Database, books: SqlBooks, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pool.audit.share_checks.PART_SHARES", -(-6 // parts))
    numbers = [40 * number for number in range(1, 7)]
    store(books, *(logged(number, ANNA, header_hash=header_hash(number)) for number in numbers))
    with database.read() as connection:
        assert check_shares(connection) == []
    with database.write() as connection:
        row = tables.shares.c
        connection.execute(update(tables.shares).where(row.sequence == 240).values(header_hash=header_hash(80)))
    with database.read() as connection:
        (finding,) = check_shares(connection)
    assert (finding.rule, finding.subject) == ("shares", f"{80:064x}")
    assert finding.text == "this header hash counts 2 times: sequence 80 of main, sequence 240 of main"


@pytest.mark.parametrize("column", ["route_id", "chain_set_id"])
def test_audit_finds_a_share_under_nothing(database: Database, books: SqlBooks, column: str) -> None:
    store(books, logged(1, ANNA), logged(2, ANNA))
    with database.write() as connection:
        connection.execute(text(f"UPDATE shares SET {column} = 99 WHERE sequence = 2"))
    with database.read() as connection:
        (finding,) = check_shares(connection)
    table = {"route_id": "routes", "chain_set_id": "chain_sets"}[column]
    assert str(finding) == f"shares main: sequence 2 is under row 99 of {table}, there is none"
