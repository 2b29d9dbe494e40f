"""Who is paid, who is passed over, and that one bad row never stands in the way of another."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from payout_samples import address_of, make_claim, make_terms, script_of

from pool.payouts.plan import Claim, Passed, Plan, is_due, plan
from pool.payouts.terms import usable_fee_rate


def planned(claims: list[Claim], **options: Any) -> Plan:
    numbers = itertools.count(1)
    return plan(claims, make_terms(**options), lambda: f"id{next(numbers)}")


def reasons(result: Plan) -> dict[int, Passed]:
    return {claim.account_id: reason for claim, reason, _ in result.passed}


def test_payouts_plan_pays_the_whole_balance_to_the_address_at_that_moment() -> None:
    (payout,) = planned([make_claim(7, 12_345)]).payouts
    assert (payout.id, payout.account_id, payout.gross) == ("id1", 7, 12_345)
    assert (payout.address, payout.script) == (address_of(7), script_of(7))


def test_payouts_plan_largest_first_and_the_smaller_account_on_a_tie() -> None:
    result = planned([make_claim(3, 20_000), make_claim(2, 20_000), make_claim(1, 10_000), make_claim(4, 30_000)])
    assert [payout.account_id for payout in result.payouts] == [4, 2, 3, 1]
    assert result.total == 80_000


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        (make_claim(1, 9_999), Passed.BELOW_MINIMUM),
        (make_claim(1, 0), Passed.BELOW_MINIMUM),
        (make_claim(1, -5), Passed.BELOW_MINIMUM),
        (make_claim(1, 20_000, minimum=20_001), Passed.BELOW_MINIMUM),
        (make_claim(1, 20_000, frozen=True), Passed.FROZEN),
        (make_claim(1, 20_000, kind="held"), Passed.HELD),
        (make_claim(1, 20_000, quarantined=True), Passed.QUARANTINED),
        (make_claim(1, 20_000, address=address_of(1) + " "), Passed.BAD_ADDRESS),
        (make_claim(1, 20_000, address=""), Passed.BAD_ADDRESS),
        (make_claim(1, 20_000, address="1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"), Passed.BAD_ADDRESS),
        (make_claim(1, 20_000, address=address_of(2)), Passed.BAD_ADDRESS),
        (make_claim(1, 20_000, address="x\x00" * 100), Passed.BAD_ADDRESS),
    ],
)
def test_payouts_plan_passes_over(claim: Claim, reason: Passed) -> None:
    result = planned([claim, make_claim(2, 10_000)])
    assert reasons(result) == {1: reason}
    assert [payout.account_id for payout in result.payouts] == [2]


def test_incident_p13_bad_addresses_quarantine_their_rows_and_all_others_are_paid() -> None:
    bad = [" " + address_of(1), "", "bc1qnot", address_of(1)[:-1], "D" * 34]
    claims = [make_claim(n, 20_000, address=bad[n % 5]) if n % 100 < 5 else make_claim(n, 20_000) for n in range(500)]
    result = planned(claims)
    assert len(result.payouts) == 475
    assert set(reasons(result).values()) == {Passed.BAD_ADDRESS}
    assert all(words for _, _, words in result.passed)


def test_payouts_plan_an_address_given_later_stands_for_itself() -> None:
    (payout,) = planned([make_claim(1, 20_000, address=address_of(2), script=None)]).payouts
    assert payout.script == script_of(2)


def test_payouts_plan_never_less_than_dust_whatever_the_minimum() -> None:
    result = planned([make_claim(1, 294), make_claim(2, 293)], minimum_payout=1)
    assert [payout.account_id for payout in result.payouts] == [1]
    assert result.payouts[0].minimum == 294


def test_payouts_plan_leaves_to_the_transaction_how_many_it_takes() -> None:
    """The coins may not suffice for the first ones: whoever comes after the cap may take their place."""
    result = planned([make_claim(n, 10_000 + n) for n in range(1, 6)], max_outputs=3)
    assert [payout.account_id for payout in result.payouts] == [5, 4, 3, 2, 1]
    assert not result.passed


@given(st.lists(st.tuples(st.integers(0, 50_000), st.integers(0, 30_000), st.booleans()), max_size=40), st.randoms())
def test_payouts_plan_does_not_depend_on_the_order_of_accounts(rows: list[tuple[int, int, bool]], random: Any) -> None:
    claims = [make_claim(n, amount, minimum=own, frozen=frozen) for n, (amount, own, frozen) in enumerate(rows, 1)]
    mixed = claims[:]
    random.shuffle(mixed)
    assert planned(claims) == planned(mixed)
    result = planned(claims)
    assert len(result.payouts) + len(result.passed) == len(claims)
    for payout in result.payouts:
        assert payout.account_id is not None
        amount, own, frozen = rows[payout.account_id - 1]
        assert payout.gross == amount >= max(10_000, own)
        assert not frozen


def test_payouts_plan_keeps_the_schedule() -> None:
    terms = make_terms(interval_ms=1000)
    assert is_due(5000, None, terms)
    assert not is_due(5999, 5000, terms)
    assert is_due(6000, 5000, terms)
    assert is_due(4000, 5000, terms)  # the clock went back


@pytest.mark.parametrize(
    ("estimate", "default", "expected"),
    [(5000, None, 5000), (None, 2000, 2000), (None, None, None), (10, None, 1000), (100_001, None, None)],
)
def test_payouts_plan_pays_a_rate_within_its_bounds_or_waits(
    estimate: int | None, default: int | None, expected: int | None
) -> None:
    assert usable_fee_rate(estimate, make_terms(default_fee_rate=default)) == expected
