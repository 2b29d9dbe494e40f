"""Accounts by what names them: who can be owed coins on a chain. Everything here leaves the commit to its caller."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from pool.ledger.account import available
from pool.shares.record import AccountKey, AccountKind
from pool.storage.database import add_missing
from pool.storage.tables import accounts, balances

BATCH = 400
"""Accounts asked for in one statement."""


def find_account(connection: Connection, chain: str, kind: AccountKind, script_hex: str) -> int | None:
    """The id of an account, None while nothing was ever credited to it."""
    column = accounts.c
    query = select(column.id).where(column.chain == chain, column.kind == kind, column.script_hex == script_hex)
    return connection.execute(query).scalar_one_or_none()


def account_id(connection: Connection, chain: str, key: AccountKey) -> int:
    """The id of an account, made if it is not there."""
    found = find_account(connection, chain, key.kind, key.script_hex)
    return found if found is not None else account_ids(connection, chain, [key])[key.script_hex]


def account_ids(connection: Connection, chain: str, keys: Sequence[AccountKey]) -> dict[str, int]:
    """The ids of many accounts of one kind by their scripts; those that are not there are made."""
    rows = [{"chain": chain, "kind": key.kind, "script_hex": key.script_hex, "address": key.address} for key in keys]
    found: dict[str, int] = {}
    column = accounts.c
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        add_missing(connection, accounts, part)
        query = select(column.script_hex, column.id).where(column.chain == chain, column.kind == part[0]["kind"])
        query = query.where(column.script_hex.in_([row["script_hex"] for row in part]))
        found.update((row.script_hex, row.id) for row in connection.execute(query))
    return found


def available_balance(connection: Connection, chain: str, account: int) -> int:
    """What is owed to an account for good, in smallest units."""
    query = select(balances.c.amount).where(balances.c.chain == chain, balances.c.account == available(account))
    return connection.execute(query).scalar_one_or_none() or 0
