"""In which order an account is judged, with which words it is passed over, and every edge of a minimum."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from payout_samples import address_of, make_claim, make_terms, script_of

from chains.primitives.address import AddressError, address_to_script
from pool.payouts.batch import Payout
from pool.payouts.plan import Claim, Passed, Plan, least_amount, plan
from pool.payouts.terms import DustRule

DUST = 294
"""Of a P2WPKH output."""


def planned(claims: list[Claim], **options: Any) -> Plan:
    numbers = itertools.count(1)
    return plan(claims, make_terms(**options), lambda: f"id{next(numbers)}")


def test_payouts_plan_a_payout_says_all_of_its_account() -> None:
    result = planned([make_claim(7, 50_000, minimum=20_000), make_claim(8, 40_000)])
    assert result == Plan(
        (
            Payout("id1", 7, address_of(7), script_of(7), 50_000, 20_000),
            Payout("id2", 8, address_of(8), script_of(8), 40_000, 10_000),
        ),
        (),
    )
    assert result.total == 90_000


def test_payouts_plan_judges_in_one_order() -> None:
    """Each of these is wrong in every way that is left; the first one counts."""
    bad: dict[str, Any] = {"kind": "held", "frozen": True, "minimum": 90_000, "quarantined": True, "address": "none"}
    passed = []
    for mend in ("nothing", "kind", "frozen", "minimum", "quarantined"):
        if mend == "kind":
            bad["kind"] = "miner"
        elif mend != "nothing":
            del bad[mend]
        ((_, reason, _),) = planned([make_claim(1, 50_000, **bad)]).passed
        passed.append(reason)
    assert passed == [Passed.HELD, Passed.FROZEN, Passed.BELOW_MINIMUM, Passed.QUARANTINED, Passed.BAD_ADDRESS]


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        (make_claim(1, 50_000, kind="held"), Passed.HELD),
        (make_claim(1, 50_000, frozen=True), Passed.FROZEN),
        (make_claim(1, 9_999), Passed.BELOW_MINIMUM),
        (make_claim(1, 50_000, quarantined=True), Passed.QUARANTINED),
    ],
)
def test_payouts_plan_what_needs_no_words_has_none(claim: Claim, reason: Passed) -> None:
    assert planned([claim]).passed == ((claim, reason, ""),)


def test_payouts_plan_a_bad_address_is_quarantined_with_its_reason() -> None:
    claim = make_claim(1, 50_000, address="nonsense")
    with pytest.raises(AddressError) as error:
        address_to_script("nonsense", make_terms().addresses)
    assert str(error.value)
    assert planned([claim]).passed == ((claim, Passed.BAD_ADDRESS, str(error.value)),)
    other = make_claim(1, 50_000, address=address_of(2))
    assert planned([other]).passed == (
        (other, Passed.BAD_ADDRESS, "the address stands for another script than the account"),
    )


@pytest.mark.parametrize(
    ("pools", "own", "least"),
    [
        (10_000, None, 10_000),
        (10_000, 0, 10_000),
        (10_000, 9_999, 10_000),
        (10_000, 10_001, 10_001),
        (1, None, DUST),
        (0, None, DUST),
        (1, 1, DUST),
        (1, DUST + 1, DUST + 1),
    ],
)
def test_payouts_plan_pays_from_the_largest_minimum_on(pools: int, own: int | None, least: int) -> None:
    terms = make_terms(minimum_payout=pools)
    assert least_amount(script_of(1), own, terms) == least
    (payout,) = planned([make_claim(1, least, minimum=own)], minimum_payout=pools).payouts
    assert (payout.gross, payout.minimum) == (least, least)
    claim = make_claim(1, least - 1, minimum=own)
    assert planned([claim], minimum_payout=pools).passed == ((claim, Passed.BELOW_MINIMUM, ""),)


def test_payouts_plan_nothing_is_not_paid_even_without_a_minimum() -> None:
    free = {"minimum_payout": 0, "dust": DustRule(rate=0)}
    assert planned([make_claim(1, 0)], **free).passed[0][1] is Passed.BELOW_MINIMUM
    assert planned([make_claim(1, 0, quarantined=True)], **free).passed[0][1] is Passed.BELOW_MINIMUM
    assert planned([make_claim(1, 1)], **free).total == 1


def test_payouts_plan_who_waits_for_his_minimum_is_not_quarantined() -> None:
    """An address is looked at when it is going to be paid, not before."""
    result = planned([make_claim(1, 9_999, address="nonsense"), make_claim(2, 0, address="nonsense")])
    assert {reason for _, reason, _ in result.passed} == {Passed.BELOW_MINIMUM}


@given(st.lists(st.integers(0, 5), max_size=12))
def test_payouts_plan_is_in_order_of_amounts_then_accounts(tens: list[int]) -> None:
    claims = [make_claim(number, 10_000 * amount) for number, amount in enumerate(tens, 1)]
    result = planned(claims)
    expected = [(amount, number) for amount in (5, 4, 3, 2, 1) for number, each in enumerate(tens, 1) if each == amount]
    assert [(payout.gross // 10_000, payout.account_id) for payout in result.payouts] == expected
    assert [payout.id for payout in result.payouts] == [f"id{n}" for n in range(1, len(expected) + 1)]
    assert [claim.account_id for claim, _, _ in result.passed] == [n for n, each in enumerate(tens, 1) if each == 0]
