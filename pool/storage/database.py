"""The database: how it is opened, brought to the newest schema, read and written.

Synchronous on purpose: everything runs in one worker thread per process (docs/adr/0003). SQLite runs in WAL mode with
synchronous=FULL, so a committed transaction survives a power loss; write transactions take the write lock at once
(BEGIN IMMEDIATE), so that two processes over one file wait for each other instead of failing half way.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
from sqlalchemy import Connection, Engine, Insert, Table, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite

import migrations

BUSY_TIMEOUT_MS = 10_000


def sqlite_url(path: Path) -> str:
    """The URL of an SQLite file."""
    return f"sqlite:///{path}"


def open_engine(url: str) -> Engine:
    """An engine for the URL, with the pragmas and transactions that the books rely on."""
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
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
    database = make_url(url).database
    if make_url(url).get_backend_name() == "sqlite" and database:
        Path(database).parent.mkdir(parents=True, exist_ok=True)
    engine = open_engine(url)
    try:
        config = alembic.config.Config()
        # The option is read with % interpolation.
        scripts = str(Path(migrations.__file__).parent).replace("%", "%%")
        config.set_main_option("script_location", scripts)
        with engine.connect() as connection:
            config.attributes["connection"] = connection.execution_options(writes=True)
            alembic.command.upgrade(config, "head")
    finally:
        engine.dispose()


def insert_missing(connection: Connection, table: Table) -> Insert:
    """An INSERT that passes over rows which break a uniqueness rule."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


class Database:
    """An open database. `read` and `write` each are one transaction; a `read_only` one refuses to be written."""

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        self.engine = open_engine(url)
        if read_only and self.engine.dialect.name == "sqlite":
            event.listen(self.engine, "connect", _forbid_writes)
        elif read_only:
            self.engine = self.engine.execution_options(postgresql_readonly=True)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view; rolled back at the end."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction: everything in the block is committed together, or nothing when it raises."""
        with self.engine.connect() as connection:
            writing = connection.execution_options(writes=True)
            with writing.begin():
                yield writing

    def close(self) -> None:
        self.engine.dispose()
