"""Balances brought from another pool, written into the books: all of a file or nothing, and each file once."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from sqlalchemy import Connection, select

from pool.ledger.account import OPERATOR_AVAILABLE, available
from pool.ledger.opening import opening
from pool.miners.balance_file import Balance, BalanceFile, BalanceFileError, Mistake
from pool.shares.record import AccountKey
from pool.storage import ledger_store
from pool.storage.account_store import account_ids
from pool.storage.tables import balances, transfer_groups, transfers

log = logging.getLogger("parapool.books")


class NotFundedError(Exception):
    """The operator's available money does not cover what the file brings; one sentence per chain."""


@dataclass(frozen=True, slots=True)
class Imported:
    """`again` when the file had been taken before, and nothing was done."""

    reference: str
    again: bool


def import_balances(connection: Connection, file: BalanceFile, now_ms: int, *, add: bool = False) -> Imported:
    """Every balance of the file is owed from now on, out of the operator's available money.

    Raises BalanceFileError for an account that brought a balance along in another file, unless `add`, and
    NotFundedError; the caller's transaction then has nothing to keep.
    """
    if _is_taken(connection, file):
        return Imported(file.reference, again=True)
    _check_funds(connection, file)
    second: list[Mistake] = []
    for chain, total in file.totals().items():
        own = [balance for balance in file.balances if balance.chain == chain]
        keys = [AccountKey("miner", balance.script_hex, balance.address) for balance in own]
        ids = account_ids(connection, chain, keys)
        opened = _opened(connection, chain)
        second += [
            Mistake(balance.line, _second(balance)) for balance in own if available(ids[balance.script_hex]) in opened
        ]
        amounts = {ids[balance.script_hex]: balance.amount for balance in own}
        ledger_store.post(connection, opening(chain, file.reference, amounts), now_ms)
        log.info("balances imported chain=%s amount=%d reference=%s", chain, total, file.reference)
    if second and not add:
        raise BalanceFileError(sorted(second))
    return Imported(file.reference, again=False)


def _is_taken(connection: Connection, file: BalanceFile) -> bool:
    """A file is taken whole, so one of its chains speaks for all."""
    group_id = opening(file.balances[0].chain, file.reference, {}).id
    return ledger_store.find_group(connection, group_id) is not None


def _opened(connection: Connection, chain: str) -> set[str]:
    """The ledger accounts that brought a balance along before."""
    query = select(transfers.c.credit).join(transfer_groups, transfer_groups.c.id == transfers.c.group_id)
    query = query.where(transfers.c.chain == chain, transfers.c.debit == OPERATOR_AVAILABLE)
    return set(connection.execute(query.where(transfer_groups.c.kind == "opening").distinct()).scalars())


def _second(balance: Balance) -> str:
    return f"{balance.chain} {balance.address} brought a balance along in another file; --add if this is one more"


def _check_funds(connection: Connection, file: BalanceFile) -> None:
    query = select(balances.c.chain, balances.c.amount).where(balances.c.account == OPERATOR_AVAILABLE)
    own = {row.chain: row.amount for row in connection.execute(query)}
    short = [
        f"{chain}: the file brings {amount}, the operator has {own.get(chain, 0)} available; fund {amount - have} first"
        for chain, amount in sorted(file.totals().items())
        if amount > (have := own.get(chain, 0))
    ]
    if short:
        raise NotFundedError("; ".join(short))
