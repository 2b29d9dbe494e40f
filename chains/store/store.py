"""What a node keeps: (table, key, value) in the order in which keys were first put, in one SQLite file.

A batch is one transaction and on disk when `write` returns: write-ahead log with synchronous=FULL, which syncs the log
at every commit. A crash in the middle of a batch leaves none of it. Each row carries a CRC-32, because SQLite notices
broken pages and not changed values.

A file that is truncated or damaged is set aside under another name, never repaired and never deleted, and the node
starts with nothing: its peers have the chain. (A write-ahead log that was cut off is no damage: SQLite goes back to
the last whole batch.) What must never be forgotten, promises of signatures, is not kept here (chains/signer).
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO

log = logging.getLogger("parapool.store")

FILE_NAME = "records.db"
LOCK_NAME = "lock"
SCHEMA_VERSION = 1
_MAGIC = 0x50504E53  # "PPNS", SQLite's application_id
_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE records (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    in_table TEXT NOT NULL,
    key BLOB NOT NULL,
    value BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    UNIQUE (in_table, key)
);
"""
_PUT = """
INSERT INTO records (in_table, key, value, checksum) VALUES (?, ?, ?, ?)
ON CONFLICT (in_table, key) DO UPDATE SET value = excluded.value, checksum = excluded.checksum
"""

Put = tuple[str, bytes, bytes]
Delete = tuple[str, bytes]
Records = dict[str, list[tuple[bytes, bytes]]]


class StoreError(Exception):
    """The store cannot be used, and starting again would not help: locked, of another network, no right to write."""


class StoreFailedError(Exception):
    """A batch could not be written (full disk, broken disk). Nothing of it is kept; the node must end."""


class DamagedError(Exception):
    """The file is no whole database of ours."""


class Store:
    """One node's records in `directory`, for this process alone. `identity` is what the records belong to: network and
    genesis. `set_aside` is where a damaged file went at this start. Raises StoreError."""

    def __init__(self, directory: Path, identity: bytes) -> None:
        self._identity = identity
        self._path = directory / FILE_NAME
        self.set_aside: Path | None = None
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._lock: IO[bytes] = open(directory / LOCK_NAME, "ab")  # noqa: SIM115 - held for the node's life
        except OSError as error:
            raise StoreError(f"{directory}: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise StoreError(f"{directory} is in use by another process") from None
        try:
            self._connection = self._open()
        except BaseException:
            self._lock.close()
            raise

    def records(self) -> Records:
        """Everything, by table."""
        found: Records = {}
        for table, key, value in self._connection.execute("SELECT in_table, key, value FROM records ORDER BY place"):
            found.setdefault(table, []).append((key, value))
        return found

    def write(self, puts: Iterable[Put] = (), deletes: Iterable[Delete] = ()) -> None:
        """All of it or nothing, on disk when this returns. Raises StoreFailedError."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(_PUT, [(t, k, v, checksum(t, k, v)) for t, k, v in puts])
            self._connection.executemany("DELETE FROM records WHERE in_table = ? AND key = ?", list(deletes))
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise StoreFailedError(f"{self._path}: {error}") from error

    def close(self) -> None:
        self._connection.close()
        self._lock.close()

    # -- opening ------------------------------------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        if not self._path.exists():
            return self._create()
        try:
            return self._open_whole()
        except DamagedError as error:
            self.set_aside = set_aside(self._path)
            log.error("store damaged and set aside, the node starts with nothing file=%s: %s", self.set_aside, error)
            return self._create()

    def _create(self) -> sqlite3.Connection:
        try:
            connection = _connect(self._path)
            connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA application_id = {_MAGIC};")
            connection.execute("INSERT INTO meta VALUES ('identity', ?)", (self._identity,))
            connection.execute("INSERT INTO meta VALUES ('version', ?)", (str(SCHEMA_VERSION).encode(),))
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error
        sync_directory(self._path.parent)
        return connection

    def _open_whole(self) -> sqlite3.Connection:
        """Raises DamagedError, or StoreError for a file that is whole and not this node's."""
        try:
            connection = _connect(self._path)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
                raise StoreError(f"{self._path}: {error}") from error
            raise DamagedError(str(error)) from error
        except sqlite3.DatabaseError as error:
            raise DamagedError(str(error)) from error
        try:
            self._check(connection)
        except (sqlite3.DatabaseError, DamagedError) as error:
            connection.close()
            raise DamagedError(str(error)) from error
        except StoreError:
            connection.close()
            raise
        return connection

    def _check(self, connection: sqlite3.Connection) -> None:
        if connection.execute("PRAGMA application_id").fetchone()[0] != _MAGIC:
            raise DamagedError("no store of a node")
        problem = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if problem != "ok":
            raise DamagedError(str(problem))
        meta = dict(connection.execute("SELECT name, value FROM meta"))
        if meta.get("version") != str(SCHEMA_VERSION).encode():
            raise StoreError(f"{self._path} was written by another version of this program")
        if meta.get("identity") != self._identity:
            raise StoreError(f"{self._path} belongs to another network or genesis")
        for table, key, value, given in connection.execute("SELECT in_table, key, value, checksum FROM records"):
            if checksum(table, key, value) != given:
                raise DamagedError(f"a record of {table} is not what was written")


def checksum(table: str, key: bytes, value: bytes) -> int:
    return zlib.crc32(value, zlib.crc32(key, zlib.crc32(table.encode())))


def set_aside(path: Path) -> Path:
    """Move a database with its log files out of the way, under the first free number; where it went."""
    number = 1
    while (target := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    for suffix in ("-wal", "-shm"):
        side = path.with_name(path.name + suffix)
        if side.exists():
            side.rename(target.with_name(target.name + suffix))
    path.rename(target)
    sync_directory(path.parent)
    return target


def sync_directory(directory: Path) -> None:
    """Make names that were created or changed in it survive a loss of power."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=5.0)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection
