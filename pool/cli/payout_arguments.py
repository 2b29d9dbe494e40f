"""What the commands of `pool payouts` are given: chains, amounts, reasons, coins; and what of it is refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from pool.cli.books import plain_text

if TYPE_CHECKING:
    from chains.wallet import Outpoint
    from pool.config.configuration import Config

chain_argument = click.argument("chain")
reason_option = click.option("--reason", required=True, callback=plain_text, help="Why; kept in the books.")
DASHES = {"ignore_unknown_options": True}
"""A negative amount is an amount to be refused, and no option."""


def amount(context: click.Context, parameter: click.Parameter, text: str) -> int:
    """An amount of the operator's, in whole smallest units."""
    if not re.fullmatch(r"[0-9]{1,19}", text) or not 1 <= int(text) <= 2**62:
        raise click.BadParameter(f"{text!a}: expected whole smallest units (satoshi), from 1 to {2**62}")
    return int(text)


def known(config: Config, chain: str) -> None:
    """Raises click.UsageError unless the chain is in the configuration."""
    if chain not in config.chains:
        raise click.UsageError(f"CHAIN: expected one of {', '.join(config.chains)}")


def paying(config: Config, chain: str) -> None:
    """Raises click.UsageError unless the chain pays its miners."""
    known(config, chain)
    if config.chains[chain].payouts is None:
        raise click.UsageError(f"CHAIN: {chain} has no section payouts in the configuration")


def txid(text: str) -> bytes:
    """A txid in natural order, from its displayed hex."""
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise click.UsageError("expected a TXID of 64 hex digits")
    return bytes.fromhex(text)[::-1]


def outpoint_of(text: str) -> Outpoint:
    """A coin, from TXID:VOUT."""
    from chains.wallet import Outpoint

    name, _, vout = text.partition(":")
    if not re.fullmatch(r"\d{1,5}", vout):
        raise click.UsageError("expected TXID:VOUT, such as 6f2c…e1:0")
    return Outpoint(txid(name), int(vout))
