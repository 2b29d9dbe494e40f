"""The split of a reward: exact to the unit, and depending on nothing but weights and ids."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.accounting.split import Split, fee_of, largest_remainder, split_reward
from pool.shares.scheme import Scheme

weights_strategy = st.dictionaries(st.integers(1, 10_000), st.integers(0, 2**70), min_size=1, max_size=50).filter(
    lambda weights: any(weights.values())
)
amounts_strategy = st.integers(0, 21 * 10**14)


@pytest.mark.parametrize(
    ("amount", "weights", "parts"),
    [
        (100, {1: 1}, {1: 100}),
        (100, {1: 1, 2: 1, 3: 1}, {1: 34, 2: 33, 3: 33}),
        (101, {3: 1, 1: 1, 2: 1}, {1: 34, 2: 34, 3: 33}),
        (1, {7: 1, 8: 2}, {7: 0, 8: 1}),
        (0, {1: 5, 2: 5}, {1: 0, 2: 0}),
        (10, {1: 0, 2: 3}, {1: 0, 2: 10}),
        (2_500_000_000, {1: 3, 2: 3, 3: 1}, {1: 1_071_428_572, 2: 1_071_428_571, 3: 357_142_857}),
    ],
)
def test_accounting_split_examples(amount: int, weights: dict[int, int], parts: dict[int, int]) -> None:
    assert largest_remainder(amount, weights) == parts


@given(amounts_strategy, weights_strategy)
def test_accounting_split_is_exact_in_sum_and_within_one_unit_for_each(amount: int, weights: dict[int, int]) -> None:
    parts = largest_remainder(amount, weights)
    total = sum(weights.values())
    assert sum(parts.values()) == amount
    assert parts.keys() == weights.keys()
    for account, part in parts.items():
        assert abs(part - Fraction(amount * weights[account], total)) < 1


@given(amounts_strategy, weights_strategy, st.randoms(use_true_random=False))
def test_accounting_split_does_not_depend_on_the_order(
    amount: int, weights: dict[int, int], chance: random.Random
) -> None:
    items = list(weights.items())
    chance.shuffle(items)
    assert largest_remainder(amount, dict(items)) == largest_remainder(amount, weights)


@given(amounts_strategy, weights_strategy)
def test_accounting_split_never_gives_less_for_more_weight(amount: int, weights: dict[int, int]) -> None:
    parts = largest_remainder(amount, weights)
    by_weight = sorted(weights, key=lambda account: (weights[account], -account))
    assert [parts[account] for account in by_weight] == sorted(parts.values())


@given(amounts_strategy, st.integers(0, 1_000_000), weights_strategy)
def test_accounting_split_of_a_reward_gives_all_of_it_away(reward: int, fee_ppm: int, weights: dict[int, int]) -> None:
    split = split_reward(reward, fee_ppm, weights)
    assert split.fee + sum(split.amounts.values()) == reward
    assert split.fee == reward * fee_ppm // 1_000_000
    assert split.unexplained == 0


def test_accounting_split_fee_is_rounded_down() -> None:
    assert fee_of(99, 10_000) == 0
    assert fee_of(100, 10_000) == 1
    assert fee_of(5_000_000_001, 10_000) == 50_000_000


@pytest.mark.parametrize("weights", [{}, {1: 0}])
def test_accounting_split_leaves_the_reward_of_an_empty_window_unexplained(weights: dict[int, int]) -> None:
    assert split_reward(5_000_000_000, 10_000, weights) == Split(0, {}, 5_000_000_000)


@pytest.mark.parametrize(("amount", "weights"), [(-1, {1: 1}), (1, {1: -1, 2: 5}), (1, {}), (1, {1: 0})])
def test_accounting_split_refuses_what_makes_no_sense(amount: int, weights: dict[int, int]) -> None:
    with pytest.raises(ValueError, match=r"not negative|all weights are zero"):
        largest_remainder(amount, weights)


@given(amounts_strategy, weights_strategy, st.integers(0, 2**70), st.data())
def test_accounting_split_gives_whoever_sends_more_never_less(
    amount: int, weights: dict[int, int], more: int, data: st.DataObject
) -> None:
    account = data.draw(st.sampled_from(sorted(weights)))
    heavier = weights | {account: weights[account] + more}
    assert largest_remainder(amount, heavier)[account] >= largest_remainder(amount, weights)[account]


@pytest.mark.parametrize("scheme", ["pps", "fpps"])
def test_accounting_split_leaves_a_block_of_bought_shares_to_the_operator(scheme: Scheme) -> None:
    assert split_reward(1003, 10_000, {}, scheme) == Split(0, {}, 0, 1003)


def test_accounting_split_gives_a_solo_block_to_its_solver_less_the_fee() -> None:
    assert split_reward(1003, 10_000, {7: 5}, "solo") == Split(10, {7: 993}, 0)
    assert split_reward(1003, 10_000, {}, "solo") == Split(0, {}, 1003)
    with pytest.raises(ValueError, match="one solver"):
        split_reward(1003, 10_000, {7: 5, 8: 5}, "solo")


@given(amounts_strategy, st.integers(0, 1_000_000), weights_strategy, st.sampled_from(["pplns", "pps", "fpps"]))
def test_accounting_split_of_every_scheme_is_exact_in_sum(
    reward: int, fee_ppm: int, weights: dict[int, int], scheme: Scheme
) -> None:
    split = split_reward(reward, fee_ppm, weights, scheme)
    assert split.fee + split.operator + split.unexplained + sum(split.amounts.values()) == reward
