"""The ledger in SQL: groups of transfers, appended once, with the balances they lead to.

Balances are sums kept beside the transfers for speed; `audit` rebuilds them from the transfers and says where they
differ.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from pool.ledger.account import ASSET_WALLET, EQUITY_LOSS, SUSPENSE_DEPOSIT, grows_by_debit, never_negative
from pool.ledger.solvency import Cover, check_cover, cover_of, lessens_cover
from pool.ledger.transfer import LedgerError, Transfer, TransferGroup, check, imbalance, movements
from pool.storage import ledger_links
from pool.storage.database import add_missing
from pool.storage.tables import balances, transfer_groups, transfers


def post(connection: Connection, group: TransferGroup, now_ms: int, before: Cover | None = None) -> bool:
    """Writes a group and its balances. False, and nothing written, when this cause has been booked already. `before` is
    the chain's cover as it is, from whoever posts many groups in one transaction and has asked for it once.

    Raises LedgerError when a rule of the books would be broken; the caller's transaction must then be rolled back.
    """
    check(group)
    row = {"id": group.id, "chain": group.chain, "kind": group.kind, "created_ms": now_ms}
    if not add_missing(connection, transfer_groups, [row]):
        return False
    if group.transfers:
        connection.execute(
            insert(transfers),
            [
                {"group_id": group.id, "chain": group.chain, "debit": t.debit, "credit": t.credit, "amount": t.amount}
                for t in group.transfers
            ],
        )
    if lessens_cover(group):
        check_cover(group, cover(connection, group.chain) if before is None else before)
    for account, change in movements(group).items():
        _change_balance(connection, group, account, change)
    ledger_links.link(connection, group, now_ms)
    return True


def cover(connection: Connection, chain: str) -> Cover:
    """What the chain's wallet holds and what is owed for good (invariant I13)."""
    counted = or_(
        balances.c.account.in_((ASSET_WALLET, SUSPENSE_DEPOSIT, EQUITY_LOSS)),
        balances.c.account.like("liab.%.available"),
        balances.c.account.like("liab.%.reserved"),
    )
    query = select(balances.c.account, balances.c.amount).where(balances.c.chain == chain, counted)
    return cover_of({row.account: row.amount for row in connection.execute(query)})


def _change_balance(connection: Connection, group: TransferGroup, account: str, change: int) -> None:
    column = balances.c
    key: dict[str, Any] = {"chain": group.chain, "account": account}
    add_missing(connection, balances, [key | {"amount": 0}])
    changed = (
        update(balances)
        .where(column.chain == group.chain, column.account == account)
        .values(amount=column.amount + change)
    )
    try:
        connection.execute(changed)
    except IntegrityError as error:
        raise LedgerError(f"{group.id}: {account} would fall below zero") from error


def find_group(connection: Connection, group_id: str) -> TransferGroup | None:
    """A written group with its transfers, in order."""
    row = connection.execute(select(transfer_groups).where(transfer_groups.c.id == group_id)).one_or_none()
    if row is None:
        return None
    query = select(transfers.c.debit, transfers.c.credit, transfers.c.amount)
    rows = connection.execute(query.where(transfers.c.group_id == group_id).order_by(transfers.c.id))
    return TransferGroup(row.id, row.chain, row.kind, tuple(Transfer(*item) for item in rows))


def chain_balances(connection: Connection, chain: str) -> dict[str, int]:
    """Every account of a chain with its balance, in smallest units."""
    query = select(balances.c.account, balances.c.amount).where(balances.c.chain == chain)
    return {row.account: row.amount for row in connection.execute(query)}


def audit(connection: Connection) -> list[str]:
    """Rebuilds all balances from the transfers (I12) and checks I2 and I3. Returns what is wrong, in words; empty is
    good.
    """
    rebuilt: dict[str, dict[str, int]] = {}
    for side in (transfers.c.debit, transfers.c.credit):
        # Summed in two halves: SQLite's SUM fails beyond 63 bits.
        high = func.sum(transfers.c.amount // 2**31)
        low = func.sum(transfers.c.amount % 2**31)
        rows = connection.execute(select(transfers.c.chain, side, high, low).group_by(transfers.c.chain, side))
        for chain, account, high_sum, low_sum in rows:
            amount = int(high_sum) * 2**31 + int(low_sum)
            signed = amount if grows_by_debit(account) == (side is transfers.c.debit) else -amount
            accounts = rebuilt.setdefault(chain, {})
            accounts[account] = accounts.get(account, 0) + signed
    kept: dict[str, dict[str, int]] = {}
    for row in connection.execute(select(balances)):
        kept.setdefault(row.chain, {})[row.account] = row.amount
    faults = []
    for chain in sorted(rebuilt.keys() | kept.keys()):
        ours, theirs = rebuilt.get(chain, {}), kept.get(chain, {})
        for account in sorted(ours.keys() | theirs.keys()):
            if ours.get(account, 0) != theirs.get(account, 0):
                faults.append(
                    f"{chain} {account}: balance {theirs.get(account, 0)}, transfers give {ours.get(account, 0)}"
                )
            if ours.get(account, 0) < 0 and never_negative(account):
                faults.append(f"{chain} {account}: below zero")
        if imbalance(theirs):
            faults.append(f"{chain}: debits and credits differ by {imbalance(theirs)}")
    return faults
