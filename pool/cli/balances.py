"""`pool ledger release | import`: what is held handed over by the operator, and balances brought from another pool."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from pool.cli.books import in_books, now_ms, plain_text
from pool.cli.options import EXIT_NO, EXIT_OK, config_option, load_config, set_option

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pool.storage.held_store import Released
    from pool.storage.opening_store import Imported


@click.command(short_help="Hand what is held over to an address.")
@click.argument("held_for")
@click.option("--chain", required=True, help="The chain's name in the configuration.")
@click.option("--to", "to_address", metavar="ADDRESS", required=True, help="An address of that chain.")
@click.option("--reason", required=True, callback=plain_text, help="Kept with the release, for whoever asks later.")
@config_option()
@set_option
def release(
    held_for: str, chain: str, to_address: str, reason: str, config_file: str, overrides: tuple[str, ...]
) -> NoReturn:
    """Hand what is held and final for the parent address HELD_FOR over to an address of CHAIN.

    Miners do this themselves with a signed message (docs/operating/miners-settings.md). Use it when one cannot sign,
    and you are sure of whom you deal with: nobody can take it back. Moves what is there now; again moves what has come
    since.

    \b
    Example:
      pool ledger release bcrt1qexample --chain namecoin --to nc1qexample --reason "ticket 12" -c pool.yaml
    """
    from pool.miners.refusal import MinerFrozenError, SettingsRefusedError
    from pool.settings_rules import settings_rules
    from pool.storage import held_store, settings_store

    config = load_config(config_file, overrides)
    rules = settings_rules(config)
    try:
        miner, to = rules.miner(held_for), rules.destination(chain, to_address)
    except SettingsRefusedError as error:
        raise click.UsageError(str(error)) from error

    def work(connection: Connection) -> Released | None:
        if settings_store.is_frozen(connection, miner.script.hex()):
            raise MinerFrozenError(f"{miner.address} is frozen: unfreeze it first")
        released = held_store.release_held(connection, chain, miner.script.hex(), to, now_ms())
        if released is not None:
            text = f"release-held: {chain} {to.address}\namount: {released.amount}\nreason: {reason}"
            settings_store.note(connection, miner, text, now_ms())
        return released

    released = in_books(config, work)
    if released is None:
        click.echo(f"nothing final is held for {miner.address} on {chain}")
        sys.exit(EXIT_NO)
    click.echo(f"released {released.amount} of {chain} to {released.address}")
    sys.exit(EXIT_OK)


@click.command("import", short_help="Take balances from another pool.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--add", is_flag=True, help="Also for accounts that brought a balance along in an earlier file.")
@click.option("--dry-run", is_flag=True, help="Check the file and the funds, and change nothing.")
@config_option()
@set_option
def import_balances(file: Path, add: bool, dry_run: bool, config_file: str, overrides: tuple[str, ...]) -> NoReturn:
    """Take the balances in FILE over from another pool: CSV with the columns chain, address, amount.

    Amounts are whole smallest units. They come out of what you funded on each chain, and are owed to the miners like
    anything they earn here. All of a file or nothing: each bad line is named as FILE:LINE, with exit code 1. A file
    that was taken already changes nothing.

    \b
    Example:
      pool ledger import balances.csv --dry-run -c pool.yaml
    """
    from pool.miners.balance_file import MAX_BYTES, BalanceFileError, read_balances
    from pool.settings_rules import settings_rules
    from pool.storage import opening_store

    class Rehearsed(Exception):
        """Everything went well and is rolled back."""

    config = load_config(config_file, overrides)

    def work(connection: Connection) -> Imported:
        done = opening_store.import_balances(connection, balances, now_ms(), add=add)
        if dry_run and not done.again:
            raise Rehearsed
        return done

    try:
        with file.open("rb") as opened:
            balances = read_balances(opened.read(MAX_BYTES + 1), settings_rules(config))
        again = in_books(config, work).again
        told = "was taken before, nothing changes" if again else "taken"
    except Rehearsed:
        told = "good, nothing was changed (--dry-run)"
    except BalanceFileError as error:
        for mistake in error.mistakes:
            click.echo(f"{file}:{mistake.line}: {mistake.sentence}", err=True)
        click.echo("nothing was taken", err=True)
        sys.exit(EXIT_NO)
    except opening_store.NotFundedError as error:
        raise click.ClickException(f"{error}. Nothing was taken.") from error
    except OSError as error:
        raise click.UsageError(f"{file}: {error.strerror}") from error
    sums = ", ".join(f"{amount} of {chain}" for chain, amount in balances.totals().items())
    click.echo(f"{len(balances.balances)} balances, {sums}: {told} (reference {balances.reference})")
    sys.exit(EXIT_OK)
