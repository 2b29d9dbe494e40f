"""Every limit of a batch on both its sides: one unit less, exactly, one unit more; and the words for whoever waits.

All coins and outputs are P2WPKH, so that sizes can be reckoned by hand: an input has 41 bytes and a witness of 108, an
output 31 bytes, and around them are 10 bytes and 2 of the witness.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from payout_samples import CHANGE, make_coin, make_payout, make_terms

from chains.wallet import Coin
from pool.payouts.batch import BatchKind, FeePolicy, Payout
from pool.payouts.compose import Composition, Postponed, Wait, compose, fee_parts
from pool.payouts.terms import DustRule

DUST = 294
"""Of a P2WPKH output at 3000 per 1000 bytes."""


def vsize(inputs: int, outputs: int) -> int:
    counts = (3 if inputs > 252 else 1) + (3 if outputs > 252 else 1)
    weight = 4 * (8 + counts + 41 * inputs + 31 * outputs) + 2 + 108 * inputs
    return -(-weight // 4)


def composed(payouts: list[Payout], coins: list[Coin], terms: dict[str, Any] | None = None, **options: Any) -> Any:
    values: dict[str, Any] = {
        "fee_policy": FeePolicy.POOL, "fee_rate": 1000, "change_script": CHANGE, "pool_budget": 10**12,
    }  # fmt: skip
    kind = options.pop("kind", BatchKind.PAYOUT)
    return compose(kind, payouts, coins, make_terms(**(terms or {})), **(values | options))


def payouts_of(*amounts: int, minimum: int = 0) -> list[Payout]:
    return [make_payout(number, gross, minimum=minimum) for number, gross in enumerate(amounts, 1)]


def coins_of(*amounts: int) -> list[Coin]:
    return [make_coin(number, amount) for number, amount in enumerate(amounts, 1)]


def test_payouts_compose_the_pool_pays_the_fee_of_what_is_sent_with_change() -> None:
    payouts, coins = payouts_of(700_000, 300_000), coins_of(3_000_000)
    fee = 3 * vsize(1, 3)
    assert composed(payouts, coins, fee_rate=3000) == Composition(
        tuple(payouts), (700_000, 300_000), tuple(coins), 2_000_000 - fee, fee, fee, 3000
    )


def test_payouts_compose_miners_pay_the_fee_of_what_is_sent_with_change() -> None:
    payouts, coins = payouts_of(700_000, 300_000), coins_of(3_000_000)
    fee = 3 * vsize(1, 3)
    tenths, rest = divmod(fee, 10)
    nets = (700_000 - 7 * tenths - round(rest * 0.7), 300_000 - 3 * tenths - (rest - round(rest * 0.7)))
    assert composed(payouts, coins, fee_rate=3000, fee_policy=FeePolicy.MINER, pool_budget=0) == Composition(
        tuple(payouts), nets, tuple(coins), 2_000_000, fee, 0, 3000
    )


@pytest.mark.parametrize(("beyond", "change"), [(DUST, DUST), (DUST - 1, 0)])
def test_payouts_compose_change_is_an_output_from_dust_on(beyond: int, change: int) -> None:
    fee = vsize(1, 2)
    result = composed(payouts_of(1_000_000), coins_of(1_000_000 + fee + beyond))
    assert result.change == change
    assert result.fee == result.pool_fee == (fee if change else fee + beyond)


@pytest.mark.parametrize(("beyond", "change"), [(DUST, DUST), (DUST - 1, 0), (0, 0)])
def test_payouts_compose_change_of_a_batch_whose_fee_the_miners_bear(beyond: int, change: int) -> None:
    """Without change the miners pay for a smaller transaction, the pool what is left of the coins."""
    result = composed(payouts_of(1_000_000), coins_of(1_000_000 + beyond), fee_policy=FeePolicy.MINER)
    assert result.change == change
    fee = vsize(1, 2 if change else 1)
    assert result.pool_fee == (0 if change else beyond)
    assert result.fee == fee + result.pool_fee
    assert result.nets == (1_000_000 - fee,)


def test_payouts_compose_coins_suffice_when_they_hold_the_fee_without_change() -> None:
    fee = vsize(1, 1)
    enough = composed(payouts_of(1_000_000), coins_of(1_000_000 + fee))
    assert (enough.coins, enough.change, enough.fee, enough.pool_fee) == (tuple(coins_of(1_000_000 + fee)), 0, fee, fee)
    assert composed(payouts_of(1_000_000), coins_of(1_000_000 + fee - 1)) == Postponed(
        Wait.COINS, f"the coins that may be spent hold {1_000_000 + fee - 1}"
    )


def test_payouts_compose_coins_that_hold_exactly_what_is_owed_suffice_when_miners_bear_the_fee() -> None:
    result = composed(payouts_of(600_000, 400_000), coins_of(600_000, 400_000), fee_policy=FeePolicy.MINER)
    assert result.coins == tuple(coins_of(600_000, 400_000))
    assert (result.change, result.pool_fee, sum(result.nets) + result.fee) == (0, 0, 1_000_000)
    assert len(composed(payouts_of(600_000, 400_000), coins_of(999_999), fee_policy=FeePolicy.MINER).payouts) == 1


def test_payouts_compose_takes_no_more_coins_than_it_needs() -> None:
    result = composed(payouts_of(1_000_000), coins_of(900_000, 400_000, 300_000, 200_000))
    assert result.coins == tuple(coins_of(900_000, 400_000))
    assert result.change == 300_000 - vsize(2, 2)
    assert composed(payouts_of(1_000_000), coins_of(900_000, 100_000, 100_000, 200_000)).coins == tuple(
        coins_of(900_000, 100_000, 100_000)
    )


def test_payouts_compose_coins_too_small_for_the_fee_are_followed_by_the_next() -> None:
    """The first coin pays the payouts and not the fee: the second one does."""
    result = composed(payouts_of(1_000_000), coins_of(1_000_000, 50_000))
    assert result.coins == tuple(coins_of(1_000_000, 50_000))


def test_payouts_compose_keeps_to_the_order_it_is_given() -> None:
    payouts = payouts_of(100_000, 900_000, 50_000)
    assert composed(payouts, coins_of(500_000)).payouts == (payouts[0], payouts[2])
    assert composed(payouts, coins_of(1_040_000)).payouts == tuple(payouts[:2])


@pytest.mark.parametrize("enough", [True, False])
def test_payouts_compose_the_pools_part_stays_within_its_budget(enough: bool) -> None:
    fee = vsize(1, 2)
    budget = fee if enough else fee - 1
    result = composed(payouts_of(1_000_000), coins_of(2_000_000), pool_budget=budget)
    if enough:
        assert result.pool_fee == budget
    else:
        assert result == Postponed(Wait.POOL_EQUITY, f"the operator's equity covers a fee of {budget}, not more")


def test_payouts_compose_a_budget_below_nothing_is_told_as_nothing() -> None:
    for kind, payouts, rest in ((BatchKind.PAYOUT, payouts_of(1_000_000), "more"), (BatchKind.CONSOLIDATE, [], "178")):
        result = composed(payouts, coins_of(2_000_000, 1_000_000), kind=kind, pool_budget=-5)
        assert result == Postponed(Wait.POOL_EQUITY, f"the operator's equity covers a fee of 0, not {rest}")


def test_payouts_compose_pays_fewer_when_the_budget_does_not_cover_all() -> None:
    """Paying two takes the second coin, and its fee is more than the pool may spend: one of them waits."""
    payouts, coins = payouts_of(500_000, 500_000), coins_of(900_000, 900_000)
    one = composed(payouts, coins, pool_budget=vsize(1, 2))
    assert (one.payouts, one.coins) == (tuple(payouts[:1]), tuple(coins[:1]))
    assert len(composed(payouts, coins, pool_budget=vsize(2, 3)).payouts) == 2
    assert len(composed(payouts, coins, pool_budget=vsize(2, 3) - 1).payouts) == 1


@pytest.mark.parametrize("enough", [True, False])
def test_payouts_compose_a_fee_of_more_than_its_share_of_what_is_moved_waits(enough: bool) -> None:
    fee = vsize(1, 2)
    moved = 100 * fee if enough else 100 * fee - 1
    result = composed(payouts_of(moved), coins_of(10**6))
    if enough:
        assert result.fee == fee
    else:
        assert result == Postponed(Wait.FEE_SHARE, f"a fee of {fee} is too much for a batch of {moved}")
    assert isinstance(composed(payouts_of(moved), coins_of(10**6), terms={"max_fee_ppm": 20_000}), Composition)


@pytest.mark.parametrize("minimum", [DUST, 0, 50_000])
def test_payouts_compose_nobody_gets_less_than_his_minimum_or_dust(minimum: int) -> None:
    least, fee = max(minimum, DUST), vsize(1, 2)
    terms = {"max_fee_ppm": 10**6}
    exact = composed(payouts_of(least + fee, minimum=minimum), coins_of(10**6), terms, fee_policy=FeePolicy.MINER)
    assert exact.nets == (least,)
    less = composed(payouts_of(least + fee - 1, minimum=minimum), coins_of(10**6), terms, fee_policy=FeePolicy.MINER)
    assert less == Postponed(Wait.MINIMUM, "payouts stay below their minimum after the fee at a rate of 1000")


def test_payouts_compose_dust_is_the_chains_own() -> None:
    """On a chain with a fixed dust limit, an output below it is no payout, and change below it is no output."""
    rule = {"dust": DustRule(rate=0, floor=1_000_000)}
    assert composed(payouts_of(999_999), coins_of(10**8), rule).wait is Wait.MINIMUM
    result = composed(payouts_of(10**8), coins_of(10**8 + 999_999), rule)
    assert (result.change, result.fee) == (0, 999_999)
    assert composed(payouts_of(10**8), coins_of(10**8 + 999_999 + vsize(1, 2) + 1), rule).change == 1_000_000


def test_payouts_compose_one_too_small_leaves_the_others_and_their_order() -> None:
    payouts = [
        make_payout(1, 900_000), make_payout(2, 800_000, minimum=800_000), make_payout(3, 700_000, minimum=699_000),
    ]  # fmt: skip
    result = composed(payouts, coins_of(5_000_000), fee_policy=FeePolicy.MINER)
    assert [payout.id for payout in result.payouts] == ["p1", "p3"]
    fee = vsize(1, 3)
    assert result.fee == fee
    assert sum(result.nets) == 1_600_000 - fee
    assert result.change == 3_400_000


@pytest.mark.parametrize(("falling", "paid"), [(0, True), (1, True), (2, True), (3, True), (4, False)])
def test_payouts_compose_rows_are_taken_out_three_times_at_most(falling: int, paid: bool) -> None:
    """Equal rows, of which the last always falls below its minimum: with each that goes the fee of the transaction is
    spread over fewer, and the one before it has just too little.
    """
    gross, rate = 1_000_000, 50_000
    rows = payouts_of(gross)
    for count in range(2, falling + 2):
        part = -(-50 * vsize(1, count + 1) // count)
        rows.append(make_payout(count, gross, minimum=gross - part + 2))
    result = composed(rows, coins_of(10**9), fee_policy=FeePolicy.MINER, fee_rate=rate)
    if paid:
        assert result.payouts == tuple(rows[:1])
        assert result.nets == (gross - 50 * vsize(1, 2),)
    else:
        assert result.wait is Wait.MINIMUM


def test_payouts_compose_has_no_more_outputs_than_the_terms_allow() -> None:
    payouts = payouts_of(400_000, 300_000, 200_000)
    result = composed(payouts, coins_of(10**7), {"max_outputs": 2})
    assert result.payouts == tuple(payouts[:2])
    assert composed(payouts, coins_of(10**7), {"max_outputs": 3}).payouts == tuple(payouts)
    assert composed(payouts, coins_of(10**7), {"max_outputs": 0}) == Postponed(Wait.NOTHING, "nobody is owed enough")
    assert composed([], coins_of(10**7)) == Postponed(Wait.NOTHING, "nobody is owed enough")


def test_payouts_compose_has_no_more_inputs_than_the_terms_allow() -> None:
    terms = {"max_inputs": 2}
    fitting = composed(payouts_of(150_000), coins_of(100_000, 100_000, 100_000), terms)
    assert fitting.coins == tuple(coins_of(100_000, 100_000))
    assert composed(payouts_of(250_000), coins_of(100_000, 100_000, 100_000), terms) == Postponed(
        Wait.CONSOLIDATION, "2 coins hold no more than 200000"
    )
    assert composed(payouts_of(300_000), coins_of(100_000, 100_000, 100_000), terms).wait is Wait.CONSOLIDATION
    # All coins together would not do either, or there are no more than allowed: then it is not their number.
    assert composed(payouts_of(300_001), coins_of(100_000, 100_000, 100_000), terms) == Postponed(
        Wait.COINS, "the coins that may be spent hold 200000"
    )
    assert composed(payouts_of(200_001), coins_of(100_000, 100_000), terms) == Postponed(
        Wait.COINS, "the coins that may be spent hold 200000"
    )
    # What is wanted is there, and only its fee is not.
    assert composed(payouts_of(200_000), coins_of(100_000, 100_000, 100_000), terms) == Postponed(
        Wait.COINS, "the coins that may be spent hold 200000"
    )


def test_payouts_compose_stays_below_the_weight_that_nodes_relay() -> None:
    many = {"max_inputs": 5000, "max_fee_ppm": 10**6}
    most = max(n for n in range(1400, 1500) if 4 * (8 + 3 + 1 + 41 * n + 62) + 2 + 108 * n <= 396_000)
    coins = coins_of(*[10_000] * 1500)
    full = composed(payouts_of(10_000 * most), coins, many, fee_policy=FeePolicy.MINER)
    assert len(full.coins) == most
    assert isinstance(composed(payouts_of(10_000 * most + 1), coins, many, fee_policy=FeePolicy.MINER), Postponed)


def test_payouts_compose_consolidation_makes_one_coin_of_many() -> None:
    coins = coins_of(300_000, 200_000, 100_000)
    fee = 2 * vsize(3, 1)
    assert composed([], coins, kind=BatchKind.CONSOLIDATE, fee_rate=2000, pool_budget=fee) == Composition(
        (), (), tuple(coins), 600_000 - fee, fee, fee, 2000
    )
    poor = composed([], coins, kind=BatchKind.CONSOLIDATE, fee_rate=2000, pool_budget=fee - 1)
    assert poor == Postponed(Wait.POOL_EQUITY, f"the operator's equity covers a fee of {fee - 1}, not {fee}")
    two = composed([], coins, {"max_inputs": 2}, kind=BatchKind.CONSOLIDATE)
    assert two.coins == tuple(coins[:2])
    for few, terms in ((coins[:1], {}), ([], {}), (coins, {"max_inputs": 1})):
        assert composed([], few, terms, kind=BatchKind.CONSOLIDATE) == Postponed(
            Wait.NOTHING, "there are no two coins to make one of"
        )


def test_payouts_compose_consolidation_pays_no_more_than_its_share_and_keeps_more_than_dust() -> None:
    fee = vsize(2, 1)
    exact = composed([], coins_of(60 * fee, 40 * fee), kind=BatchKind.CONSOLIDATE)
    assert (exact.fee, exact.change) == (fee, 99 * fee)
    assert composed([], coins_of(60 * fee, 40 * fee - 1), kind=BatchKind.CONSOLIDATE) == Postponed(
        Wait.FEE_SHARE, f"a fee of {fee} is too much for coins of {100 * fee - 1}"
    )
    free = {"max_fee_ppm": 10**6}
    kept = composed([], coins_of(fee, DUST), free, kind=BatchKind.CONSOLIDATE)
    assert kept.change == DUST
    assert composed([], coins_of(fee, DUST - 1), free, kind=BatchKind.CONSOLIDATE).wait is Wait.FEE_SHARE


def test_payouts_compose_consolidation_leaves_coins_that_would_be_too_heavy() -> None:
    free = {"max_inputs": 5000, "max_fee_ppm": 10**6}
    most = max(n for n in range(1400, 1500) if 4 * (8 + 3 + 1 + 41 * n + 31) + 2 + 108 * n <= 396_000)
    result = composed([], coins_of(*[10_000] * 1500), free, kind=BatchKind.CONSOLIDATE)
    assert len(result.coins) == most
    assert result.coins == tuple(coins_of(*[10_000] * most))


@pytest.mark.parametrize(("more", "fits"), [(0, True), (1, False)])
def test_payouts_compose_weight_may_be_the_limit_and_no_unit_more(more: int, fits: bool) -> None:
    """Two P2PKH coins and a change script so long that the transaction has 99,000 bytes, all of them weighing four."""
    coins = [make_coin(number, 10**9, script=b"\x76\xa9\x14" + bytes(20) + b"\x88\xac") for number in (1, 2)]
    around = 4 + 1 + 2 * (40 + 108) + 1 + 8 + 5 + 4
    consolidated = composed([], coins, kind=BatchKind.CONSOLIDATE, change_script=bytes(99_000 - around + more))
    if fits:
        assert consolidated.fee == 99_000
    else:
        assert consolidated == Postponed(Wait.NOTHING, "there are no two coins to make one of")
    script = bytes(99_000 - around - 31 + more)
    paid = composed(payouts_of(1_500_000_000), coins, change_script=script)
    assert isinstance(paid, Composition) is fits
    # One coin more would be too heavy, but it is the budget that keeps these two from paying.
    third = make_coin(3, 10**9, script=coins[0].script)
    poor = composed(payouts_of(1_500_000_000), [*coins, third], change_script=script, pool_budget=7)
    if fits:
        assert poor == Postponed(Wait.POOL_EQUITY, "the operator's equity covers a fee of 7, not more")
    else:
        assert poor == Postponed(Wait.COINS, f"the coins that may be spent hold {3 * 10**9}")


def test_payouts_compose_fee_parts_by_largest_remainder_the_earlier_row_on_a_tie() -> None:
    assert fee_parts(10, [1, 1, 1]) == [4, 3, 3]
    assert fee_parts(11, [1, 1, 1]) == [4, 4, 3]
    assert fee_parts(7, [5, 3, 2]) == [4, 2, 1]
    assert fee_parts(1, [3, 4]) == [0, 1]
    assert fee_parts(1, [0, 0]) == [0, 0]
    assert fee_parts(1, [0, 9]) == [0, 1]


@given(st.integers(0, 10**6), st.lists(st.integers(0, 10**6), min_size=1, max_size=8))
def test_payouts_compose_fee_parts_are_the_nearest_to_the_exact_ones(fee: int, amounts: list[int]) -> None:
    """By another way: hand out units one by one, each to whoever is furthest below his exact part; never to one who has
    his part rounded up already.
    """
    total = sum(amounts)
    parts = [0] * len(amounts)
    if total:
        parts = [fee * amount // total for amount in amounts]
        missing = [fee * amount % total for amount in amounts]
        for _ in range(fee - sum(parts)):
            first = missing.index(max(missing))
            parts[first] += 1
            missing[first] -= total
    assert fee_parts(fee, amounts) == parts
