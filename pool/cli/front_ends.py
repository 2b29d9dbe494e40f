"""`pool ledger front-ends` and `write-off`: which front ends a pool has, and what to do about one that is gone."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import click

from pool.cli.options import EXIT_NO, EXIT_OK, config_option, load_config, set_option

if TYPE_CHECKING:
    from pool.config.configuration import Config
    from pool.storage.database import Database

ALIVE_S = 60
"""A front end that has drained within this time is at work; nobody writes it off by mistake."""


@click.command("front-ends", short_help="List the front ends and how far each has drained.")
@config_option()
@set_option
def front_ends(config_file: str, overrides: tuple[str, ...]) -> NoReturn:
    """List the pool's front ends: name, drained how long ago, newest share stored.

    Blocks are credited when every front end has drained past their solve, except those that are written off.

    \b
    Example:
      pool ledger front-ends -c pool.yaml
    """
    config = load_config(config_file, overrides)
    from pool.storage import front_ends as stored

    now_ms = time.time_ns() // 1_000_000
    with _database(config) as database, database.read() as connection:
        found = stored.front_ends(connection, config.pool.name)
    for log in found:
        state = "written off" if log.written_off_ms is not None else _drained(log.drained.time_ms, now_ms)
        click.echo(f"{log.name}  {state}  share {log.sequence}")
    if not found:
        click.echo("no front end has stored anything yet")
    sys.exit(EXIT_OK)


@click.command("write-off", short_help="Stop waiting for a front end that is gone.")
@click.argument("name")
@config_option()
@set_option
def write_off(name: str, config_file: str, overrides: tuple[str, ...]) -> NoReturn:
    """Stop waiting for the front end NAME: its disk is gone, and with it the shares that it had not fed.

    Blocks that wait for it are credited without them. Should it come back, it is waited for again. Safe to repeat.

    \b
    Example:
      pool ledger write-off parapool/eu -c pool.yaml
    """
    config = load_config(config_file, overrides)
    from pool.storage import front_ends as stored

    now_ms = time.time_ns() // 1_000_000
    with _database(config) as database, database.write() as connection:
        known = {log.name: log for log in stored.front_ends(connection, config.pool.name)}
        if name not in known:
            raise click.UsageError(f"there is no front end {name!r}, only {', '.join(known) or 'none at all'}")
        if now_ms - known[name].drained.time_ms < ALIVE_S * 1000:
            click.echo(f"{name} is at work: {_drained(known[name].drained.time_ms, now_ms)}", err=True)
            sys.exit(EXIT_NO)
        stored.write_off(connection, config.pool.name, name, now_ms)
    click.echo(f"{name} is written off")
    sys.exit(EXIT_OK)


def _drained(time_ms: int, now_ms: int) -> str:
    return "never drained" if not time_ms else f"drained {max(0, now_ms - time_ms) // 1000} s ago"


@contextmanager
def _database(config: Config) -> Iterator[Database]:
    """The configured database; one that cannot be used is wrong use."""
    from sqlalchemy import inspect
    from sqlalchemy.exc import SQLAlchemyError

    from pool.accounting.books_away import BooksAwayError
    from pool.storage.database import Database, in_short

    try:
        database = Database(config.database_url())
        try:
            if not inspect(database.engine).has_table("share_logs"):
                raise click.UsageError("there are no books yet")
            yield database
        finally:
            database.close()
    except (SQLAlchemyError, BooksAwayError) as error:
        raise click.UsageError(f"the books cannot be used: {in_short(error)}") from error
