"""Groups that hand over what is final: PPS credits, balances brought from another pool, held credits released."""

from __future__ import annotations

import pytest
from ledger_samples import written

from pool.ledger.opening import opening
from pool.ledger.pps import pps_credit
from pool.ledger.release import release
from pool.ledger.transfer import LedgerError


def test_ledger_pps_credit_goes_from_the_operator_to_the_account_once_per_period() -> None:
    assert pps_credit("alpha", 7, 471_000, 12) == written("""
        pps:alpha:7:471000
        equity.operator.available > liab.7.available 12""")


def test_ledger_opening_is_paid_in_by_the_operator_once_per_file() -> None:
    assert opening("alpha", "old-pool.csv", {12: 5, 7: 12}) == written("""
        opening:alpha:old-pool.csv
        equity.operator.available > liab.7.available 12
        equity.operator.available > liab.12.available 5""")


def test_ledger_release_goes_from_the_held_account_to_the_other() -> None:
    assert release("alpha", 3, 7, 1, 12) == written("""
        release:alpha:3:1
        liab.3.available > liab.7.available 12""")
    assert release("alpha", 3, 7, 2, 1).id == "release:alpha:3:2"


@pytest.mark.parametrize("number", [0, -1])
def test_ledger_release_is_counted_from_one(number: int) -> None:
    with pytest.raises(LedgerError, match=f"^release:alpha:3:{number}: releases are counted from 1$"):
        release("alpha", 3, 7, number, 12)


@pytest.mark.parametrize("amount", [0, -1])
def test_ledger_hand_over_of_nothing_is_refused(amount: int) -> None:
    for make in (
        lambda: pps_credit("alpha", 7, 1, amount),
        lambda: opening("alpha", "file", {7: amount}),
        lambda: release("alpha", 3, 7, 1, amount),
    ):
        with pytest.raises(LedgerError, match="not a positive whole amount"):
            make()
