"""`pool ledger`: the books proved, explained to a miner, and handed out. What is here only reads."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import click

from pool.cli.options import EXIT_NO, EXIT_OK, Command, config_option, load_config, set_option
from pool.progress import on_stderr

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pool.audit.terms import TermsBook
    from pool.config.configuration import Config

@click.group(short_help="Prove, explain and export the books.")
def ledger() -> None:
    """Prove, explain and export the books; decide about lost blocks. The pool may run meanwhile.

    \b
    Examples:
      pool ledger audit -c pool.yaml
      pool ledger statement bcrt1qexample -c pool.yaml
    """


def _terms_option(command: Command) -> Command:
    return click.option(
        "--terms",
        "past_terms",
        metavar="CHAIN:LAST_HEIGHT:FEE_PPM:FACTOR:WINDOW_MIN_S",
        multiple=True,
        help="For blocks of before the books kept terms: those of CHAIN up to LAST_HEIGHT were credited under these, "
        "not the configured ones (you changed them then): --terms namecoin:812000:10000:2:3600. May be repeated.",
    )(command)


@ledger.command(short_help="Compute every balance and credit once more, and compare.")
@config_option()
@set_option
@_terms_option
def audit(config_file: str, overrides: tuple[str, ...], past_terms: tuple[str, ...]) -> NoReturn:
    """Compute every balance and credit once more, and compare to the unit.

    Balances are rebuilt from the transfers, transfers from the blocks' credits and states, credits from the shares
    that are still stored, miners' settings from the messages they signed. Prints one line per finding (exit code 1),
    or ok with what was looked at (0); what could not be checked stands on stderr as a note. What each finding means:
    docs/operating/audit.md.

    \b
    Examples:
      pool ledger audit -c pool.yaml
      pool ledger audit -c pool.yaml --terms namecoin:812000:10000:2:3600
    """
    config = load_config(config_file, overrides)
    terms = _terms_book(config, past_terms)
    from pool.audit.books_audit import audit as audit_books
    from pool.audit.settings_audit import audit_settings
    from pool.settings_rules import settings_rules

    with _books(config) as connection, on_stderr("audit") as tell:
        report = audit_books(connection, terms, tell)
        settings = audit_settings(connection, settings_rules(config))
    report.findings += settings.findings
    report.notes += settings.notes
    for note in report.notes:
        click.echo(f"note: {note}", err=True)
    for finding in report.findings:
        click.echo(str(finding))
    if report.findings:
        click.echo(f"{len(report.findings)} findings in {report.summary()}", err=True)
        sys.exit(EXIT_NO)
    click.echo(f"ok {report.summary()}")
    sys.exit(EXIT_OK)


@ledger.command(short_help="Explain each credit of an address.")
@click.argument("address")
@config_option()
@set_option
@_terms_option
def statement(address: str, config_file: str, overrides: tuple[str, ...], past_terms: tuple[str, ...]) -> NoReturn:
    """Explain each credit of ADDRESS on each chain, down to block, fee, window and share of it.

    The sums are the balances; where they are not, the line says so and the exit code is 1. An address that nothing was
    ever credited to gives 1, too. It tells nothing about other addresses, so you can send it to the miner who asks.

    \b
    Example:
      pool ledger statement bcrt1qexample -c pool.yaml
    """
    config = load_config(config_file, overrides)
    terms = _terms_book(config, past_terms)
    from pool.audit import statement as statements

    try:
        with _books(config) as connection, on_stderr("statement") as tell:
            lines, whole = statements.statement(connection, address, terms, tell)
    except statements.UnknownAddressError as error:
        raise click.ClickException(str(error)) from error
    click.echo("\n".join(lines))
    sys.exit(EXIT_OK if whole else EXIT_NO)


@ledger.command(short_help="Write what a block's split was made of.")
@click.option("--chain", required=True, help="The chain's name in the configuration.")
@click.option("--block", "hash_hex", metavar="HASH", required=True, help="The block's hash as explorers show it.")
@click.option("--format", "form", type=click.Choice(["json", "csv"]), default="json", show_default=True, help="Form.")
@config_option()
@set_option
@_terms_option
def export(
    chain: str, hash_hex: str, form: str, config_file: str, overrides: tuple[str, ...], past_terms: tuple[str, ...]
) -> NoReturn:
    """Write what the split of a block was made of: reward, fee, and the weight and amount of each address.

    Anybody can compute the amounts from it again: docs/operating/audit.md has twenty lines that do.

    \b
    Examples:
      pool ledger export -c pool.yaml --chain namecoin --block 00000000000000000c0ffee > split.json
      pool ledger export -c pool.yaml --chain namecoin --block 00000000000000000c0ffee --format csv > split.csv
    """
    config = load_config(config_file, overrides)
    terms = _terms_book(config, past_terms)
    from pool.audit import split_export

    try:
        with _books(config) as connection:
            exported = split_export.split_export(connection, chain, hash_hex.lower(), terms)
    except split_export.ExportError as error:
        raise click.ClickException(str(error)) from error
    click.echo(split_export.as_csv(exported) if form == "csv" else split_export.as_json(exported))
    sys.exit(EXIT_OK)


def _terms_book(config: Config, past_terms: tuple[str, ...]) -> TermsBook:
    from pool.audit.terms import CreditTerms, TermsBook, parse_past_terms

    present = {
        name: CreditTerms(config.fee_ppm(name), section.pplns.factor, section.pplns.window_min_s)
        for name, section in config.chains.items()
    }
    try:
        return TermsBook(present, [parse_past_terms(text) for text in past_terms])
    except ValueError as error:
        raise click.UsageError(f"--terms: {error}") from error


@contextmanager
def _books(config: Config) -> Iterator[Connection]:
    """A snapshot of the configured books; books that are not there are wrong use."""
    from pool.storage.audit_views import NoBooksError, snapshot

    try:
        with snapshot(config.database_url()) as connection:
            yield connection
    except NoBooksError as error:
        raise click.UsageError(str(error)) from error
