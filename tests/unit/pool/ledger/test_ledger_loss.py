"""The groups of a loss, exactly as they are written, and who bears how much."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_samples import written

from pool.ledger import loss
from pool.ledger.transfer import LedgerError


def test_ledger_loss_leaves_the_wallet_out_of_fee_suspense_and_nobodys() -> None:
    assert loss.loss("alpha", "B", 2, income=50, fee=5, unexplained=3) == written("""
        loss:alpha:B:2
        income.fee > asset.wallet 5
        suspense.unexplained > asset.wallet 3
        equity.loss > asset.wallet 42""")


@pytest.mark.parametrize(
    ("income", "fee", "unexplained", "text"),
    [
        (5, 5, 0, "income.fee > asset.wallet 5"),
        (5, 0, 5, "suspense.unexplained > asset.wallet 5"),
        (5, 0, 0, "equity.loss > asset.wallet 5"),
        (0, 0, 0, ""),
    ],
)
def test_ledger_loss_leaves_out_parts_of_nothing(income: int, fee: int, unexplained: int, text: str) -> None:
    assert loss.loss("alpha", "B", 1, income=income, fee=fee, unexplained=unexplained) == written(
        f"loss:alpha:B:1\n{text}"
    )


@pytest.mark.parametrize(("fee", "unexplained"), [(6, 0), (0, 6), (3, 3), (-1, 0), (0, -1), (-1, 6)])
def test_ledger_loss_refuses_parts_that_are_none(fee: int, unexplained: int) -> None:
    message = f"^loss:alpha:B:1: fee {fee} and suspense {unexplained} are no parts of an income of 5$"
    with pytest.raises(LedgerError, match=message):
        loss.loss("alpha", "B", 1, income=5, fee=fee, unexplained=unexplained)


def test_ledger_loss_is_undone_when_the_block_is_back() -> None:
    lost = loss.loss("alpha", "B", 3, income=50, fee=5)
    assert loss.found(lost, "B", 3) == written("""
        found:alpha:B:3
        asset.wallet > income.fee 5
        asset.wallet > equity.loss 45""")


def test_ledger_loss_is_absorbed_by_the_operator_and_given_back() -> None:
    borne = loss.absorb("alpha", "B", 3, 45)
    assert borne == written("""
        absorb:alpha:B:3
        equity.operator.withdrawn > equity.loss 45""")
    assert loss.absorb("alpha", "B", 3, 1).transfers
    assert loss.absorb("alpha", "B", 3, 0) == written("absorb:alpha:B:3")
    assert loss.unbear(borne) == written("""
        unbear:alpha:absorb:alpha:B:3
        equity.loss > equity.operator.withdrawn 45""")


def test_ledger_clawback_by_account_as_far_as_the_balances_go() -> None:
    taken = loss.clawback(
        "alpha", "B", 3, amounts={30: 9, 4: 20, 5: 1, 6: 8, 7: 0, 8: 6}, balances={4: 11, 5: 100, 30: 9, 7: 5, 8: -2}
    )
    assert taken == written("""
        clawback:alpha:B:3
        liab.4.available > equity.loss 11
        liab.5.available > equity.loss 1
        liab.30.available > equity.loss 9""")


ids = st.integers(1, 9)


@given(st.dictionaries(ids, st.integers(0, 100)), st.dictionaries(ids, st.integers(-5, 100)))
def test_ledger_clawback_takes_what_was_given_or_what_is_left(
    amounts: dict[int, int], balances: dict[int, int]
) -> None:
    group = loss.clawback("alpha", "B", 1, amounts=amounts, balances=balances)
    taken = {transfer.debit: transfer.amount for transfer in group.transfers}
    for account_id, given_amount in amounts.items():
        there = balances.get(account_id, 0)
        least = given_amount if given_amount < there else there
        assert taken.pop(f"liab.{account_id}.available", 0) == (least if least > 0 else 0)
    assert not taken
