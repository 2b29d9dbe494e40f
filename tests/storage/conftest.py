"""A fresh database for each storage test, which runs once on SQLite and once on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.postgresql import PostgresqlServer

from pool.storage.books import SqlBooks
from pool.storage.database import Database, sqlite_url, upgrade

NewUrl = Callable[[], str]


@pytest.fixture(scope="session")
def empty_sqlite(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("empty") / "pool.db"
    upgrade(sqlite_url(path))
    return path.read_bytes()


@pytest.fixture
def new_sqlite_url(tmp_path: Path, empty_sqlite: bytes) -> NewUrl:
    """Makes an SQLite file with the newest schema at each call."""

    def new_url() -> str:
        path = tmp_path / f"pool{len(list(tmp_path.glob('pool*.db')))}.db"
        path.write_bytes(empty_sqlite)
        return sqlite_url(path)

    return new_url


@pytest.fixture
def new_postgresql_url(postgresql_server: PostgresqlServer) -> Iterator[NewUrl]:
    """Makes a PostgreSQL database with the newest schema at each call; they are dropped with the test."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(postgresql_server.database())


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest) -> NewUrl:
    made: NewUrl = request.getfixturevalue(f"new_{request.param}_url")
    return made


@pytest.fixture
def url(new_url: NewUrl) -> str:
    return new_url()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = Database(url)
    yield opened
    opened.close()


@pytest.fixture
def books(database: Database) -> SqlBooks:
    return SqlBooks(database)


@pytest.fixture
def bare_url(url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database without anything in it."""
    if url.startswith("sqlite"):
        yield sqlite_url(tmp_path / "deep" / "bare.db")
        return
    server: PostgresqlServer = request.getfixturevalue("postgresql_server")
    with server.database(empty=True) as bare:
        yield bare
