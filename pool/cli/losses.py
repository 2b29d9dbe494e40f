"""`pool ledger losses | absorb | clawback`: blocks that a deep reorg took after they were final, and who bears them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

import click

from pool.cli.books import from_books, in_books, now_ms
from pool.cli.options import EXIT_NO, EXIT_OK, Command, config_option, load_config, set_option

if TYPE_CHECKING:
    from sqlalchemy import Connection


def _block_options(command: Command) -> Command:
    chain = click.option("--chain", required=True, help="The chain's name in the configuration.")
    block = click.option("--block", "hash_hex", metavar="HASH", required=True, help="The lost block, as listed.")
    return chain(block(command))


@click.command(short_help="List blocks that were final and are lost.")
@config_option()
@set_option
def losses(config_file: str, overrides: tuple[str, ...]) -> NoReturn:
    """List the blocks that a deep reorg took after they were final. While nobody bears a loss, its chain pays nothing.

    Exit code 1 when there are any. What to do about one: docs/operating/lost-blocks.md.

    \b
    Example:
      pool ledger losses -c pool.yaml
    """
    from pool.storage import block_losses

    found = from_books(load_config(config_file, overrides), block_losses.open_losses)
    for lost in found:
        borne = "borne" if not lost.unborne else f"{lost.unborne} borne by nobody yet"
        click.echo(f"{lost.chain} {lost.height} {lost.hash_hex} reward {lost.reward}: {borne}")
    if not found:
        click.echo("no block is lost")
    sys.exit(EXIT_NO if found else EXIT_OK)


@click.command(short_help="The operator bears what is left of a loss.")
@_block_options
@config_option()
@set_option
def absorb(chain: str, hash_hex: str, config_file: str, overrides: tuple[str, ...]) -> NoReturn:
    """The operator bears what nobody bears of a loss. Payouts go on once the wallet holds what is owed; if it does not,
    put in what is missing (pool payouts fund). Safe to repeat.

    \b
    Example:
      pool ledger absorb -c pool.yaml --chain namecoin --block 00000000000000000c0ffee
    """
    from pool.storage import block_losses, ledger_store

    def work(connection: Connection) -> tuple[int, int]:
        amount = block_losses.absorb(connection, chain, hash_hex.lower(), now_ms())
        return amount, ledger_store.cover(connection, chain).surplus

    amount, surplus = in_books(load_config(config_file, overrides), work)
    click.echo(f"absorbed {amount}" if amount else "nothing is left to absorb")
    if surplus < 0:
        click.echo(f"the wallet holds {-surplus} less than what is owed for good: fund it before payouts go on")
    sys.exit(EXIT_OK)


@click.command(short_help="Take back the credits of a lost block.")
@_block_options
@config_option()
@set_option
def clawback(chain: str, hash_hex: str, config_file: str, overrides: tuple[str, ...]) -> NoReturn:
    """Take back what a lost block's credits gave, never more than an account has available. What is paid out already
    stays with the miners; absorb that part. Should the block return, everything is given back. Safe to repeat.

    \b
    Example:
      pool ledger clawback -c pool.yaml --chain namecoin --block 00000000000000000c0ffee
    """
    from pool.storage import block_losses

    def work(connection: Connection) -> tuple[int, int]:
        return block_losses.clawback(connection, chain, hash_hex.lower(), now_ms())

    taken, left = in_books(load_config(config_file, overrides), work)
    click.echo(f"took back {taken}; {left} is borne by nobody yet" if left else f"took back {taken}; the loss is borne")
    sys.exit(EXIT_OK)
