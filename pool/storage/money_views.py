"""The chains' money as the metrics show it: what is owed, what is there, whether it balances, and who waits longest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import Connection, case, func, select
from sqlalchemy.orm import aliased

from pool.ledger.account import ASSET_IMMATURE, ASSET_WALLET, INCOME_FEE, grows_by_debit
from pool.storage.tables import balances, blocks, transfer_groups, transfers

MAX_WAITING = 2000
"""Accounts of a chain that are looked at for the longest wait: those that are owed most."""


class ChainMoney(NamedTuple):
    """Smallest units; by (chain, kind), and by chain."""

    liabilities: dict[tuple[str, str], int]
    coins: dict[tuple[str, str], int]
    fees: dict[str, int]
    imbalance: dict[str, int]


def chain_money(connection: Connection) -> ChainMoney:
    """Sums over the balances of each chain, a few rows per chain however many miners it has."""
    part = case(
        (balances.c.account.like("liab.%.immature"), "liab.immature"),
        (balances.c.account.like("liab.%.available"), "liab.available"),
        (balances.c.account.like("liab.%.reserved"), "liab.reserved"),
        else_=balances.c.account,
    )
    # Summed in two halves: SQLite's SUM fails beyond 63 bits.
    high, low = func.sum(balances.c.amount // 2**31), func.sum(balances.c.amount % 2**31)
    rows = connection.execute(select(balances.c.chain, part, high, low).group_by(balances.c.chain, part))
    money = ChainMoney({}, {}, {}, {})
    for chain, account, high_sum, low_sum in rows:
        amount = int(high_sum) * 2**31 + int(low_sum)
        owner, _, kind = account.partition(".")
        money.imbalance[chain] = money.imbalance.get(chain, 0) + (amount if grows_by_debit(account) else -amount)
        money.fees.setdefault(chain, 0)
        if owner == "liab":
            money.liabilities[chain, kind] = amount
        elif account in (ASSET_IMMATURE, ASSET_WALLET):
            money.coins[chain, kind] = amount
        elif account == INCOME_FEE:
            money.fees[chain] = amount
    return money


def newest_money(connection: Connection) -> tuple[dict[str, int], int]:
    """By chain, when its newest block was found; and a number that is another one when money was booked since."""
    newest = select(blocks.c.chain, func.max(blocks.c.found_ms).label("found_ms")).where(blocks.c.state != "rejected")
    found_ms = {row.chain: row.found_ms for row in connection.execute(newest.group_by(blocks.c.chain))}
    return found_ms, connection.execute(select(func.max(transfers.c.id))).scalar() or 0


def oldest_unpaid_ms(connection: Connection, minimums: Mapping[str, int], now_ms: int) -> dict[str, int]:
    """Per paying chain, how long the one who waits longest has been owed the chain's minimum payout: since the last
    debit of what is available to him, which is a payment, or else since his first final credit. 0 with nobody."""
    paid, credit, group = aliased(transfers), aliased(transfers), aliased(transfer_groups)
    last_paid = (
        select(func.max(transfer_groups.c.created_ms))
        .join(paid, paid.c.group_id == transfer_groups.c.id)
        .where(paid.c.chain == balances.c.chain, paid.c.debit == balances.c.account)
        .scalar_subquery()
    )
    first_credit = (
        select(func.min(group.c.created_ms))
        .join(credit, credit.c.group_id == group.c.id)
        .where(credit.c.chain == balances.c.chain, credit.c.credit == balances.c.account)
        .scalar_subquery()
    )
    waits = {}
    for chain, minimum in minimums.items():
        due = (
            select(func.coalesce(last_paid, first_credit).label("since_ms"))
            .where(
                balances.c.chain == chain, balances.c.account.like("liab.%.available"), balances.c.amount >= minimum
            )
            .order_by(balances.c.amount.desc())
            .limit(MAX_WAITING)
            .subquery()
        )
        since_ms = connection.execute(select(func.min(due.c.since_ms))).scalar()
        waits[chain] = 0 if since_ms is None else max(0, now_ms - int(since_ms))
    return waits
