"""The groups of an income event, exactly as they are written, and who may be left out of them."""

from __future__ import annotations

import pytest
from ledger_samples import written

from pool.ledger import income
from pool.ledger.transfer import LedgerError


def test_ledger_income_event_is_named_by_hash_and_by_index_behind_the_first() -> None:
    assert income.event_name("ab") == "ab"
    assert income.event_name("ab", 0) == "ab"
    assert income.event_name("ab", 1) == "ab:1"
    assert income.event_name("ab", 2) == "ab:2"


def test_ledger_income_is_credited_to_pool_operator_suspense_and_accounts_in_order() -> None:
    credited = income.credit(
        "alpha", "B", income=100, fee=1, amounts={12: 40, 3: 50, 5: 0}, unexplained=2, operator=7
    )
    assert credited == written("""
        credit:alpha:B
        asset.immature > income.fee 1
        asset.immature > equity.operator.immature 7
        asset.immature > suspense.unexplained 2
        asset.immature > liab.3.immature 50
        asset.immature > liab.12.immature 40""")


@pytest.mark.parametrize("part", ["fee", "operator", "unexplained"])
def test_ledger_income_goes_to_one_of_them_alone(part: str) -> None:
    parts = {"fee": 0, "operator": 0, "unexplained": 0} | {part: 9}
    account = {"fee": "income.fee", "operator": "equity.operator.immature", "unexplained": "suspense.unexplained"}[part]
    assert income.credit("alpha", "B", income=9, amounts={}, **parts) == written(f"""
        credit:alpha:B
        asset.immature > {account} 9""")


@pytest.mark.parametrize("total", [99, 101])
@pytest.mark.parametrize("part", ["fee", "operator", "unexplained"])
def test_ledger_income_parts_add_up_or_the_group_is_refused_by_its_id(part: str, total: int) -> None:
    parts = {"fee": 0, "operator": 0, "unexplained": 0} | {part: 60}
    message = f"^credit:alpha:B: credits, fee, operator and suspense do not add up to {total}$"
    with pytest.raises(LedgerError, match=message):
        income.credit("alpha", "B", income=total, amounts={1: 30, 2: 10}, **parts)


def test_ledger_income_matures_into_the_wallet_and_what_was_owed_is_available() -> None:
    assert income.mature("alpha", "B", income=100, amounts={12: 40, 3: 50, 5: 0}, operator=7) == written("""
        mature:alpha:B
        asset.wallet > asset.immature 100
        equity.operator.immature > equity.operator.available 7
        liab.3.immature > liab.3.available 50
        liab.12.immature > liab.12.available 40""")
    assert income.mature("alpha", "B", income=1, amounts={}) == written("""
        mature:alpha:B
        asset.wallet > asset.immature 1""")


def test_ledger_income_is_voided_and_reinstated_by_number() -> None:
    credited = income.credit("alpha", "B", income=10, fee=1, amounts={1: 9})
    assert income.orphan(credited, "B", 2) == written("""
        orphan:alpha:B:2
        income.fee > asset.immature 1
        liab.1.immature > asset.immature 9""")
    assert income.reinstate(credited, "B", 2) == written("""
        reinstate:alpha:B:2
        asset.immature > income.fee 1
        asset.immature > liab.1.immature 9""")
