"""What the commands that write the books share: one transaction, and one line about whatever stands in the way."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pool.config.configuration import Config

T = TypeVar("T")


def in_books(config: Config, work: Callable[[Connection], T]) -> T:
    """The outcome of one write transaction in the configured books, which must be there; beside a running pool it
    takes its turn. Whatever `work` raises rolls back everything; LedgerError, NoLossError and SettingsRefusedError end
    with 1.
    """
    from sqlalchemy.exc import SQLAlchemyError

    from pool.accounting.books_away import BooksAwayError
    from pool.ledger.transfer import LedgerError
    from pool.miners.refusal import SettingsRefusedError
    from pool.storage.audit_views import NoBooksError, snapshot
    from pool.storage.block_losses import NoLossError
    from pool.storage.database import Database, in_short

    url = config.database_url()
    try:
        with snapshot(url):
            database = Database(url)
        try:
            with database.write() as connection:
                return work(connection)
        finally:
            database.close()
    except NoBooksError as error:
        raise click.UsageError(str(error)) from error
    except (LedgerError, NoLossError, SettingsRefusedError) as error:
        raise click.ClickException(str(error)) from error
    except (SQLAlchemyError, BooksAwayError) as error:
        raise click.ClickException(f"the books cannot be written: {in_short(error)}") from error


def from_books(config: Config, read: Callable[[Connection], T]) -> T:
    """What `read` finds in a snapshot of the configured books."""
    from pool.storage.audit_views import NoBooksError, snapshot

    try:
        with snapshot(config.database_url()) as connection:
            return read(connection)
    except NoBooksError as error:
        raise click.UsageError(str(error)) from error


def plain_text(_context: click.Context, option: click.Parameter, text: str) -> str:
    """A reason is kept for ever and shown on terminals: one line of printable characters."""
    if not text.strip() or not text.isprintable() or len(text) > 200:
        raise click.BadParameter("expected one line of 1 to 200 printable characters", param=option)
    return text.strip()


def now_ms() -> int:
    return time.time_ns() // 1_000_000
