"""The groups of an income event: coins that a chain owes us appear, become final, vanish, and come back.

An event is named by what brought it (`event_name`); the ledger does not ask what that is. Credited pending in the
immature accounts (`credit`), then posted once (`mature`), or voided and reinstated any number of times (`orphan`,
`reinstate`, numbered from 1). Coins of an event whose shares the operator has bought are the operator's own.
"""

from __future__ import annotations

from collections.abc import Mapping

from pool.ledger.account import (
    ASSET_IMMATURE,
    ASSET_WALLET,
    INCOME_FEE,
    OPERATOR_AVAILABLE,
    OPERATOR_IMMATURE,
    SUSPENSE_UNEXPLAINED,
    available,
    immature,
)
from pool.ledger.transfer import LedgerError, Transfer, TransferGroup, check, reverse


def event_name(hash_hex: str, index: int = 0) -> str:
    """The name of a block's income event in group ids: its hash, with the index behind it for all but the first."""
    return hash_hex if index == 0 else f"{hash_hex}:{index}"


def event_of(name: str) -> tuple[str, int]:
    """The hash and index behind `event_name`."""
    hash_hex, _, index = name.partition(":")
    return hash_hex, int(index or 0)


def credit(
    chain: str,
    event: str,
    *,
    income: int,
    fee: int,
    amounts: Mapping[int, int],
    unexplained: int = 0,
    operator: int = 0,
) -> TransferGroup:
    """The event's coins, owed to accounts (by id), the pool, the operator and suspense. Raises LedgerError unless they
    add up to `income`.
    """
    group_id = f"credit:{chain}:{event}"
    if fee + operator + unexplained + sum(amounts.values()) != income:
        raise LedgerError(f"{group_id}: credits, fee, operator and suspense do not add up to {income}")
    parts = [(INCOME_FEE, fee), (OPERATOR_IMMATURE, operator), (SUSPENSE_UNEXPLAINED, unexplained)]
    parts += [(immature(account_id), amount) for account_id, amount in sorted(amounts.items())]
    transfers = tuple(Transfer(ASSET_IMMATURE, account, amount) for account, amount in parts if amount)
    return check(TransferGroup(group_id, chain, "credit", transfers))


def mature(
    chain: str, event: str, *, income: int, amounts: Mapping[int, int], operator: int = 0
) -> TransferGroup:
    """The event is final: its coins are in the wallet, and what was owed or the operator's is available."""
    transfers = [Transfer(ASSET_WALLET, ASSET_IMMATURE, income)] if income else []
    transfers += [Transfer(OPERATOR_IMMATURE, OPERATOR_AVAILABLE, operator)] if operator else []
    transfers += [
        Transfer(immature(account_id), available(account_id), amount)
        for account_id, amount in sorted(amounts.items())
        if amount
    ]
    return check(TransferGroup(f"mature:{chain}:{event}", chain, "mature", tuple(transfers)))


def orphan(credited: TransferGroup, event: str, times: int) -> TransferGroup:
    """Voids a credit group for the `times`-th time."""
    return reverse(credited, f"orphan:{credited.chain}:{event}:{times}", "orphan")


def reinstate(credited: TransferGroup, event: str, times: int) -> TransferGroup:
    """Undoes the `times`-th voiding."""
    group_id = f"reinstate:{credited.chain}:{event}:{times}"
    return check(TransferGroup(group_id, credited.chain, "reinstate", credited.transfers))
