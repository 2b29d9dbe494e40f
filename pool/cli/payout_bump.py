"""`pool payouts bump`: raises the fee of a payout that waits for a block.

It only writes the order into the books, beside a running pool; the chain's payer signs and sends from there.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

import click

from pool.cli.books import from_books, in_books
from pool.cli.options import EXIT_OK, config_option, load_config, set_option
from pool.cli.payout_arguments import paying

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pool.config.configuration import Config
    from pool.payouts.batch import Batch
    from pool.payouts.standing import Funds
    from pool.payouts.terms import PayoutTerms


@click.command(short_help="Raise the fee of a payout that waits for a block.")
@click.argument("batch_id", metavar="BATCH_ID")
@click.option("--fee-rate", type=click.IntRange(1), help="Per 1000 virtual bytes. Default: the node's estimate.")
@click.option("--dry-run", is_flag=True, help="Only say what it would cost.")
@config_option()
@set_option
def bump(
    batch_id: str, fee_rate: int | None, dry_run: bool, config_file: str, overrides: tuple[str, ...]
) -> NoReturn:
    """Replace the transaction of BATCH_ID, which is signed or broadcast and in no block, by one that pays the same with
    a higher fee (BIP125). Only one of the two can ever be mined, and the books take whichever it is. The pool bears
    what the fee grows by, also where miners bear fees.

    \b
    Example:
      pool payouts bump 0f3c --dry-run -c pool.yaml
    """
    config = load_config(config_file, overrides)
    from pool.payout_setup import payout_terms
    from pool.storage.payout_versions import order_bump

    batch, funds = from_books(config, lambda books: _standing(books, batch_id))
    paying(config, batch.chain)
    terms = payout_terms(config, batch.chain)
    rate = fee_rate if fee_rate is not None else _estimated(config, batch.chain, terms)
    click.echo(_cost(batch, funds, terms, rate))
    if not dry_run:
        in_books(config, lambda books: order_bump(books, batch_id, rate))
        click.echo(f"ordered; the payer of {batch.chain} signs and sends it: `pool payouts show --batch {batch_id}`")
    sys.exit(EXIT_OK)


def _standing(books: Connection, batch_id: str) -> tuple[Batch, Funds]:
    from pool.storage import payout_rows
    from pool.storage.payout_store import funds
    from pool.storage.payout_versions import BumpRefusedError, check_not_spent

    batch = payout_rows.find(books, batch_id)
    if batch is None:
        raise click.ClickException(f"there is no batch {batch_id}")
    try:
        check_not_spent(books, batch)
    except BumpRefusedError as error:
        raise click.ClickException(str(error)) from error
    return batch, funds(books, batch.chain)


def _estimated(config: Config, chain: str, terms: PayoutTerms) -> int:
    """The rate that the wallet's node asks, within the operator's cap."""
    import asyncio

    from chains.node_rpc import NodeUnavailableError
    from chains.wallet import WalletRefusedError
    from pool.data_dir import StartError
    from pool.payout_setup import open_wallet
    from pool.payouts.terms import usable_fee_rate

    async def ask() -> int | None:
        wallet = open_wallet(config, chain)
        try:
            return await wallet.fee_rate(terms.fee_target_blocks)
        finally:
            await wallet.close()

    try:
        rate = usable_fee_rate(asyncio.run(ask()), terms)
    except (NodeUnavailableError, WalletRefusedError, StartError, OSError) as error:
        raise click.ClickException(f"the wallet's node cannot be asked for a fee rate: {error}") from error
    if rate is None:
        raise click.ClickException("no fee rate within payouts.max_fee_rate is known; name one with --fee-rate")
    return rate


def _cost(batch: Batch, funds: Funds, terms: PayoutTerms, rate: int) -> str:
    """What it comes to with the batch's own coins, in words. Raises click.ClickException when it cannot be."""
    from pool.payouts.replace import CoinsShortError, ReplaceRefusedError, replacement

    built = batch.built
    script = built.change.script if built is not None and built.change is not None else _script_of_coins(batch)
    try:
        found = replacement(batch, (), terms, fee_rate=rate, change_script=script, fee_budget=funds.fee_budget)
    except CoinsShortError:
        return f"batch {batch.id}: its change does not carry a rate of {rate}; the payer adds a coin if it has one"
    except ReplaceRefusedError as error:
        raise click.ClickException(str(error)) from error
    assert built is not None
    more = found.pool_fee - built.pool_fee
    return f"batch {batch.id}: fee {built.fee} becomes {found.fee}, the pool bears {more} more"


def _script_of_coins(batch: Batch) -> bytes:
    """In place of a fresh address of the wallet, for the size of a change that is not there yet."""
    return batch.built.coins[0].script if batch.built is not None else b""
