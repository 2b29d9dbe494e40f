"""Transfers at their edges: the least amount, a balance of nothing, the words of a refusal, the order of accounts."""

from __future__ import annotations

import pytest
from ledger_samples import written

from pool.ledger.transfer import LedgerError, Transfer, TransferGroup, apply, check, imbalance, movements, reverse


def test_ledger_transfer_refusals_name_the_group() -> None:
    def group(*transfers: Transfer, group_id: str = "fee:alpha:1") -> TransferGroup:
        return TransferGroup(group_id, "alpha", "fee", transfers)

    wrong = {
        "fee:beta:1: the id of a group names its kind and chain": group(group_id="fee:beta:1"),
        "fee:alpha:1: 0 is not a positive whole amount": group(Transfer("a", "b", 0)),
        "fee:alpha:1: True is not a positive whole amount": group(Transfer("a", "b", True)),
        "fee:alpha:1: asset.wallet is debited and credited by the same transfer": group(
            Transfer("a", "b", 1), Transfer("asset.wallet", "asset.wallet", 1)
        ),
    }
    for words, each in wrong.items():
        with pytest.raises(LedgerError) as error:
            check(each)
        assert str(error.value) == words
    good = group(Transfer("a", "b", 1))
    assert check(good) is good


def test_ledger_transfer_reverse_has_its_own_id_and_is_checked() -> None:
    group = written("fee:alpha:1\nexpense.txfee > asset.wallet 4\nliab.1.reserved > asset.wallet 3")
    assert reverse(group, "unfee:alpha:1", "unfee") == written(
        "unfee:alpha:1\nasset.wallet > expense.txfee 4\nasset.wallet > liab.1.reserved 3"
    )
    with pytest.raises(LedgerError, match="names its kind"):
        reverse(group, "unfee:alpha:1", "fee")


def test_ledger_movements_are_by_account_in_order_without_those_that_cancel_out() -> None:
    group = written("""
        test:alpha:1
        liab.2.available > liab.1.available 5
        asset.wallet > liab.2.available 5
        expense.txfee > asset.wallet 2
        liab.1.available > income.fee 1""")
    assert list(movements(group).items()) == [
        ("asset.wallet", 3), ("expense.txfee", 2), ("income.fee", 1), ("liab.1.available", 4),
    ]  # fmt: skip


def test_ledger_apply_adds_to_what_is_there_and_leaves_the_rest() -> None:
    before = {"liab.1.available": 5, "income.fee": 2, "asset.wallet": 7}
    after = apply(before, written("reserve:alpha:1\nliab.1.available > liab.1.reserved 5"))
    assert after == {"liab.1.available": 0, "liab.1.reserved": 5, "income.fee": 2, "asset.wallet": 7}
    assert before["liab.1.available"] == 5
    assert apply({}, written("test:alpha:1\nequity.operator.withdrawn > equity.loss 3")) == {
        "equity.operator.withdrawn": -3, "equity.loss": 3,
    }  # fmt: skip
    with pytest.raises(LedgerError, match=r"^reserve:alpha:1: liab\.1\.available would fall to -1$"):
        apply({"liab.1.available": 4}, written("reserve:alpha:1\nliab.1.available > liab.1.reserved 5"))
    with pytest.raises(LedgerError, match="names its kind"):
        apply({}, TransferGroup("x", "alpha", "test", ()))


def test_ledger_apply_never_takes_from_an_account_that_has_nothing() -> None:
    with pytest.raises(LedgerError, match="would fall to -1"):
        apply({}, written("test:alpha:1\nliab.1.available > income.fee 1"))


def test_ledger_imbalance_is_debits_less_credits() -> None:
    assert imbalance({}) == 0
    assert imbalance({"asset.wallet": 7, "expense.txfee": 2, "liab.1.available": 4, "income.fee": 5}) == 0
    assert imbalance({"asset.wallet": 7, "income.fee": 5}) == 2
    assert imbalance({"liab.1.available": 4}) == -4
