"""Who pays on a chain: one process at a time, and a number that outs everybody who was before.

The lock keeps two payers from working at once (P4). It can be lost without its holder noticing (a connection that
breaks, a folder on a network), so each payer that gets it also raises the chain's epoch, and whatever a payer writes
is refused unless the epoch is still its own.
"""

from __future__ import annotations

import fcntl
from hashlib import sha256
from pathlib import Path
from typing import IO

from sqlalchemy import Connection, make_url, select, text, update
from sqlalchemy.exc import DBAPIError

from pool.payouts.standing import FencedError, OtherPayerError
from pool.storage.database import Database, add_missing
from pool.storage.payout_tables import payer_epochs


class PayerLock:
    """The right to pay on one chain, until `close` or the end of the process. Raises OtherPayerError when taken,
    BooksAwayError while the database is away.

    SQLite: a lock on a file beside the database. PostgreSQL: an advisory lock of a session that does nothing else.
    """

    def __init__(self, database: Database, chain: str, holder: str, now_ms: int) -> None:
        self.chain = chain
        self._file: IO[str] | None = None
        self._session: Connection | None = None
        if database.engine.dialect.name == "postgresql":
            self._session = _lock_session(database, chain)
        else:
            self._file = _lock_file(database, chain)
        try:
            with database.write() as connection:
                self.epoch = _next_epoch(connection, chain, holder, now_ms)
        except BaseException:
            self.close()
            raise

    @property
    def held(self) -> bool:
        """Whether the lock is still there, asked before anything is signed."""
        if self._session is None:
            return self._file is not None and not self._file.closed
        try:
            self._session.execute(text("SELECT 1"))
        except DBAPIError:
            return False
        return True

    def fence(self, connection: Connection) -> None:
        """First thing in each write: whoever is not the newest payer writes nothing. Raises FencedError."""
        column = payer_epochs.c
        mine = update(payer_epochs).where(column.chain == self.chain, column.epoch == self.epoch)
        if connection.execute(mine.values(epoch=self.epoch)).rowcount != 1:
            raise FencedError(f"another payer took {self.chain}, this one was number {self.epoch}")

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
        if self._file is not None:
            self._file.close()


def lock_key(chain: str) -> int:
    """The advisory lock of a chain's payer: 63 bits out of its name, other than the writers' lock."""
    return int.from_bytes(sha256(f"parapool payer {chain}".encode()).digest()[:8], "big") >> 1


def _lock_file(database: Database, chain: str) -> IO[str]:
    path = make_url(str(database.engine.url)).database
    assert path is not None, "the books are in a file"
    lock = Path(f"{path}.payer-{chain}").open("w")  # noqa: SIM115  it is held for as long as this process pays
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise OtherPayerError(f"another process pays on {chain} (it holds {lock.name})") from error
    return lock


def _lock_session(database: Database, chain: str) -> Connection:
    with database.telling_when_away():
        session = database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            taken = session.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": lock_key(chain)}).scalar_one()
        except BaseException:
            session.close()
            raise
    if not taken:
        session.close()
        raise OtherPayerError(f"another process pays on {chain} over this database")
    return session


def _next_epoch(connection: Connection, chain: str, holder: str, now_ms: int) -> int:
    add_missing(connection, payer_epochs, [{"chain": chain, "epoch": 0, "holder": "", "since_ms": 0}])
    column = payer_epochs.c
    epoch: int = connection.execute(select(column.epoch).where(column.chain == chain)).scalar_one() + 1
    changed = update(payer_epochs).where(column.chain == chain)
    connection.execute(changed.values(epoch=epoch, holder=holder, since_ms=now_ms))
    return epoch
