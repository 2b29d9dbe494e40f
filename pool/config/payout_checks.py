"""The configuration's rules about payouts that look at more than one key. Each check returns (location, what was
expected); the plain values may be wrong in other ways."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from chains.signer.keys import KeyFileError, read_key
from pool.config.chain_checks import ChainFacts, Mistake, password_problem
from pool.config.payouts import PayoutsSection

LOGINS = ("password_file", "password_env", "cookie_file")
PASSPHRASES = ("passphrase_file", "passphrase_env")
SECRET_FILES = ("password_file", "passphrase_file")
ACCOUNT_KINDS = ("bk", "parallel")
"""Kinds whose ledgers have accounts: an account of the pool's pays, with a key that the pool has."""

FOR_COINS = ("wallet_name", "passphrase_file", "passphrase_env", "signing", "max_inputs", "consolidate_above")
"""What means nothing where there are no coins and no wallet at the node."""


def payout_mistakes(chains: list[ChainFacts], *, reads_secrets: bool = True) -> Iterator[Mistake]:
    """All mistakes in the sections of payouts. A process that does not pay leaves the files of secrets alone: it may
    well not be allowed to read them."""
    for chain in chains:
        section = chain.values.get("payouts")
        if not isinstance(section, Mapping):
            continue
        if chain.kind in ACCOUNT_KINDS and section.get("key_file") is None:
            yield (
                (*chain.location, "payouts"),
                f"expected a key_file: a chain of kind {chain.kind} is paid from an account, with its address's key",
            )
        found = [*_mistakes(section), *_kind_mistakes(section, chain.kind)]
        for key, expected in (*found, *(_secret_mistakes(section) if reads_secrets else ())):
            yield (*chain.location, "payouts", key), expected


def _kind_mistakes(section: Mapping[str, Any], kind: str | None) -> Iterator[tuple[str, str]]:
    if kind in ACCOUNT_KINDS:
        for key in FOR_COINS:
            if section.get(key) is not None:
                yield key, f"expected none: a chain of kind {kind} has accounts and no coins"
    elif kind is not None and section.get("key_file") is not None:
        yield "key_file", f"expected none: the wallets of a chain of kind {kind} keep their keys themselves"


def _mistakes(section: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for keys in (LOGINS, PASSPHRASES):
        given = [key for key in keys if section.get(key) is not None]
        if len(given) > 1:
            yield given[1], f"expected one of {', '.join(keys)}, not {' and '.join(given)}"
    if section.get("cookie_file") is not None and section.get("user") is not None:
        yield "user", "expected no user beside a cookie_file, which holds one"
    for key in LOGINS[:2]:
        if section.get(key) is not None and section.get("user") is None:
            yield key, "expected a user as well"
    if section.get("user") is not None and not any(section.get(key) is not None for key in LOGINS):
        yield "user", "expected password_file or password_env as well"
    fields = PayoutsSection.model_fields
    lowest = section.get("min_fee_rate", fields["min_fee_rate"].default)
    highest = section.get("max_fee_rate", fields["max_fee_rate"].default)
    if type(lowest) is int and type(highest) is int and lowest > highest:
        key = "min_fee_rate" if "min_fee_rate" in section else "max_fee_rate"
        yield key, f"expected min_fee_rate ≤ max_fee_rate, these are {lowest} and {highest}"


def _secret_mistakes(section: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key in SECRET_FILES:
        value = section.get(key)
        problem = password_problem(Path(value)) if isinstance(value, str) and value and "\x00" not in value else None
        if problem is not None:
            yield key, problem
    key_file = section.get("key_file")
    if isinstance(key_file, str) and key_file and "\x00" not in key_file:
        try:
            read_key(Path(key_file))
        except KeyFileError as error:
            yield "key_file", f"expected a key of our own: {error}"
