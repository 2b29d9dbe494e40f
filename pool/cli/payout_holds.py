"""`pool payouts hold | release | resolve`: what the operator stops, lets go on, and decides.

They only write the books, beside a running pool; its payer goes on from there. Each may be repeated.
"""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from pool.cli.books import in_books, now_ms
from pool.cli.options import EXIT_OK, config_option, load_config, set_option
from pool.cli.payout_arguments import chain_argument, known, reason_option, txid


@click.command(short_help="Pay nothing new on a chain, or stop one batch.")
@chain_argument
@click.option("--batch", "batch_id", metavar="ID", help="Only this batch.")
@reason_option
@config_option()
@set_option
def hold(chain: str, batch_id: str | None, reason: str, config_file: str, overrides: tuple[str, ...]) -> NoReturn:
    """Pay nothing new on CHAIN from now on. What is signed is followed and sent again all the same, unless its batch is
    held by name.

    \b
    Example:
      pool payouts hold namecoin --reason "moving the wallet" -c pool.yaml
    """
    config = load_config(config_file, overrides)
    from pool.storage import payout_holds, payout_orders

    known(config, chain)
    if batch_id is not None:
        state = in_books(config, lambda books: payout_orders.hold_batch(books, batch_id, reason, now_ms(), chain=chain))
        click.echo(f"batch {batch_id} is {state}")
    else:
        new = in_books(config, lambda books: payout_holds.place(books, chain, "operator", reason, now_ms()))
        click.echo(f"{chain} is on hold" if new else f"{chain} is on hold already")
    sys.exit(EXIT_OK)


@click.command(short_help="End a chain's holds.")
@chain_argument
@click.option("--cause", help="Only the hold with this cause, as `show` names it.")
@reason_option
@config_option()
@set_option
def release(chain: str, cause: str | None, reason: str, config_file: str, overrides: tuple[str, ...]) -> NoReturn:
    """End CHAIN's holds. The wallet is compared with the books before anything is paid, so a hold whose reason is still
    there comes back by itself.

    \b
    Example:
      pool payouts release namecoin --reason "coin 5f…:0 was ours, see ticket 12" -c pool.yaml
    """
    config = load_config(config_file, overrides)
    from pool.storage import payout_holds

    known(config, chain)
    ended = in_books(config, lambda books: payout_holds.release_named(books, chain, cause, reason, now_ms()))
    click.echo(f"{ended} holds of {chain} are over")
    sys.exit(EXIT_OK)


@click.command(short_help="Decide about a batch on hold, or a quarantined address.")
@chain_argument
@click.option("--batch", "batch_id", metavar="ID", help="The batch on hold.")
@click.option("--go-on", is_flag=True, help="It goes on where it was.")
@click.option("--void", is_flag=True, help="It is given up, and what it would have paid is owed again.")
@click.option("--spent-by", metavar="TXID", help="For --void of a signed batch: the transaction that took an input.")
@click.option("--account", type=int, help="Try the addresses of this account again.")
@reason_option
@config_option()
@set_option
def resolve(
    chain: str, batch_id: str | None, go_on: bool, void: bool, spent_by: str | None, account: int | None, reason: str,
    config_file: str, overrides: tuple[str, ...],
) -> NoReturn:  # fmt: skip
    """Decide about a batch on hold: --go-on, or --void. One that was signed can only be void when --spent-by names a
    transaction that spends one of its inputs, as deep as a coinbase matures; the wallet is asked whether that is so.

    \b
    Example:
      pool payouts resolve namecoin --batch 0f3c --void --reason "never signed" -c pool.yaml
    """
    config = load_config(config_file, overrides)
    from pool.storage import payout_holds, payout_orders

    known(config, chain)
    if account is not None:
        ended = in_books(config, lambda books: payout_holds.end_quarantine(books, chain, account))
        click.echo(f"{ended} addresses will be tried again")
    elif batch_id is None or go_on == void:
        raise click.UsageError("expected --batch with --go-on or --void, or --account")
    elif go_on:
        state = in_books(
            config, lambda books: payout_orders.release_batch(books, batch_id, reason, now_ms(), chain=chain)
        )
        click.echo(f"batch {batch_id} is {state}")
    else:
        proof = None
        if spent_by is not None:
            from pool.payout_process import proven_conflict

            proof = proven_conflict(config, chain, batch_id, txid(spent_by))
        state = in_books(
            config,
            lambda books: payout_orders.void_batch(
                books, batch_id, reason, now_ms(), conflict_txid=proof, chain=chain
            ),
        )
        click.echo(f"batch {batch_id} is {state}")
    sys.exit(EXIT_OK)
