"""Everything that leaves or enters a wallet, as the exact group that is written: id, kind, accounts, amounts, order."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from ledger_samples import written

from pool.ledger import payment
from pool.ledger.transfer import LedgerError


def test_ledger_payment_a_payout_is_reserved_then_settled_or_void() -> None:
    assert payment.reserve("alpha", "p1", 7, 600) == written("""
        reserve:alpha:p1
        liab.7.available > liab.7.reserved 600""")
    assert payment.void("alpha", "p1", 7, 600) == written("""
        void:alpha:p1
        liab.7.reserved > liab.7.available 600""")
    assert payment.settle("alpha", "p1", 7, 593) == written("""
        settle:alpha:p1
        liab.7.reserved > asset.wallet 593""")


def test_ledger_payment_a_settlement_is_undone_as_its_opposite() -> None:
    assert payment.unsettle(payment.settle("alpha", "p1", 7, 593), "p1") == written("""
        unsettle:alpha:p1
        asset.wallet > liab.7.reserved 593""")


@pytest.mark.parametrize(
    ("pool_fee", "parts", "text"),
    [
        (10, {}, "expense.txfee > asset.wallet 10"),
        (1, {}, "expense.txfee > asset.wallet 1"),
        (0, {9: 1}, "liab.9.reserved > asset.wallet 1"),
        (0, {}, ""),
        (0, {1: 0}, ""),
        (
            4,
            {12: 3, 2: 7, 5: 0},
            """expense.txfee > asset.wallet 4
            liab.2.reserved > asset.wallet 7
            liab.12.reserved > asset.wallet 3""",
        ),
    ],
)
def test_ledger_payment_fee_is_the_pools_part_then_the_miners_by_account(
    pool_fee: int, parts: Mapping[int, int], text: str
) -> None:
    assert payment.fee("alpha", "b1", pool_fee, parts) == written(f"fee:alpha:b1\n{text}")


def test_ledger_payment_fee_is_undone_as_its_opposite() -> None:
    assert payment.unfee(payment.fee("alpha", "b1", 4, {2: 7}), "b1") == written("""
        unfee:alpha:b1
        asset.wallet > expense.txfee 4
        asset.wallet > liab.2.reserved 7""")


@pytest.mark.parametrize(("pool_fee", "parts"), [(-1, {}), (5, {1: -1}), (5, {1: 3, 2: -1}), (-1, {1: 1})])
def test_ledger_payment_fee_with_a_negative_part_is_refused_by_its_id(pool_fee: int, parts: Mapping[int, int]) -> None:
    with pytest.raises(LedgerError, match=r"^fee:alpha:b1: a part of a fee is not negative$"):
        payment.fee("alpha", "b1", pool_fee, parts)


def test_ledger_payment_a_strangers_coin_is_booked_then_claimed() -> None:
    again = payment.deposit("alpha", "ab" * 32, 3, 50, 2)
    assert again.id == f"deposit:alpha:{'ab' * 32}:3:2"
    assert payment.undeposit(again).id == f"undeposit:alpha:{'ab' * 32}:3:2"
    assert payment.deposit("alpha", "ab" * 32, 3, 50) == written(f"""
        deposit:alpha:{"ab" * 32}:3
        asset.wallet > suspense.deposit 50""")
    assert payment.fund("alpha", "ab:3", 50) == written("""
        fund:alpha:ab:3
        suspense.deposit > equity.operator.available 50""")


def test_ledger_payment_the_operator_takes_out_and_it_is_undone() -> None:
    withdrawn = payment.withdraw("alpha", "w1", 60)
    assert withdrawn == written("""
        withdraw:alpha:w1
        equity.operator.withdrawn > asset.wallet 60""")
    assert payment.unwithdraw(withdrawn, "w1") == written("""
        unwithdraw:alpha:w1
        asset.wallet > equity.operator.withdrawn 60""")
