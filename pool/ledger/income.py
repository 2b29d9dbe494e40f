"""The groups of an income event: coins that a chain owes us appear, become final, vanish, and come back.

An event is named by the hash of what brought it; the ledger does not ask what that is. Credited pending in the
immature accounts (`credit`), then posted once (`mature`), or voided and reinstated any number of times (`orphan`,
`reinstate`, numbered from 1).
"""

from __future__ import annotations

from collections.abc import Mapping

from pool.ledger.account import ASSET_IMMATURE, ASSET_WALLET, INCOME_FEE, SUSPENSE_UNEXPLAINED, available, immature
from pool.ledger.transfer import LedgerError, Transfer, TransferGroup, check, reverse


def credit(
    chain: str, event: str, *, income: int, fee: int, amounts: Mapping[int, int], unexplained: int = 0
) -> TransferGroup:
    """The event's coins, owed to accounts (by id), the pool and suspense. Raises LedgerError unless they add up to
    `income`.
    """
    group_id = f"credit:{chain}:{event}"
    if fee + unexplained + sum(amounts.values()) != income:
        raise LedgerError(f"{group_id}: credits, fee and suspense do not add up to {income}")
    parts = [(INCOME_FEE, fee), (SUSPENSE_UNEXPLAINED, unexplained)]
    parts += [(immature(account_id), amount) for account_id, amount in sorted(amounts.items())]
    transfers = tuple(Transfer(ASSET_IMMATURE, account, amount) for account, amount in parts if amount)
    return check(TransferGroup(group_id, chain, "credit", transfers))


def mature(chain: str, event: str, *, income: int, amounts: Mapping[int, int]) -> TransferGroup:
    """The event is final: its coins are in the wallet and what was owed is available."""
    transfers = [Transfer(ASSET_WALLET, ASSET_IMMATURE, income)] if income else []
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
