"""Transfers: the only way money moves. Each goes from one account to another, in groups that stand or fall together.

A group's id is made from its cause, so that doing the same thing twice is impossible; a correction is a new group.
Because a transfer debits one account and credits another by one amount, debits equal credits in every group
(invariant I1); what is checked here is that it is well formed and moves what its cause says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pool.ledger.account import grows_by_debit, never_negative

CORRECTIONS = frozenset({"orphan", "loss", "unfee", "refee"})
"""The kinds of groups that may lessen income or an expense (invariant I4)."""


class LedgerError(Exception):
    """A promise of the books would be broken. Nothing has been changed; payouts stop, mining goes on."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """`amount` smallest units: debit one account, credit another."""

    debit: str
    credit: str
    amount: int


@dataclass(frozen=True, slots=True)
class TransferGroup:
    """Transfers of one chain with one cause, written in one database transaction. `id` begins with `kind`."""

    id: str
    chain: str
    kind: str
    transfers: tuple[Transfer, ...]


def lessens_result(debit: str, credit: str) -> bool:
    """Whether a transfer between these accounts takes income or an expense back."""
    return debit.startswith("income.") or credit.startswith("expense.")


def check(group: TransferGroup) -> TransferGroup:
    """The group itself, if it may be written. Raises LedgerError."""
    if not group.id.startswith(f"{group.kind}:{group.chain}:"):
        raise LedgerError(f"{group.id}: the id of a group names its kind and chain")
    for transfer in group.transfers:
        if type(transfer.amount) is not int or transfer.amount <= 0:
            raise LedgerError(f"{group.id}: {transfer.amount!r} is not a positive whole amount")
        if transfer.debit == transfer.credit:
            raise LedgerError(f"{group.id}: {transfer.debit} is debited and credited by the same transfer")
        if lessens_result(transfer.debit, transfer.credit) and group.kind not in CORRECTIONS:
            raise LedgerError(f"{group.id}: only a correction lessens income or an expense")
    return group


def reverse(group: TransferGroup, group_id: str, kind: str) -> TransferGroup:
    """The exact opposite of a group, under an id of its own."""
    transfers = tuple(Transfer(transfer.credit, transfer.debit, transfer.amount) for transfer in group.transfers)
    return check(TransferGroup(group_id, group.chain, kind, transfers))


def movements(group: TransferGroup) -> dict[str, int]:
    """By how much the group changes each account's balance; accounts it leaves as they are do not appear."""
    changes: dict[str, int] = {}
    for transfer in group.transfers:
        for account, amount in ((transfer.debit, transfer.amount), (transfer.credit, -transfer.amount)):
            changes[account] = changes.get(account, 0) + (amount if grows_by_debit(account) else -amount)
    return {account: change for account, change in sorted(changes.items()) if change}


def apply(balances: Mapping[str, int], group: TransferGroup) -> dict[str, int]:
    """The balances after a group. Raises LedgerError when an asset or liability would fall below zero (I3)."""
    after = dict(balances)
    for account, change in movements(check(group)).items():
        after[account] = after.get(account, 0) + change
        if after[account] < 0 and never_negative(account):
            raise LedgerError(f"{group.id}: {account} would fall to {after[account]}")
    return after


def imbalance(balances: Mapping[str, int]) -> int:
    """Debits less credits over all accounts of a chain; anything but 0 breaks invariant I2."""
    return sum(amount if grows_by_debit(account) else -amount for account, amount in balances.items())
