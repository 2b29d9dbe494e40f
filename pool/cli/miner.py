"""`pool miner`: one miner's settings: shown, changed by what the miner signed, payouts stopped and allowed again."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, NoReturn

import click

from pool.cli.books import from_books, in_books, now_ms, plain_text
from pool.cli.options import EXIT_NO, EXIT_OK, Command, config_option, load_config, set_option

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pool.config.configuration import Config
    from pool.miners.settings_message import Destination, SettingsRules


@click.group(short_help="Miners' own settings, and freezing a miner.")
def miner() -> None:
    """Miners' own settings, and freezing a miner. The pool may run meanwhile.

    \b
    Examples:
      pool miner settings bcrt1qexample -c pool.yaml
      pool miner freeze bcrt1qexample --reason "stolen rigs, ticket 12" -c pool.yaml
    """


@miner.command(short_help="Show everything that is set for an address.")
@click.argument("address")
@config_option()
@set_option
def settings(address: str, config_file: str, overrides: tuple[str, ...]) -> NoReturn:
    """Show what is set for the parent address ADDRESS, its accounts, and every message with its signature.

    It shows which addresses its logins named: that is for the operator, do not hand it to anybody else.

    \b
    Example:
      pool miner settings bcrt1qexample -c pool.yaml
    """
    from pool.miners.amount import coins_text
    from pool.storage import settings_views

    config = load_config(config_file, overrides)
    rules = _rules_of(config)
    found = _of_any_chain(rules, address)

    def read(connection: Connection) -> list[str]:
        seen = settings_views.miner_settings(connection, found, rules.parent)
        frozen = "no" if seen["frozen"] is None else seen["frozen"]
        lines = [f"address {found.address}", f"frozen: {frozen}", f"number of the next message: {seen['next_number']}"]
        lines += [f"offline notice: {seen['offline_notice']}"] if seen["offline_notice"] else []
        for chain, chosen in seen["chains"].items():
            minimum = chosen["minimum_payout"]
            least = "the pool's" if minimum is None else f"{coins_text(minimum)} ({minimum})"
            lines.append(f"{chain}: minimum payout {least}, registered address {chosen['registered'] or 'none'}")
        for account in settings_views.accounts_of(connection, found):
            held = " held" if account.held else ""
            lines.append(f"account {account.id} {account.chain}{held}: available {account.available}")
        for chain, named in settings_views.named_addresses(connection, found):
            lines.append(f"a login of it named: {chain} {named}")
        for message in settings_views.messages_of(connection, found):
            when = datetime.fromtimestamp(message["received_ms"] // 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
            lines += ["", f"{when} {message['source']}:", *(f"  {line}" for line in message["message"].splitlines())]
            lines += [f"  signature: {message['signature']}"] if message["signature"] else []
        return lines

    click.echo("\n".join(from_books(config, read)))
    sys.exit(EXIT_OK)


@miner.command("apply", short_help="Do what a miner's signed message says.")
@click.argument("file", type=click.File(encoding="utf-8", errors="replace"))
@config_option()
@set_option
def apply_file(file: IO[str], config_file: str, overrides: tuple[str, ...]) -> NoReturn:
    """Do what the signed message in FILE says, as if the miner had posted it.

    FILE (- for stdin) holds the message and below it a line `signature: …`. The signature must be the miner's.

    \b
    Example:
      pool miner apply message.txt -c pool.yaml
    """
    from pool.miners.message_file import MAX_FILE, read_message_file
    from pool.miners.refusal import SettingsRefusedError
    from pool.storage import settings_store

    config = load_config(config_file, overrides)
    rules = _rules_of(config)
    try:
        text, signature, message = read_message_file(file.read(MAX_FILE + 1), rules, datetime.now(UTC).date())
    except SettingsRefusedError as error:
        raise click.ClickException(f"{file.name}: {error}") from error
    applied = in_books(
        config,
        lambda connection: settings_store.apply_message(connection, message, text, signature, rules, now_ms()),
    )
    told = "was applied before, nothing changes" if applied.again else "applied"
    click.echo(f"message {applied.number} of {message.miner.address}: {told}")
    for released in applied.released:
        click.echo(f"released {released.amount} of {released.chain} to {released.address}")
    sys.exit(EXIT_OK)


def _reason_option(command: Command) -> Command:
    return click.option("--reason", required=True, callback=plain_text, help="Kept for ever, for whoever asks later.")(
        command
    )


@miner.command(short_help="Pay nothing to an address until it is unfrozen.")
@click.argument("address")
@_reason_option
@config_option()
@set_option
def freeze(address: str, reason: str, config_file: str, overrides: tuple[str, ...]) -> NoReturn:
    """Pay nothing to ADDRESS, of any chain, and release nothing that is held for it, until it is unfrozen.

    It goes on earning. Payouts that are signed already go out. Other addresses that its logins named are accounts of
    their own, for anybody can name any address: they are listed, freeze them too if you are sure.

    \b
    Example:
      pool miner freeze bcrt1qexample --reason "stolen rigs, ticket 12" -c pool.yaml
    """
    from pool.storage import settings_store, settings_views

    config = load_config(config_file, overrides)
    found = _of_any_chain(_rules_of(config), address)

    def work(connection: Connection) -> tuple[bool, list[tuple[str, str]]]:
        done = settings_store.freeze(connection, found, reason, now_ms())
        return done, settings_views.named_addresses(connection, found)

    done, named = in_books(config, work)
    click.echo(f"{found.address} is frozen" if done else f"{found.address} was frozen before")
    for chain, other in named:
        click.echo(f"a login of it named: {chain} {other}")
    sys.exit(EXIT_OK)


@miner.command(short_help="Pay an address again.")
@click.argument("address")
@_reason_option
@config_option()
@set_option
def unfreeze(address: str, reason: str, config_file: str, overrides: tuple[str, ...]) -> NoReturn:
    """End the freeze of ADDRESS: the next payouts have what it earned meanwhile.

    \b
    Example:
      pool miner unfreeze bcrt1qexample --reason "theirs, ticket 12" -c pool.yaml
    """
    from pool.storage import settings_store

    config = load_config(config_file, overrides)
    found = _of_any_chain(_rules_of(config), address)
    done = in_books(config, lambda connection: settings_store.unfreeze(connection, found, reason, now_ms()))
    click.echo(f"{found.address} is no longer frozen" if done else f"{found.address} was not frozen")
    sys.exit(EXIT_OK if done else EXIT_NO)


def _rules_of(config: Config) -> SettingsRules:
    from pool.settings_rules import settings_rules

    return settings_rules(config)


def _of_any_chain(rules: SettingsRules, address: str) -> Destination:
    """An address of the parent, else of the first chain that reads it: equal addresses are equal scripts."""
    from pool.miners.refusal import SettingsRefusedError

    for chain in rules.networks:
        try:
            return rules.destination(chain, address)
        except SettingsRefusedError:
            continue
    raise click.UsageError(f"{address!r} is an address of none of the chains: {', '.join(rules.networks)}")
