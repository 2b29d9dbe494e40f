"""`pool ledger withholding`: does anybody keep the blocks he finds?"""

from __future__ import annotations

import sys
import time
from typing import NoReturn

import click

from pool.cli.options import EXIT_NO, EXIT_OK, config_option, load_config, set_option

DAY_MS = 86_400_000


@click.command(short_help="Hold each miner's solves against his work.")
@config_option()
@set_option
@click.option("--days", type=click.FloatRange(0.001, 3660), default=3.0, show_default=True,
              help="Look back so far; never further than books.share_days.")
@click.option("--chain", help="One chain only.")
@click.option("--rows", type=click.IntRange(1, 100_000), default=20, show_default=True, help="Show so many.")
def withholding(config_file: str, overrides: tuple[str, ...], days: float, chain: str | None, rows: int) -> NoReturn:
    """Hold each miner's solves against his part of the work, the least likely first. Who drops every solve shows on the
    chain with the most blocks first; who drops the parent's only, on the parent alone.

    Exit code 1 when somebody's luck is too bad to be luck: less than 1 % for the unluckiest of all the rows. Ask him,
    and look at his next blocks, before you accuse: a machine with broken hardware looks the same.

    \b
    Example:
      pool ledger withholding -c pool.yaml --days 7
    """
    from pool.audit.withholding import judge
    from pool.storage.audit_views import NoBooksError, snapshot
    from pool.storage.solver_views import chain_work

    url = load_config(config_file, overrides).database_url()
    try:
        with snapshot(url) as connection:
            found = chain_work(connection, time.time_ns() // 1_000_000 - round(days * DAY_MS))
    except NoBooksError as error:
        raise click.UsageError(str(error)) from error
    judged = [row for row in judge(found) if chain in (None, row.chain)]
    if not judged:
        click.echo("no shares in this time")
        sys.exit(EXIT_OK)
    width = max(len(row.miner) for row in judged[:rows])
    click.echo(f"{'chain':<12} {'miner':<{width}} {'work':>8} {'solved':>7} {'expected':>9} {'chance':>9}")
    for row in judged[:rows]:
        mark = "  <- too few to be luck" if row.suspicious else ""
        click.echo(
            f"{row.chain:<12} {row.miner:<{width}} {row.part:>8.3%} {row.solved:>7,} {row.expected:>9,.1f}"
            f" {row.chance:>9.2g}{mark}"
        )
    sys.exit(EXIT_NO if any(row.suspicious for row in judged) else EXIT_OK)
