"""Splits, PPS worth and windows once more: by other ways of counting, at their edges, with the words of a refusal."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.accounting.pps import affordable, fold, owed, worth
from pool.accounting.split import Split, largest_remainder, split_reward
from pool.accounting.window import WindowShare, pplns_window
from pool.shares.scheme import Rate


@given(st.integers(0, 200), st.dictionaries(st.integers(1, 9), st.integers(0, 30), min_size=1))
def test_accounting_split_is_what_handing_out_units_one_by_one_gives(amount: int, weights: dict[int, int]) -> None:
    """Everybody's whole units first; each that is left to whoever is furthest below his exact part, by account."""
    total = sum(weights.values())
    if total == 0:
        return
    exact = {account: Fraction(amount * weight, total) for account, weight in weights.items()}
    parts = {account: int(part) for account, part in exact.items()}
    while sum(parts.values()) < amount:
        most = max(exact[account] - parts[account] for account in parts)
        parts[min(account for account in parts if exact[account] - parts[account] == most)] += 1
    assert largest_remainder(amount, weights) == parts


@pytest.mark.parametrize(
    ("amount", "weights", "words"),
    [
        (-1, {1: 1}, "amounts and weights are not negative"),
        (0, {1: 3, 2: -1}, "amounts and weights are not negative"),
        (5, {1: 0, 2: 0}, "nothing to divide by: all weights are zero"),
        (0, {}, "nothing to divide by: all weights are zero"),
    ],
)
def test_accounting_split_refusal_says_why(amount: int, weights: dict[int, int], words: str) -> None:
    with pytest.raises(ValueError, match=f"^{words}$"):
        largest_remainder(amount, weights)


def test_accounting_split_of_two_solvers_is_refused_with_its_reason() -> None:
    with pytest.raises(ValueError, match=r"^a block under SOLO has one solver$"):
        split_reward(10, 0, {1: 1, 2: 0}, "solo")


def test_accounting_split_is_pplns_unless_told_otherwise() -> None:
    assert split_reward(101, 20_000, {1: 1, 2: 1}) == Split(fee=2, amounts={1: 50, 2: 49}, unexplained=0, operator=0)
    assert split_reward(101, 20_000, {1: 0, 2: 1}) == Split(2, {1: 0, 2: 99}, 0, 0)
    assert split_reward(101, 20_000, {1: 1, 2: 1}, "pps") == Split(0, {}, 0, 101)
    assert split_reward(101, 1_000_000, {1: 1}) == Split(101, {1: 0}, 0, 0)


def test_pps_worth_adds_what_was_folded_in_units_of_2_to_the_minus_256() -> None:
    half, third = Rate(1, 2, 0), Rate(1, 3, 0)
    assert worth([]) == 0
    assert worth([], 2**256) == 1
    assert worth([], 3 * 2**255) == Fraction(3, 2)
    assert worth([(half, 3), (third, 1)], 1) == Fraction(3, 2) + Fraction(1, 3) + Fraction(1, 2**256)
    assert worth([(Rate(10, 1, 250_000), 4)]) == 30


def test_pps_fold_rounds_each_rate_down() -> None:
    third = Rate(1, 3, 0)
    assert fold([]) == 0
    assert fold([(Rate(1, 2, 0), 3)]) == 3 * 2**255
    assert fold([(third, 1)]) == (2**256 - 1) // 3
    assert fold([(third, 1), (third, 1)]) == 2 * ((2**256 - 1) // 3)
    assert fold([(third, 2)]) == 2 * (2**256 - 1) // 3


@pytest.mark.parametrize(
    ("cumulative", "credited", "due"),
    [
        (Fraction(7, 2), 0, 3), (Fraction(7, 2), 3, 0), (Fraction(4), 3, 1), (Fraction(4), 4, 0), (Fraction(4), 5, 0),
        (Fraction(0), 0, 0), (Fraction(10, 3), 1, 2),
    ],
)  # fmt: skip
def test_pps_owes_whole_units_less_what_was_credited(cumulative: Fraction, credited: int, due: int) -> None:
    assert owed(cumulative, credited) == due


@pytest.mark.parametrize(
    ("available", "paid"),
    [
        (11, {1: 7, 2: 3}), (10, {1: 7, 2: 3}), (9, {1: 6, 2: 3}), (1, {1: 1, 2: 0}), (0, {1: 0, 2: 0}),
        (-1, {1: 0, 2: 0}),
    ],
)  # fmt: skip
def test_pps_pays_as_far_as_the_operators_money_goes(available: int, paid: dict[int, int]) -> None:
    amounts = {1: 7, 2: 3}
    result = affordable(amounts, available)
    assert result == paid
    assert result is not amounts


def test_pps_owes_nobody_anything_from_an_empty_purse() -> None:
    assert affordable({}, 0) == {}
    assert affordable({1: 0}, 0) == {1: 0}
    assert affordable({1: 0}, -5) == {1: 0}


rows = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 8), st.integers(1, 3), st.sampled_from([7, 8]), st.booleans()),
    max_size=14,
)


@given(rows, st.integers(0, 20), st.sampled_from([Fraction(1, 2), 1, 2, Fraction(5, 3)]), st.integers(0, 8))
def test_accounting_window_is_what_laying_out_hashes_one_by_one_gives(
    shares: list[tuple[int, int, int, int, bool]], work: int, factor: Fraction | int, window_min_s: int
) -> None:
    """Every expected hash in a row, newest first; of those that count, the first of the bound, and all of the time."""
    shares = sorted(shares, key=lambda row: row[1])
    made = [
        WindowShare(100 - place, 50_000 - age * 1000, route, weight, chain_set, stale, 5)
        for place, (weight, age, route, chain_set, stale) in enumerate(shares)
    ]
    solvers = frozenset({(5, 97), (6, 99)})
    hashes = [
        share
        for share in made
        if (share.chain_set == 7 and not share.stale) or share.sequence == 97
        for _ in range(share.weight)
    ]
    bound = int(work * factor)
    taken = [
        share for place, share in enumerate(hashes) if place < bound or share.time_ms >= 50_000 - window_min_s * 1000
    ]
    weights = {route: sum(share.route == route for share in taken) for route in {share.route for share in taken}}
    found = pplns_window(
        made, counting_sets=frozenset({7}), solvers=solvers, work=work, factor=factor, end_ms=50_000,
        window_min_s=window_min_s,
    )  # fmt: skip
    assert {route: weight for route, weight in found.weights.items() if weight} == weights
    assert found.total == len(taken)
    if taken:
        heavy = [share for share in (found.newest, found.oldest) if share is not None and share.weight]
        assert all(share.sequence >= taken[-1].sequence for share in heavy)


def test_accounting_window_begins_and_ends_with_shares_that_count() -> None:
    stale = WindowShare(9, 50_000, 1, 5, 7, True, 5)
    counted = [WindowShare(8 - place, 40_000, 1, 5, 7, False, 5) for place in range(4)]
    found = pplns_window(
        [stale, *counted], counting_sets=frozenset({7}), solvers=frozenset(), work=10, factor=1, end_ms=50_000,
        window_min_s=0,
    )  # fmt: skip
    assert (found.newest, found.oldest) == (counted[0], counted[1])
    assert (found.newest_sequence, found.oldest_sequence) == (8, 7)
    assert found.weights == {1: 10}


@pytest.mark.parametrize(("age_ms", "counts"), [(1500, True), (1501, False)])
def test_accounting_window_time_has_parts_of_a_second(age_ms: int, counts: bool) -> None:
    share = WindowShare(9, 50_000 - age_ms, 1, 5, 7, False, 5)
    found = pplns_window(
        [share], counting_sets=frozenset({7}), solvers=frozenset(), work=0, factor=1, end_ms=50_000,
        window_min_s=Fraction(3, 2),
    )  # fmt: skip
    assert found.total == (5 if counts else 0)
