"""Accounts by what names them: who can be owed coins on a chain. Everything here leaves the commit to its caller."""

from __future__ import annotations

from sqlalchemy import Connection, select

from pool.ledger.account import available
from pool.shares.record import AccountKey, AccountKind
from pool.storage.database import add_missing
from pool.storage.tables import accounts, balances


def find_account(connection: Connection, chain: str, kind: AccountKind, script_hex: str) -> int | None:
    """The id of an account, None while nothing was ever credited to it."""
    column = accounts.c
    query = select(column.id).where(column.chain == chain, column.kind == kind, column.script_hex == script_hex)
    return connection.execute(query).scalar_one_or_none()


def account_id(connection: Connection, chain: str, key: AccountKey) -> int:
    """The id of an account, made if it is not there."""
    row = {"chain": chain, "kind": key.kind, "script_hex": key.script_hex, "address": key.address}
    if (found := find_account(connection, chain, key.kind, key.script_hex)) is not None:
        return found
    add_missing(connection, accounts, [row])
    made = find_account(connection, chain, key.kind, key.script_hex)
    assert made is not None, "added just now"
    return made


def available_balance(connection: Connection, chain: str, account: int) -> int:
    """What is owed to an account for good, in smallest units."""
    query = select(balances.c.amount).where(balances.c.chain == chain, balances.c.account == available(account))
    return connection.execute(query).scalar_one_or_none() or 0
