"""A payout that the coins cannot cover waits alone: who comes behind it is paid, and nothing else changes by it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from payout_samples import CHANGE, make_coin, make_payout, make_terms

from chains.primitives.serialize import compact_size
from chains.wallet import Coin
from pool.payouts import purse
from pool.payouts.batch import BatchKind, FeePolicy, Payout
from pool.payouts.compose import Composition, Postponed, Wait, compose
from pool.payouts.sizes import MAX_WEIGHT, dust_limit, fee_for, transaction_weight, virtual_size
from pool.payouts.terms import PayoutTerms

P2PKH = b"\x76\xa9\x14" + b"\x01" * 20 + b"\x88\xac"
P2SH = b"\xa9\x14" + b"\x01" * 20 + b"\x87"
P2WPKH = b"\x00\x14" + b"\x01" * 20
SCRIPTS = (P2PKH, P2SH, P2WPKH)


def composed(payouts: list[Payout], coins: list[Coin], terms: dict[str, Any] | None = None, **options: Any) -> Any:
    values: dict[str, Any] = {
        "fee_policy": FeePolicy.POOL, "fee_rate": 1000, "change_script": CHANGE, "pool_budget": 10**12,
    }  # fmt: skip
    return compose(BatchKind.PAYOUT, payouts, coins, make_terms(**(terms or {})), **(values | options))


def payouts_of(*amounts: int) -> list[Payout]:
    return [make_payout(number, gross) for number, gross in enumerate(amounts, 1)]


def coins_of(*amounts: int) -> list[Coin]:
    return [make_coin(number, amount) for number, amount in enumerate(amounts, 1)]


def paid(result: Composition | Postponed) -> list[int | None]:
    assert isinstance(result, Composition), result
    return [payout.account_id for payout in result.payouts]


@pytest.mark.parametrize("policy", list(FeePolicy))
def test_payouts_compose_who_is_owed_more_than_there_is_keeps_nobody_waiting(policy: FeePolicy) -> None:
    payouts = payouts_of(10**9, 700_000, 300_000)
    result = composed(payouts, coins_of(2_000_000), fee_policy=policy)
    assert paid(result) == [2, 3]
    assert result == composed(payouts[1:], coins_of(2_000_000), fee_policy=policy)


def test_payouts_compose_several_may_wait_at_any_place() -> None:
    payouts = payouts_of(900_000, 600_000, 500_000, 350_000, 40_000, 60_000, 30_000)
    assert paid(composed(payouts, coins_of(1_000_000))) == [1, 5, 7]
    assert paid(composed(payouts, coins_of(890_000))) == [2, 5, 6, 7]
    assert paid(composed(payouts, coins_of(599_000))) == [3, 5, 7]


def test_payouts_compose_who_lacks_only_the_fee_waits_alone() -> None:
    assert paid(composed(payouts_of(1_000_000, 900_000), coins_of(600_000, 400_000))) == [2]
    assert paid(composed(payouts_of(1_000_000, 900_000, 90_000), coins_of(1_000_050))) == [2, 3]


def test_payouts_compose_when_nobody_can_be_paid_the_coins_are_the_reason() -> None:
    assert composed(payouts_of(10**9, 10**8), coins_of(2_000_000)) == Postponed(
        Wait.COINS, "the coins that may be spent hold 2000000"
    )
    # All coins together would do for the smaller one, so that it helps to make fewer of them.
    few = {"max_inputs": 2}
    assert composed(payouts_of(10**9, 250_000), coins_of(100_000, 100_000, 100_000), few) == Postponed(
        Wait.CONSOLIDATION, "2 coins hold no more than 200000"
    )


def test_payouts_compose_those_behind_the_cap_take_the_places_of_those_who_wait() -> None:
    payouts = payouts_of(10**9, 10**8, 300_000, 200_000, 100_000)
    assert paid(composed(payouts, coins_of(2_000_000), {"max_outputs": 2})) == [3, 4]
    assert paid(composed(payouts[2:], coins_of(2_000_000), {"max_outputs": 2})) == [3, 4]


def test_payouts_compose_who_waits_for_the_pools_money_is_not_overtaken() -> None:
    """The first takes two coins, whose fee the pool cannot bear; the second would take from what it waits for."""
    payouts, coins = payouts_of(1_500_000, 100_000), coins_of(900_000, 900_000)
    result = composed(payouts, coins, pool_budget=150)
    assert result == Postponed(Wait.POOL_EQUITY, "the operator's equity covers a fee of 150, not more")
    assert paid(composed(payouts[::-1], coins, pool_budget=150)) == [2]
    assert paid(composed(payouts, coins, pool_budget=250)) == [1, 2]
    # Who cannot be paid from these coins at all waits for them, not for the pool's money.
    assert paid(composed(payouts_of(10**9, 100_000), coins, pool_budget=150)) == [2]


def test_payouts_compose_a_rest_that_the_pool_cannot_bear_keeps_only_its_payout_waiting() -> None:
    """Miners bear the fee. What the first would leave of the coins is too little for an output and no miner's."""
    payouts, coins = payouts_of(999_900, 500_000), coins_of(600_000, 400_000)
    result = composed(payouts, coins, fee_policy=FeePolicy.MINER, pool_budget=99)
    assert paid(result) == [2]
    assert result.pool_fee == 0
    assert paid(composed(payouts, coins, fee_policy=FeePolicy.MINER, pool_budget=100)) == [1]
    alone = composed(payouts[:1], coins, fee_policy=FeePolicy.MINER, pool_budget=99)
    assert alone == Postponed(Wait.POOL_EQUITY, "the operator's equity covers a fee of 99, not more")


def slow_fit(
    rows: list[Payout], coins: list[Coin], terms: PayoutTerms, policy: FeePolicy, rate: int, budget: int
) -> tuple[int, int, int, int] | str:
    """By another way: (coins, change, fee, pool's part) of the fewest coins, each number of them reckoned anew; or why
    there is none.
    """
    wanted, dust = sum(payout.gross for payout in rows), dust_limit(CHANGE, terms.dust)
    scripts = [payout.script for payout in rows]
    reason = "coins"
    for count in range(1, min(len(coins), terms.max_inputs) + 1):
        inputs = [coin.script for coin in coins[:count]]
        over = sum(coin.amount for coin in coins[:count]) - wanted
        lone_fee = fee_for(virtual_size(transaction_weight(inputs, scripts)), rate)
        weight = transaction_weight(inputs, [*scripts, CHANGE])
        fee = fee_for(virtual_size(weight), rate)
        if over < 0:
            continue
        if weight > MAX_WEIGHT:
            break
        if policy is FeePolicy.MINER:
            found = (count, over, fee, 0) if over >= dust else (count, 0, lone_fee + over, over)
        elif over - fee >= dust:
            found = (count, over - fee, fee, fee)
        elif over >= lone_fee:
            found = (count, 0, over, over)
        else:
            continue
        if found[3] <= budget:
            return found
        reason = "equity"
    return reason


def slow_choice(
    payouts: list[Payout], coins: list[Coin], terms: PayoutTerms, policy: FeePolicy, rate: int, budget: int
) -> list[Payout]:
    """Who is paid: everybody when that is possible, else one after the other."""
    everybody = payouts[: terms.max_outputs]
    if not isinstance(slow_fit(everybody, coins, terms, policy, rate, budget), str):
        return everybody
    taken: list[Payout] = []
    for payout in payouts:
        if len(taken) == terms.max_outputs:
            break
        fit = slow_fit([*taken, payout], coins, terms, policy, rate, budget)
        if not isinstance(fit, str):
            taken.append(payout)
        elif fit == "equity" and policy is FeePolicy.POOL:
            break
    return taken


@settings(max_examples=300)
@given(
    st.lists(st.integers(1_000, 400_000), min_size=1, max_size=9),
    st.lists(st.tuples(st.integers(1, 300_000), st.sampled_from(SCRIPTS)), min_size=1, max_size=8),
    st.sampled_from(list(FeePolicy)),
    st.sampled_from((1, 700, 1000, 30_000)),
    st.one_of(st.sampled_from((-1, 0, 140, 10**9)), st.integers(0, 1_000)),
    st.integers(1, 9),
    st.integers(1, 8),
    st.booleans(),
)
def test_payouts_compose_takes_whom_the_coins_can_pay_one_after_the_other(
    amounts: list[int], purses: list[tuple[int, bytes]], policy: FeePolicy, rate: int, budget: int, most: int,
    inputs: int, largest_first: bool,
) -> None:  # fmt: skip
    payouts = payouts_of(*(sorted(amounts, reverse=True) if largest_first else amounts))
    coins = [make_coin(number, amount, script=script) for number, (amount, script) in enumerate(purses, 1)]
    limits = {"max_outputs": most, "max_inputs": inputs, "max_fee_ppm": 10**9, "dust": make_terms().dust}
    terms = make_terms(**limits)
    expected = slow_choice(payouts, coins, terms, policy, rate, budget)
    result = composed(payouts, coins, limits, fee_policy=policy, fee_rate=rate, pool_budget=budget)
    if not expected:
        assert isinstance(result, Postponed)
    elif isinstance(result, Postponed):
        assert result.wait is Wait.MINIMUM
        assert policy is FeePolicy.MINER
    else:
        assert set(result.payouts) <= set(expected)
        assert sum(coin.amount for coin in result.coins) == sum(result.nets) + result.change + result.fee
        assert result.pool_fee <= budget
        if result.payouts == tuple(expected):
            found = slow_fit(expected, coins, terms, policy, rate, budget)
            assert found == (len(result.coins), result.change, result.fee, result.pool_fee)
        else:
            assert policy is FeePolicy.MINER


def test_payouts_compose_with_thousands_of_payouts_reckons_few_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever cannot be paid costs no search through the coins, whatever he lacks."""
    weights = 0
    weight_of = purse.weight_of

    def counting(*arguments: int) -> int:
        nonlocal weights
        weights += 1
        return weight_of(*arguments)

    monkeypatch.setattr(purse, "weight_of", counting)
    payouts = payouts_of(*[100_000] * 5000)
    worlds: list[tuple[list[Coin], dict[str, Any]]] = [
        ([], {}),
        (coins_of(*[100] * 600), {}),
        (coins_of(*[100_000] * 600), {"pool_budget": 0}),
        (coins_of(*[100_000] * 600), {}),
        (coins_of(*[100_000] * 599, 100_500), {}),
        (coins_of(*[100_000] * 600), {"fee_policy": FeePolicy.MINER, "pool_budget": 0}),
        (coins_of(100_060, *[10] * 599), {}),
    ]
    for coins, options in worlds:
        weights = 0
        composed(payouts, coins, **options)
        assert weights < 4 * len(payouts)


@given(st.lists(st.sampled_from(SCRIPTS), max_size=300), st.lists(st.sampled_from(SCRIPTS), max_size=5))
def test_payouts_sizes_running_weights_are_those_of_the_transaction(inputs: list[bytes], outputs: list[bytes]) -> None:
    """By hand: BIP141's weight, three times the bytes without witness and once all of them."""
    bodies = {P2PKH: (148, 0), P2SH: (64, 108), P2WPKH: (41, 108)}
    stripped = 8 + len(compact_size(len(inputs))) + len(compact_size(len(outputs)))
    stripped += sum(bodies[script][0] for script in inputs) + sum(9 + len(script) for script in outputs)
    witness = 0
    if any(bodies[script][1] for script in inputs):
        witness = 2 + sum(bodies[script][1] or 1 for script in inputs)
    assert transaction_weight(inputs, outputs) == 4 * stripped + witness
