"""`pool ledger closings`: the books as a stream of sealed stretches, from any one on."""

from __future__ import annotations

import json
import sys
from typing import NoReturn

import click

from pool.cli.options import EXIT_OK, config_option, load_config, set_option

FETCH = 16


@click.command(short_help="Print the sealed stretches of the books.")
@click.option("--after", "number", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, metavar="NUMBER",
              help="Print those behind this one.")
@click.option("--limit", type=click.IntRange(1), default=None, help="Print no more than so many.")
@config_option()
@set_option
def closings(number: int, limit: int | None, config_file: str, overrides: tuple[str, ...]) -> NoReturn:
    """Print the sealed stretches of the books behind a number, oldest first, one JSON object a line.

    Each has number, closed_ms, hash and bytes (hex); what the bytes hold, and how anybody checks them:
    docs/operating/closings.md. Remember the last number and go on behind it.

    \b
    Examples:
      pool ledger closings -c pool.yaml > closings.jsonl
      pool ledger closings -c pool.yaml --after 1200 --limit 100
    """
    config = load_config(config_file, overrides)
    from pool.storage import closing_store
    from pool.storage.audit_views import NoBooksError, snapshot

    try:
        with snapshot(config.database_url()) as connection:
            left = limit
            while left is None or left > 0:
                found = closing_store.after(connection, number, FETCH if left is None else min(FETCH, left))
                if not found:
                    break
                for closing in found:
                    click.echo(json.dumps(closing.for_people(), separators=(",", ":")))
                number = found[-1].number
                left = None if left is None else left - len(found)
    except NoBooksError as error:
        raise click.UsageError(str(error)) from error
    sys.exit(EXIT_OK)
