"""The accounts of one chain's ledger, by name, and which way each grows.

    asset.immature       coins of found blocks that the chain does not let us spend yet
    asset.wallet         coins the wallet can spend
    liab.<id>.immature   owed to account <id>, not yet final
    liab.<id>.available  owed and final
    liab.<id>.reserved   set aside for a payout
    income.fee           the pool's fee
    expense.txfee        network fees that the pool paid
    equity.operator.immature   the operator's own block income (PPS, FPPS), not yet final
    equity.operator.available  the operator's own money: such income once final, and funds put in; pays PPS credits
    equity.operator.withdrawn  what the operator took out; grows by debits, so its balance is negative
    equity.loss          coins that a reorg took after they were final, until somebody bears them; likewise negative
    suspense.unexplained coins of blocks that no share explains
    suspense.deposit     coins that strangers sent to the wallet

Assets and expenses grow by debits, every other account by credits. Amounts are whole smallest units of the chain.
"""

from __future__ import annotations

ASSET_IMMATURE = "asset.immature"
ASSET_WALLET = "asset.wallet"
INCOME_FEE = "income.fee"
EXPENSE_TXFEE = "expense.txfee"
OPERATOR_IMMATURE = "equity.operator.immature"
OPERATOR_AVAILABLE = "equity.operator.available"
OPERATOR_WITHDRAWN = "equity.operator.withdrawn"
EQUITY_LOSS = "equity.loss"
SUSPENSE_UNEXPLAINED = "suspense.unexplained"
SUSPENSE_DEPOSIT = "suspense.deposit"


def immature(account_id: int) -> str:
    """What is owed to an account but may still be voided."""
    return f"liab.{account_id}.immature"


def available(account_id: int) -> str:
    """What is owed to an account for good."""
    return f"liab.{account_id}.available"


def reserved(account_id: int) -> str:
    """What is set aside for a payout on its way."""
    return f"liab.{account_id}.reserved"


def grows_by_debit(account: str) -> bool:
    """Assets and expenses grow by debits; liabilities, income, equity and suspense by credits."""
    return account.startswith(("asset.", "expense."))


def never_negative(account: str) -> bool:
    """Whether a balance below zero breaks invariant I3 (liabilities) or means coins that are not there: assets, the
    operator's own money, strangers' deposits. The wallet is judged by what it must cover: pool/ledger/solvency.py.
    """
    if account in (OPERATOR_IMMATURE, OPERATOR_AVAILABLE):
        return True
    return account.startswith(("asset.", "liab.", "suspense.")) and account != ASSET_WALLET
