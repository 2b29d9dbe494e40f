"""Transfers and groups: what may be written, and what it does to balances."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.ledger import income
from pool.ledger.account import (
    ASSET_IMMATURE,
    ASSET_WALLET,
    EXPENSE_TXFEE,
    INCOME_FEE,
    SUSPENSE_UNEXPLAINED,
    available,
    immature,
)
from pool.ledger.transfer import (
    CORRECTIONS,
    LedgerError,
    Transfer,
    TransferGroup,
    apply,
    check,
    imbalance,
    movements,
    reverse,
)


def group(*transfers: Transfer, group_id: str = "credit:alpha:aa", kind: str = "credit") -> TransferGroup:
    return TransferGroup(group_id, "alpha", kind, transfers)


@pytest.mark.parametrize("amount", [0, -1, 1.5, True, "1"])
def test_ledger_transfer_amount_is_a_positive_whole_number(amount: Any) -> None:
    with pytest.raises(LedgerError, match="not a positive whole amount"):
        check(group(Transfer("a", "b", amount)))


def test_ledger_transfer_needs_two_accounts() -> None:
    with pytest.raises(LedgerError, match="debited and credited"):
        check(group(Transfer("a", "a", 1)))


@pytest.mark.parametrize("transfer", [Transfer(INCOME_FEE, "a", 1), Transfer("a", EXPENSE_TXFEE, 1)])
def test_ledger_income_and_expenses_are_lessened_by_corrections_alone(transfer: Transfer) -> None:
    """Invariant I4."""
    assert {"orphan", "loss", "unfee", "refee"} == CORRECTIONS
    for kind in CORRECTIONS:
        check(group(transfer, group_id=f"{kind}:alpha:aa", kind=kind))
    for kind in ("credit", "mature", "reinstate", "found", "fee", "settle", "return"):
        with pytest.raises(LedgerError, match=f"^{kind}:alpha:aa: only a correction lessens income or an expense$"):
            check(group(transfer, group_id=f"{kind}:alpha:aa", kind=kind))
    check(group(Transfer(transfer.credit, transfer.debit, 1)))


@pytest.mark.parametrize("group_id", ["credit:beta:aa", "mature:alpha:aa", "credit:alpha", ""])
def test_ledger_group_id_names_kind_and_chain(group_id: str) -> None:
    with pytest.raises(LedgerError, match="names its kind and chain"):
        check(group(group_id=group_id))


def test_ledger_movements_grow_assets_by_debit_and_the_rest_by_credit() -> None:
    moved = movements(group(Transfer(ASSET_IMMATURE, INCOME_FEE, 3), Transfer(ASSET_WALLET, ASSET_IMMATURE, 3)))
    assert moved == {ASSET_WALLET: 3, INCOME_FEE: 3}


@pytest.mark.parametrize("account", [immature(1), ASSET_IMMATURE])
def test_ledger_balance_never_falls_below_zero(account: str) -> None:
    debit, credit = (account, INCOME_FEE) if account.startswith("liab") else (SUSPENSE_UNEXPLAINED, account)
    with pytest.raises(LedgerError, match="would fall to -1"):
        apply({account: 4}, group(Transfer(debit, credit, 5)))


def test_ledger_income_that_does_not_add_up_is_refused() -> None:
    with pytest.raises(LedgerError, match="do not add up to 100"):
        income.credit("alpha", "aa", income=100, fee=1, amounts={1: 50, 2: 50})


def test_ledger_credit_leaves_out_accounts_that_get_nothing() -> None:
    credited = income.credit("alpha", "aa", income=5, fee=0, amounts={1: 5, 2: 0})
    assert credited.transfers == (Transfer(ASSET_IMMATURE, immature(1), 5),)


def test_ledger_credit_of_nothing_is_an_empty_group() -> None:
    assert income.credit("alpha", "aa", income=0, fee=0, amounts={1: 0}).transfers == ()
    assert income.mature("alpha", "aa", income=0, amounts={1: 0}).transfers == ()


amounts_strategy = st.dictionaries(st.integers(1, 99), st.integers(0, 10**15), max_size=20)


@given(st.integers(0, 10**15), st.integers(0, 10**15), amounts_strategy, st.integers(0, 5))
def test_ledger_income_balances_through_any_number_of_reorganisations(
    fee: int, unexplained: int, amounts: dict[int, int], times: int
) -> None:
    total = fee + unexplained + sum(amounts.values())
    credited = income.credit("alpha", "aa", income=total, fee=fee, amounts=amounts, unexplained=unexplained)
    balances = apply({}, credited)
    once = dict(balances)
    for time in range(1, times + 1):
        balances = apply(balances, income.orphan(credited, "aa", time))
        assert not any(balances.values())
        balances = apply(balances, income.reinstate(credited, "aa", time))
        assert {name: amount for name, amount in balances.items() if amount} == {n: a for n, a in once.items() if a}
    balances = apply(balances, income.mature("alpha", "aa", income=total, amounts=amounts))
    assert imbalance(balances) == 0
    assert balances.get(ASSET_WALLET, 0) == total
    assert balances.get(ASSET_IMMATURE, 0) == 0
    assert balances.get(SUSPENSE_UNEXPLAINED, 0) == unexplained
    assert {i: balances.get(available(i), 0) for i in amounts} == amounts
    assert not any(balances.get(immature(i), 0) for i in amounts)


def test_ledger_reverse_is_the_exact_opposite() -> None:
    credited = income.credit("alpha", "aa", income=10, fee=1, amounts={1: 4, 2: 5})
    opposite = reverse(credited, "orphan:alpha:aa:1", "orphan")
    assert movements(opposite) == {account: -change for account, change in movements(credited).items()}
    assert reverse(opposite, "credit:alpha:aa", "credit") == credited
