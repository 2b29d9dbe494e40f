"""A fresh database for each storage test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pool.storage.books import SqlBooks
from pool.storage.database import Database, sqlite_url, upgrade


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("empty") / "pool.db"
    upgrade(sqlite_url(path))
    return path.read_bytes()


@pytest.fixture
def database(tmp_path: Path, empty_database: bytes) -> Iterator[Database]:
    path = tmp_path / "pool.db"
    path.write_bytes(empty_database)
    opened = Database(sqlite_url(path))
    yield opened
    opened.close()


@pytest.fixture
def books(database: Database) -> SqlBooks:
    return SqlBooks(database)
