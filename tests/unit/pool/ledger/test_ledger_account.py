"""The accounts by name: the texts are in every database, so they are held here letter by letter."""

from __future__ import annotations

import pytest

from pool.ledger import account
from pool.ledger.account import available, grows_by_debit, immature, never_negative, reserved

# account, grows by debit, never negative
ACCOUNTS = [
    (account.ASSET_IMMATURE, "asset.immature", True, True),
    (account.ASSET_WALLET, "asset.wallet", True, False),
    (immature(7), "liab.7.immature", False, True),
    (available(7), "liab.7.available", False, True),
    (reserved(12), "liab.12.reserved", False, True),
    (account.INCOME_FEE, "income.fee", False, False),
    (account.EXPENSE_TXFEE, "expense.txfee", True, False),
    (account.OPERATOR_IMMATURE, "equity.operator.immature", False, True),
    (account.OPERATOR_AVAILABLE, "equity.operator.available", False, True),
    (account.OPERATOR_WITHDRAWN, "equity.operator.withdrawn", False, False),
    (account.EQUITY_LOSS, "equity.loss", False, False),
    (account.SUSPENSE_UNEXPLAINED, "suspense.unexplained", False, True),
    (account.SUSPENSE_DEPOSIT, "suspense.deposit", False, True),
]


@pytest.mark.parametrize(("name", "text", "by_debit", "floor"), ACCOUNTS, ids=[text for _, text, _, _ in ACCOUNTS])
def test_ledger_account_name_side_and_floor(name: str, text: str, by_debit: bool, floor: bool) -> None:
    assert name == text
    assert grows_by_debit(name) is by_debit
    assert never_negative(name) is floor


def test_ledger_account_table_above_has_them_all() -> None:
    named = {value for name, value in vars(account).items() if name.isupper()}
    assert named < {text for _, text, _, _ in ACCOUNTS}
    assert len(ACCOUNTS) == len(named) + 3
