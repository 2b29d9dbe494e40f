"""`pool payouts fund | withdraw | sweep | return | consolidate`: the operator's own money, in and out.

An order is written into the books, beside a running pool, whose payer makes and sends it. Each may be repeated.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from pool.cli.books import from_books, in_books, now_ms
from pool.cli.options import EXIT_NO, EXIT_OK, config_option, load_config, set_option
from pool.cli.payout_arguments import DASHES, amount, chain_argument, known, outpoint_of, paying, txid

if TYPE_CHECKING:
    from pool.config.configuration import Config
    from pool.payouts.batch import BatchKind

_REFERENCE = re.compile(r"[A-Za-z0-9._-]{1,64}")


@click.command(short_help="Claim a deposit as the operator's money.")
@chain_argument
@click.argument("coin", metavar="TXID:VOUT")
@config_option()
@set_option
def fund(chain: str, coin: str, config_file: str, overrides: tuple[str, ...]) -> NoReturn:
    """Claim the deposit TXID:VOUT as your own money in the pool. Send coins to the wallet first; `show` lists them.

    \b
    Example:
      pool payouts fund namecoin 6f2c…e1:0 -c pool.yaml
    """
    config = load_config(config_file, overrides)
    from pool.storage import payout_coins

    known(config, chain)
    outpoint = outpoint_of(coin)
    amount = in_books(config, lambda books: payout_coins.claim_deposit(books, chain, outpoint, now_ms()))
    click.echo(f"{amount} are the operator's")
    sys.exit(EXIT_OK)


@click.command(short_help="Take the operator's money out.", context_settings=DASHES)
@chain_argument
@click.argument("address")
@click.argument("amount", callback=amount)
@click.option("--ref", "reference", required=True, help="A name for it: the same again is the same withdrawal.")
@config_option()
@set_option
def withdraw(
    chain: str, address: str, amount: int, reference: str, config_file: str, overrides: tuple[str, ...]
) -> NoReturn:
    """Take AMOUNT of your own money out, to ADDRESS: never more than lies above what is owed. The payer sends it.

    \b
    Example:
      pool payouts withdraw namecoin nc1qexample 500000000 --ref 2026-11 -c pool.yaml
    """
    config = load_config(config_file, overrides)
    from pool.payouts.batch import BatchKind

    _order(config, chain, BatchKind.WITHDRAW, reference, address, amount)


@click.command(short_help="Move coins out of the hot wallet; they stay in the books.", context_settings=DASHES)
@chain_argument
@click.argument("address")
@click.argument("amount", callback=amount)
@click.option("--ref", "reference", required=True, help="A name for it: the same again is the same sweep.")
@config_option()
@set_option
def sweep(
    chain: str, address: str, amount: int, reference: str, config_file: str, overrides: tuple[str, ...]
) -> NoReturn:
    """Move AMOUNT out of the hot wallet to ADDRESS, which is yours and not in that wallet. The coins stay in the books
    as what the pool owes from, and are looked at on the chain.

    \b
    Example:
      pool payouts sweep namecoin nc1qcold 5000000000 --ref 2026-11-20 -c pool.yaml
    """
    config = load_config(config_file, overrides)
    from pool.payouts.batch import BatchKind

    _order(config, chain, BatchKind.SWEEP, reference, address, amount)


@click.command("return", short_help="Take swept coins back that came with change.")
@chain_argument
@click.argument("name", metavar="TXID")
@click.option("--stays", "kept", type=click.IntRange(0, 65_535), multiple=True, help="Your cold wallet's output.")
@config_option()
@set_option
def come_back(chain: str, name: str, kept: tuple[int, ...], config_file: str, overrides: tuple[str, ...]) -> NoReturn:
    """Enter that the transaction TXID of your cold wallet brought swept coins back to the wallet, and left the outputs
    named with --stays in the cold one. Of a transaction that pays nobody but the wallet the payer sees it by itself.
    What it cost is booked as a network fee, which you bear.

    \b
    Example:
      pool payouts return namecoin 6f2c…e1 --stays 1 -c pool.yaml
    """
    config = load_config(config_file, overrides)
    from pool.payout_process import cold_return_of
    from pool.storage import ledger_store, payout_coins

    paying(config, chain)
    named_txid = txid(name)
    group_id = f"return:{chain}:{named_txid[::-1].hex()}"
    if from_books(config, lambda books: ledger_store.find_group(books, group_id)) is None:
        found = cold_return_of(config, chain, named_txid, kept)
        in_books(config, lambda books: payout_coins.come_back(books, chain, found, now_ms()))
        back = sum(coin_amount for _, coin_amount in found.hot)
        stays = sum(coin_amount for _, coin_amount in found.kept)
        click.echo(f"{back} are in the wallet again, {stays} stay cold, {found.cost} was the fee")
    else:
        click.echo("that is in the books already")
    sys.exit(EXIT_OK)


@click.command(short_help="Make one coin of many.")
@chain_argument
@click.option("--ref", "reference", required=True, help="A name for it: the same again is the same consolidation.")
@config_option()
@set_option
def consolidate(chain: str, reference: str, config_file: str, overrides: tuple[str, ...]) -> NoReturn:
    """Make one coin of the smallest ones. The payer does it by itself above `payouts.consolidate_above`.

    \b
    Example:
      pool payouts consolidate namecoin --ref 2026-11-20 -c pool.yaml
    """
    config = load_config(config_file, overrides)
    from pool.payouts.batch import BatchKind

    _order(config, chain, BatchKind.CONSOLIDATE, reference, None, 0)


def _order(
    config: Config, chain: str, kind: BatchKind, reference: str, address: str | None, amount: int
) -> NoReturn:
    from chains.primitives.address import AddressError, address_to_script
    from pool.payout_setup import payout_terms
    from pool.payouts.batch import BatchKind, Payout
    from pool.payouts.orders import order_obstacle
    from pool.storage import payout_orders

    paying(config, chain)
    if not _REFERENCE.fullmatch(reference):
        raise click.UsageError("--ref: expected 1 to 64 characters out of A-Z, a-z, 0-9, ., _ and -")
    terms = payout_terms(config, chain)
    if terms.account and kind is not BatchKind.WITHDRAW:
        words = "nothing is swept out of it" if kind is BatchKind.SWEEP else "there is nothing to be made one"
        raise click.UsageError(f"CHAIN: {chain} is paid from an account and has no coins: {words}")
    outputs: tuple[Payout, ...] = ()
    if address is not None:
        try:
            script = address_to_script(address, terms.addresses)
        except AddressError as error:
            raise click.UsageError(f"ADDRESS: {error}") from error
        obstacle = order_obstacle(script, amount, terms)
        if obstacle is not None:
            raise click.UsageError(f"AMOUNT: {obstacle}")
        name = payout_orders.payout_id(chain, kind, reference)
        outputs = (Payout(name, None, address, script, amount),)
    batch = in_books(config, lambda books: payout_orders.order(books, chain, kind, reference, outputs, now_ms()))
    click.echo(f"batch {batch.id} is {batch.state}{f': {batch.reason}' if batch.reason else ''}")
    sys.exit(EXIT_NO if batch.state == "void" else EXIT_OK)
