"""`pool payouts`: who would be paid, paying, what is on its way, holds, and the operator's own orders.

Commands that order or decide only write the books, beside a running pool; its payer goes on from there. Each may be
repeated without doing anything twice.
"""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from pool.cli.books import from_books
from pool.cli.options import EXIT_NO, EXIT_OK, config_option, load_config, set_option
from pool.cli.payout_arguments import chain_argument, known, paying
from pool.cli.payout_bump import bump
from pool.cli.payout_holds import hold, release, resolve
from pool.cli.payout_key import new_key
from pool.cli.payout_orders import come_back, consolidate, fund, sweep, withdraw


@click.group(short_help="Pay miners, and see what is on its way.")
def payouts() -> None:
    """Pay miners, and see what is on its way. `pool run` pays by itself every `payouts.interval_s`; how to read all of
    this: docs/operating/paying-out.md. Amounts are whole smallest units.

    \b
    Examples:
      pool payouts show -c pool.yaml
      pool payouts plan namecoin --dry-run -c pool.yaml
      pool payouts hold namecoin --reason "moving the wallet" -c pool.yaml
    """


@payouts.command(short_help="Show who would be paid now.")
@chain_argument
@click.option("--dry-run", is_flag=True, help="Say it or not: this never pays; `run --once` does.")
@config_option()
@set_option
def plan(chain: str, dry_run: bool, config_file: str, overrides: tuple[str, ...]) -> NoReturn:
    """Show who would be paid on CHAIN now, due or not, and who is passed over for what reason. Nothing is written and
    no wallet is asked, so fees and coins are not in it.

    \b
    Example:
      pool payouts plan namecoin --dry-run -c pool.yaml
    """
    config = load_config(config_file, overrides)
    from pool.payout_setup import payout_terms
    from pool.payouts.plan import Passed
    from pool.payouts.plan import plan as make_plan
    from pool.storage.payout_store import claims

    paying(config, chain)
    made = make_plan(from_books(config, lambda books: claims(books, chain)), payout_terms(config, chain), lambda: "")
    for payout in made.payouts:
        click.echo(f"pay {payout.gross} to {payout.address}")
    for claim, reason, words in made.passed:
        if reason is not Passed.BELOW_MINIMUM:
            click.echo(f"not {claim.available} to {claim.address}: {reason}{f' ({words})' if words else ''}")
    below = sum(reason is Passed.BELOW_MINIMUM for _, reason, _ in made.passed)
    click.echo(f"{len(made.payouts)} payouts, {made.total} in all; {below} accounts below their minimum")
    sys.exit(EXIT_OK)


@payouts.command(short_help="Pay without running the pool.")
@click.argument("chains", nargs=-1)
@click.option("--once", is_flag=True, help="One pass of each chain, then end.")
@config_option()
@set_option
def run(chains: tuple[str, ...], once: bool, config_file: str, overrides: tuple[str, ...]) -> NoReturn:
    """Pay on CHAINS (default: all that have a section `payouts`) in a process of its own: plan when due, go on with
    what is on its way. A chain is paid by one process at a time: where the pool pays already, this one stands by, and
    with --once ends with 1.

    \b
    Example:
      pool payouts run --once namecoin -c pool.yaml
    """
    config = load_config(config_file, overrides)
    from pool.payout_process import run_payers

    for chain in chains:
        paying(config, chain)
    sys.exit(run_payers(config, chains, once=once))


@payouts.command(short_help="Show batches, holds, deposits and what the wallet holds.")
@click.argument("chain", required=False)
@click.option("--batch", "batch_id", metavar="ID", help="One batch with its payouts.")
@click.option("--last", type=click.IntRange(1, 10_000), default=10, show_default=True, help="So many batches.")
@config_option()
@set_option
def show(
    chain: str | None, batch_id: str | None, last: int, config_file: str, overrides: tuple[str, ...]
) -> NoReturn:
    """Show holds, batches, deposits, addresses in quarantine and what lies above what is owed, of CHAIN or of all, and
    why nothing is paid now; when nothing but the fee can be in the way, the node is asked for it. Exit code 1 while
    anything waits for you: a hold, or a batch that is conflicted or on hold.

    \b
    Example:
      pool payouts show namecoin -c pool.yaml
    """
    config = load_config(config_file, overrides)
    from pool.payout_lines import batch_lines, standing_lines
    from pool.payout_process import reason_lines

    if chain is not None:
        known(config, chain)
    if batch_id is not None:
        lines, good = from_books(config, lambda books: batch_lines(books, batch_id, chain))
    else:
        names = [chain] if chain is not None else list(config.chains)
        why = {name: reason_lines(config, name) for name in names}
        lines, good = from_books(config, lambda books: standing_lines(books, names, last, why))
    click.echo("\n".join(lines))
    sys.exit(EXIT_OK if good else EXIT_NO)


for command in (hold, release, resolve, bump, fund, withdraw, sweep, come_back, consolidate, new_key):
    payouts.add_command(command)
