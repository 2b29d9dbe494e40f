"""The database: how it is opened, brought to the newest schema, read and written.

Synchronous on purpose: everything runs in one worker thread per process (docs/adr/0003). SQLite runs in WAL mode with
synchronous=FULL, so a committed transaction survives a power loss; write transactions take the write lock at once
(BEGIN IMMEDIATE), so that two processes over one file wait for each other instead of failing half way. PostgreSQL does
the same with an advisory lock: pool/storage/postgresql.py.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
from sqlalchemy import Connection, Engine, Integer, LargeBinary, Table, Text, create_engine, event, make_url
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError

import migrations
from pool.accounting.books_away import BooksAwayError
from pool.progress import in_log
from pool.storage.postgresql import (
    MIGRATION_TIMEOUT_MS,
    STATEMENT_TIMEOUT_MS,
    add_missing_columns,
    add_missing_rows,
    hold_writers,
    is_away,
    is_standby,
    open_postgresql,
)

log = logging.getLogger("parapool.books")

BUSY_TIMEOUT_MS = 10_000

VALUES_ROWS = 100
"""Rows of one statement; SQLite before 3.32 takes 999 values."""


def sqlite_url(path: Path) -> str:
    """The URL of an SQLite file."""
    return f"sqlite:///{path}"


def open_engine(url: str, *, statement_timeout_ms: int = STATEMENT_TIMEOUT_MS) -> Engine:
    """An engine for the URL, with the settings and transactions that the books rely on. `statement_timeout_ms` is for
    PostgreSQL.

    Raises sqlalchemy.exc.ArgumentError for a URL that is none, or of another database or driver.
    """
    parsed = make_url(url)
    if parsed.drivername in ("postgresql", "postgresql+psycopg"):
        named = parsed.set(drivername="postgresql+psycopg")
        return open_postgresql(named, statement_timeout_ms=statement_timeout_ms)
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise ArgumentError("expected a URL that begins with postgresql+psycopg:// or sqlite://")
    engine = create_engine(parsed)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own transactions begin late and would commit DDL; BEGIN is sent by _begin_sqlite instead.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_TIMEOUT_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _forbid_writes(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA query_only=ON").close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def upgrade(url: str) -> None:
    """Brings a database to the newest schema, creating it if need be. Works from a clone and from an installed package.

    Raises alembic.util.CommandError when the database was written by a newer version.
    """
    with in_log("database upgrade", log) as progress, progress.ticking():
        progress.tell("waiting for whoever writes")
        with migrating(url) as config:
            progress.tell("looking at the schema")
            config.attributes["applied"] = lambda revision: progress.tell(f"schema {revision} done, next one")
            alembic.command.upgrade(config, "head")


@contextmanager
def migrating(url: str) -> Iterator[alembic.config.Config]:
    """Alembic's configuration with a connection of its own, while no other process writes or migrates: for all of the
    block on PostgreSQL, for each of Alembic's commands in it on SQLite.

    Raises sqlite3.IntegrityError at the end when rows were left that refer to nothing.
    """
    database = make_url(url).database
    if make_url(url).get_backend_name() == "sqlite" and database:
        Path(database).parent.mkdir(parents=True, exist_ok=True)
    engine = open_engine(url, statement_timeout_ms=MIGRATION_TIMEOUT_MS)
    try:
        config = alembic.config.Config()
        # The option is read with % interpolation.
        scripts = str(Path(migrations.__file__).parent).replace("%", "%%")
        config.set_main_option("script_location", scripts)
        with engine.connect() as connection:
            if engine.dialect.name == "postgresql":
                # Pools that start together over a new database: one makes it, the others find it made.
                hold_writers(connection)
            else:
                _foreign_keys(connection, on=False)
                _raw(connection).execute(f"PRAGMA busy_timeout={MIGRATION_TIMEOUT_MS}").close()
            config.attributes["connection"] = connection.execution_options(writes=True)
            yield config
            if engine.dialect.name == "sqlite":
                _foreign_keys(connection, on=True)
    finally:
        engine.dispose()


def _foreign_keys(connection: Connection, *, on: bool) -> None:
    """SQLite changes a table by copying it and dropping the old one, which its references must not notice. Outside
    transactions only; looks for references to nothing before it turns them on again.
    """
    cursor = _raw(connection).cursor()
    if on:
        lost = cursor.execute("PRAGMA foreign_key_check").fetchall()
        if lost:
            raise sqlite3.IntegrityError(f"the migration left {len(lost)} rows that refer to nothing: {lost[0]}")
    cursor.execute(f"PRAGMA foreign_keys={'ON' if on else 'OFF'}")
    cursor.close()


def _raw(connection: Connection) -> Any:
    """The driver's own connection, on which no transaction begins by itself."""
    raw = connection.connection.dbapi_connection
    assert raw is not None, "the connection is open"
    return raw


def add_missing(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Inserts rows, in order, and passes over those that break a uniqueness rule. All rows have the same columns.

    Returns how many are new.
    """
    if not rows:
        return 0
    if connection.dialect.name == "postgresql":
        return add_missing_rows(connection, table, rows)
    if not _is_plain(table):
        return connection.execute(sqlite.insert(table).on_conflict_do_nothing(), list(rows)).rowcount
    # Costs a quarter less than SQLAlchemy's own way.
    names = tuple(rows[0])
    values = [tuple(row[name] for name in names) for row in rows]
    return connection.exec_driver_sql(_insert(table, names, 1), values).rowcount


def add_missing_tuples(
    connection: Connection, table: Table, names: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
) -> int:
    """As `add_missing`, for what comes by the thousand: the columns are named once. The table is a plain one: whole
    numbers, texts and bytes, and no default of ours.
    """
    if not rows:
        return 0
    if connection.dialect.name == "postgresql":
        return add_missing_columns(connection, table, names, list(zip(*rows, strict=True)))
    # Rows that come in one statement cost SQLite two thirds of what they cost one by one.
    together = VALUES_ROWS * (len(rows) // VALUES_ROWS)
    added = 0
    for start in range(0, together, VALUES_ROWS):
        values = tuple(chain.from_iterable(rows[start : start + VALUES_ROWS]))
        added += connection.exec_driver_sql(_insert(table, names, VALUES_ROWS), values).rowcount
    if together < len(rows):
        added += connection.exec_driver_sql(_insert(table, names, 1), list(rows[together:])).rowcount
    return added


@cache
def _insert(table: Table, names: tuple[str, ...], rows: int) -> str:
    row = f"({', '.join('?' * len(names))})"
    return f"INSERT INTO {table.name} ({', '.join(names)}) VALUES {', '.join([row] * rows)} ON CONFLICT DO NOTHING"


@cache
def _is_plain(table: Table) -> bool:
    """Whether SQLite's driver takes the values as they are: whole numbers, texts and bytes, and no default of ours."""
    return all(
        isinstance(column.type, (Integer, Text, LargeBinary)) and column.default is None for column in table.columns
    )


class Database:
    """An open database. `read` and `write` each are one transaction; a `read_only` one refuses to be written.

    Both raise BooksAwayError while PostgreSQL is away, or SQLite's disk is full or fails.
    """

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        self.engine = open_engine(url)
        self._read_only = read_only
        self._is_postgresql = self.engine.dialect.name == "postgresql"
        if read_only and self._is_postgresql:
            self.engine = self.engine.execution_options(postgresql_readonly=True)
        elif read_only:
            event.listen(self.engine, "connect", _forbid_writes)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view; rolled back at the end."""
        with self.telling_when_away(), self.engine.connect() as connection:
            if self._is_postgresql:
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction: everything in the block is committed together, or nothing when it raises."""
        with self.telling_when_away(), self.engine.connect() as connection:
            writing = connection.execution_options(writes=True)
            with writing.begin():
                yield writing

    @contextmanager
    def telling_when_away(self) -> Iterator[None]:
        """For what is no transaction: raises BooksAwayError as `read` and `write` do."""
        try:
            yield
        except DBAPIError as error:
            if self._is_postgresql and (is_away(error) or (is_standby(error) and not self._read_only)):
                raise BooksAwayError(in_short(error)) from error
            if not self._is_postgresql and _is_disks_fault(error):
                raise BooksAwayError(in_short(error)) from error
            raise

    def close(self) -> None:
        self.engine.dispose()


def _is_disks_fault(error: DBAPIError) -> bool:
    """Whether SQLite tells of the disk and not of the books; its extended codes have the kind in their last byte."""
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)


def in_short(error: BaseException) -> str:
    """One line for people: a database driver's own words without SQLAlchemy's additions."""
    words: str = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
    return words
