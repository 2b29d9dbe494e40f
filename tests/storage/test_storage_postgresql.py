"""What only PostgreSQL has: sessions with limits, a server that goes away and comes back, and TRUNCATE."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import alembic.command
import pytest
from bookkeeping_world import TERMS, World
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError, OperationalError
from storage_samples import logged, make_route
from support.postgresql import PostgresqlServer

from pool.accounting.books_away import BooksAwayError
from pool.services import bookkeeping
from pool.services.log_ingest import LogIngest
from pool.shares.record import Position
from pool.storage import postgresql
from pool.storage.books import SqlBooks
from pool.storage.database import Database, migrating, upgrade
from pool.storage.payer_lock import PayerLock

ANNA = make_route("anna")


@pytest.fixture(autouse=True)
def _tell_all(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "parapool.books")


@pytest.fixture
def database(new_postgresql_url: Callable[[], str]) -> Iterator[Database]:
    opened = Database(new_postgresql_url())
    yield opened
    opened.close()


@pytest.fixture
def own_server() -> Iterator[PostgresqlServer]:
    """A server that the test may stop."""
    server = PostgresqlServer()
    yield server
    server.close()


def shown(connection: Connection, name: str) -> str:
    return str(connection.execute(text(f"SHOW {name}")).scalar_one())


def test_postgresql_sessions_are_durable_and_never_wait_for_ever(database: Database) -> None:
    expected = {
        "synchronous_commit": "on",
        "lock_timeout": "10s",
        "statement_timeout": "1min",
        "idle_in_transaction_session_timeout": "1min",
        "application_name": "parapool",
        "client_encoding": "UTF8",
    }
    with database.write() as connection:
        assert {name: shown(connection, name) for name in expected} == expected
        assert shown(connection, "transaction_isolation") == "read committed"
    with database.read() as connection:
        assert {name: shown(connection, name) for name in expected} == expected
        assert shown(connection, "transaction_isolation") == "repeatable read"
        assert shown(connection, "transaction_read_only") == "on"
    with database.write() as connection:
        assert shown(connection, "transaction_read_only") == "off"


def test_postgresql_migrations_wait_for_no_lock_and_run_no_statement_for_ever(
    postgresql_server: PostgresqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody has a table: the migration gives up in order, and the next start does it."""
    with postgresql_server.database(empty=True) as url:
        with migrating(url) as config:
            connection = config.attributes["connection"]
            assert {name: shown(connection, name) for name in ("lock_timeout", "statement_timeout")} == {
                "lock_timeout": "10s", "statement_timeout": "1h",
            }  # fmt: skip
            connection.rollback()
            alembic.command.upgrade(config, "0008")
        database = Database(url)
        monkeypatch.setattr(postgresql, "LOCK_TIMEOUT_MS", 100)
        with database.read() as somebody:
            somebody.execute(text("SELECT * FROM payout_batches"))
            with pytest.raises(OperationalError, match="lock timeout"):
                upgrade(url)
            assert somebody.execute(text("SELECT version_num FROM alembic_version")).scalar() == "0008"
        upgrade(url)
        with database.read() as connection:
            assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() != "0008"
        database.close()


@pytest.mark.parametrize("table", ["credits", "transfers", "transfer_groups"])
def test_postgresql_refuses_to_empty_an_append_only_table(database: Database, table: str) -> None:
    with pytest.raises(IntegrityError, match=f"{table} is append-only"), database.write() as connection:
        connection.execute(text(f"TRUNCATE {table} CASCADE"))


def test_postgresql_readers_need_no_turn(database: Database) -> None:
    with database.write() as writer:
        writer.execute(text("INSERT INTO chain_sets (names) VALUES ('a')"))
        with database.read() as reader:
            assert reader.execute(text("SELECT count(*) FROM chain_sets")).scalar() == 0


def test_postgresql_statement_over_its_time_is_the_database_being_away(database: Database) -> None:
    with pytest.raises(BooksAwayError, match="statement timeout"), database.write() as connection:
        connection.execute(text("SET LOCAL statement_timeout = 20"))
        connection.execute(text("SELECT pg_sleep(5)"))


def test_postgresql_standby_is_the_database_being_away(database: Database) -> None:
    with pytest.raises(BooksAwayError, match="read-only"), database.write() as connection:
        connection.execute(text("SET TRANSACTION READ ONLY"))
        connection.execute(text("INSERT INTO chain_sets (names) VALUES ('a')"))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_postgresql_books_go_on_after_a_restart_of_the_server(
    own_server: PostgresqlServer, how: signal.Signals
) -> None:
    with own_server.database() as url:
        database = Database(url)
        books = SqlBooks(database)
        books.store_shares([logged(1, ANNA)], Position(1, 100), 0)
        own_server.stop(how)
        for _ in range(2):
            with pytest.raises(BooksAwayError) as told:
                books.store_shares([logged(2, ANNA)], Position(1, 200), 0)
            assert "secret-word" not in str(told.value) and "\n" not in str(told.value)
        own_server.start()
        assert books.position() == (Position(1, 100), 1)
        assert books.store_shares([logged(2, ANNA)], Position(1, 200), 0) == 1
        database.close()


def test_postgresql_that_is_away_is_waited_for_by_who_wants_to_pay(own_server: PostgresqlServer) -> None:
    with own_server.database() as url:
        database = Database(url)
        lock = PayerLock(database, "alpha", "test", 0)
        own_server.stop()
        assert not lock.held
        lock.close()
        with pytest.raises(BooksAwayError):
            PayerLock(database, "alpha", "test", 0)
        own_server.start()
        lock = PayerLock(database, "alpha", "test", 0)
        assert lock.held
        assert lock.epoch == 2
        lock.close()
        database.close()


async def test_postgresql_outage_is_told_once_and_all_is_credited_afterwards(
    own_server: PostgresqlServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bookkeeping, "RETRY_S", 0.02)
    with own_server.database() as url:
        world = World(tmp_path, url)
        running = bookkeeping.Bookkeeping(
            LogIngest(world.log, world.solutions, world.books, bookkeeping.wall_ms),
            world.books, world.chains, TERMS, world.executor, interval_s=0.01,
        )  # fmt: skip
        task = asyncio.create_task(running.run())
        try:
            world.log.append(1, ANNA)
            await _until(lambda: running.consumed_through == 1)
            await asyncio.to_thread(own_server.stop)
            world.chains["alpha"].mine(5, height=5)
            world.solve("alpha", 5, 2, ANNA, "accepted")
            await _until(lambda: "shares" in running.faults)  # a chain that rests has not met the outage yet
            assert all(fault.startswith("the database is away: ") for fault in running.faults.values())
            await asyncio.to_thread(own_server.start)
            await _until(lambda: not running.faults)
            await _until(lambda: world.state(5)[0] == "immature")
        finally:
            task.cancel()
            await asyncio.wait([task])
        told = [record.getMessage() for record in caplog.records if "database" in record.getMessage()]
        assert len(told) == 2, told
        assert told[0].startswith("the database is away, the books wait: ") and "secret-word" not in caplog.text
        assert told[1] == "the database is back, the books go on"
        assert world.dump()["shares"] == [1, 2]
        world.close()


async def test_postgresql_that_hangs_is_told_once(
    own_server: PostgresqlServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bookkeeping, "SILENT_S", 0.1)
    with own_server.database() as url:
        world = World(tmp_path, url)
        world.log.append(1, ANNA)
        await world.settle()
        own_server.pause()
        world.log.append(2, ANNA)
        step = asyncio.create_task(world.bookkeeping.step())
        await _until(lambda: "has not answered" in caplog.text)
        own_server.go_on()
        await step
        await world.settle()
        assert world.dump()["shares"] == [1, 2]
        assert caplog.text.count("has not answered") == caplog.text.count("the database answers again") == 1
        world.close()


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


def test_postgresql_session_that_ends_in_a_transaction_leaves_nothing(database: Database) -> None:
    with pytest.raises(BooksAwayError), database.write() as connection:
        connection.execute(text("INSERT INTO chain_sets (names) VALUES ('a')"))
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    with database.write() as connection:
        assert connection.execute(text("SELECT count(*) FROM chain_sets")).scalar() == 0


def test_postgresql_server_ends_and_leaves_no_folder(tmp_path: Path) -> None:
    server = PostgresqlServer()
    with server.database() as url:
        assert Database(url).engine.url.port is not None
    server.close()
    assert server.left_behind() == []
