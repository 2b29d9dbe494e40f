"""The accounts of one chain's ledger, by name, and which way each grows.

    asset.immature       coins of found blocks that the chain does not let us spend yet
    asset.wallet         coins the wallet can spend
    liab.<id>.immature   owed to account <id>, not yet final
    liab.<id>.available  owed and final
    liab.<id>.reserved   set aside for a payout
    income.fee           the pool's fee
    equity.operator      the operator's own money
    suspense.unexplained coins that nothing explains yet

An asset grows by debits, every other account by credits. Amounts are whole smallest units of the chain.
"""

from __future__ import annotations

ASSET_IMMATURE = "asset.immature"
ASSET_WALLET = "asset.wallet"
INCOME_FEE = "income.fee"
EQUITY_OPERATOR = "equity.operator"
SUSPENSE_UNEXPLAINED = "suspense.unexplained"


def immature(account_id: int) -> str:
    """What is owed to an account but may still be voided."""
    return f"liab.{account_id}.immature"


def available(account_id: int) -> str:
    """What is owed to an account for good."""
    return f"liab.{account_id}.available"


def grows_by_debit(account: str) -> bool:
    """Assets grow by debits; liabilities, income, equity and suspense by credits."""
    return account.startswith("asset.")


def never_negative(account: str) -> bool:
    """Whether a balance below zero breaks invariant I3 (liabilities) or means coins that are not there (assets)."""
    return account.startswith(("asset.", "liab."))
