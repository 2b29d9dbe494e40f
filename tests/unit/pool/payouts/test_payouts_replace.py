"""A transaction that takes the place of another: the same payouts, all of its coins, a fee by BIP125's rules."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from payout_samples import CHANGE, make_batch, make_coin, make_payout, make_terms, script_of, sign

from chains.primitives.transaction import parse_transaction
from chains.wallet import Coin
from pool.payouts.batch import Batch, BatchKind, BatchState, FeePolicy
from pool.payouts.build import build, verify_built
from pool.payouts.compose import Composition, compose
from pool.payouts.replace import CoinsShortError, ReplaceRefusedError, check_replaceable, least_fee, replacement
from pool.payouts.sizes import virtual_size
from pool.payouts.terms import PayoutTerms

TERMS = make_terms(max_fee_ppm=200_000)


def signed(coins: list[Coin], *gross: int, terms: PayoutTerms = TERMS, **options: Any) -> Batch:
    """A batch that is on its way at the rate of 1000."""
    policy = options.get("fee_policy", FeePolicy.POOL)
    payouts = tuple(make_payout(number, amount) for number, amount in enumerate(gross, 1))
    kind = BatchKind.PAYOUT if gross else BatchKind.CONSOLIDATE
    composed = compose(
        kind, payouts, coins, terms, fee_policy=policy, fee_rate=1000, change_script=CHANGE, pool_budget=10**9
    )
    assert isinstance(composed, Composition)
    return version(composed, payouts=payouts, kind=kind, **options)


def version(composed: Composition, **options: Any) -> Batch:
    built = build(composed, CHANGE, tuple(payout.id for payout in composed.payouts))
    raw = sign(built.raw)
    made = parse_transaction(raw)
    values = {"raw": raw, "txid": made.txid, "wtxid": made.wtxid, "fee_rate": composed.fee_rate} | options
    return make_batch(BatchState.BROADCAST, built, **values)


def replaced(batch: Batch, usable: tuple[Coin, ...] = (), rate: int = 2000, **options: Any) -> Composition:
    values: dict[str, Any] = {"terms": TERMS, "fee_budget": 10**9} | options
    terms = values.pop("terms")
    return replacement(batch, usable, terms, fee_rate=rate, change_script=CHANGE, **values)


@pytest.mark.parametrize("policy", FeePolicy)
def test_payouts_replace_takes_the_same_coins_and_pays_the_same(policy: FeePolicy) -> None:
    batch = signed([make_coin(1, 900_000)], 500_000, 300_000, fee_policy=policy)
    assert batch.built is not None and batch.built.change is not None
    found = replaced(batch)
    assert tuple(coin.outpoint for coin in found.coins) == batch.built.inputs
    assert found.nets == tuple(output.net for output in batch.built.outputs)
    assert found.fee == 2 * batch.built.fee
    assert batch.built.change.amount - found.change == found.fee - batch.built.fee
    assert found.pool_fee - batch.built.pool_fee == found.fee - batch.built.fee
    built = build(found, CHANGE, ("p1", "p2"))
    assert built.outputs == batch.built.outputs
    verify_built(built, {payout.id: (payout.script, payout.gross) for payout in batch.payouts})


def test_payouts_replace_pays_at_least_the_old_fee_and_its_own_way() -> None:
    """BIP125, rules 3, 4 and 6, however low the rate that was asked for."""
    batch = signed([make_coin(1, 900_000)], 500_000)
    assert batch.built is not None and batch.raw is not None
    found = replaced(batch, rate=1)
    assert found.fee == batch.built.fee + batch.built.vsize  # the increment is 1000
    assert least_fee(batch, 100, 1, TERMS) == batch.built.fee + 100
    size = virtual_size(parse_transaction(batch.raw).weight)
    assert least_fee(batch, 10_000, 1, make_terms(incremental_rate=1)) == batch.built.fee * 10_000 // size + 1


def test_payouts_replace_of_a_replacement_beats_every_one_before() -> None:
    first = signed([make_coin(1, 900_000)], 500_000)
    second = version(replaced(first, rate=9000), payouts=first.payouts, version=1)
    batch = dataclasses.replace(first, others=(second,))  # the first one is the present one: a reorg may do that
    assert second.built is not None
    assert replaced(batch, rate=1).fee == second.built.fee + second.built.vsize


def test_payouts_replace_adds_coins_when_the_change_is_too_small() -> None:
    batch = signed([make_coin(1, 800_400)], 800_000)
    assert batch.built is not None and batch.built.change is None
    with pytest.raises(CoinsShortError, match=r"hold 800400, and payouts and a fee of \d+ take more"):
        replaced(batch)
    found = replaced(batch, (make_coin(1, 800_400), make_coin(2, 100), make_coin(3, 50_000)))
    assert [coin.amount for coin in found.coins] == [800_400, 100, 50_000]
    assert found.fee == sum(coin.amount for coin in found.coins) - 800_000 - found.change
    second = version(found, payouts=batch.payouts, version=1)
    again = replaced(dataclasses.replace(batch, others=(second,)), rate=4000)  # spends all that any one spends
    assert [coin.outpoint for coin in again.coins] == [coin.outpoint for coin in found.coins]
    with pytest.raises(CoinsShortError):
        replaced(batch, (make_coin(3, 50_000),), terms=make_terms(max_inputs=1, max_fee_ppm=200_000))


def test_payouts_replace_leaves_no_change_that_is_dust() -> None:
    batch = signed([make_coin(1, 501_000)], 500_000)
    assert batch.built is not None and batch.built.change is not None
    found = replaced(batch, rate=5500)
    assert (found.change, found.fee, found.pool_fee) == (0, 1000, 1000)


def test_payouts_replace_of_a_consolidation_keeps_one_output() -> None:
    batch = signed([make_coin(1, 50_000), make_coin(2, 60_000)])
    found = replaced(batch)
    assert (found.payouts, found.change) == ((), 110_000 - found.fee)
    with pytest.raises(CoinsShortError):
        replaced(batch, rate=10**6, terms=make_terms(max_fee_ppm=10**7, max_fee_rate=10**7))


@pytest.mark.parametrize(
    ("rate", "options", "words"),
    [
        (100_001, {}, "a fee rate of 100001 is over payouts.max_fee_rate, 100000"),
        (90_000, {"terms": make_terms()}, "is too much for a batch of 500000"),
        (1000, {"terms": make_terms(max_fee_rate=1001)}, "is over payouts.max_fee_rate"),
        (2000, {"fee_budget": 100}, "the pool has to bear 141 more, and the operator's equity covers 100"),
        (2000, {"fee_budget": -5}, "the operator's equity covers 0: fund the pool first"),
        (2000, {"terms": make_terms(incremental_rate=None)}, "the nodes of alpha do not replace"),
    ],
)
def test_payouts_replace_refuses(rate: int, options: dict[str, Any], words: str) -> None:
    batch = signed([make_coin(1, 900_000)], 500_000)
    with pytest.raises(ReplaceRefusedError, match=words):
        replaced(batch, rate=rate, **options)


def test_payouts_replace_is_for_what_waits_and_says_that_it_may_be() -> None:
    batch = signed([make_coin(1, 900_000)], 500_000)
    for state in (BatchState.CONFIRMING, BatchState.HOLD, BatchState.CONFLICTED, BatchState.SETTLED):
        with pytest.raises(ReplaceRefusedError, match=f"batch b1 is {state}"):
            check_replaceable(dataclasses.replace(batch, state=state), TERMS)
    assert batch.raw is not None
    final = batch.raw.replace((0xFFFFFFFD).to_bytes(4, "little"), (0xFFFFFFFE).to_bytes(4, "little"))
    with pytest.raises(ReplaceRefusedError, match="BIP125"):
        check_replaceable(dataclasses.replace(batch, raw=final), TERMS)
    check_replaceable(batch, TERMS)


@given(
    st.lists(st.integers(10_000, 10**7), min_size=1, max_size=4),
    st.lists(st.integers(300, 10**7), max_size=4),
    st.integers(0, 20_000),
    st.integers(1, 20_000),
    st.sampled_from(FeePolicy),
)
def test_payouts_replace_always_keeps_the_rules(
    gross: list[int], further: list[int], over: int, rate: int, policy: FeePolicy
) -> None:
    terms = make_terms(max_fee_ppm=10**7)
    coins = [make_coin(1, sum(gross) + over + 1000)]
    batch = signed(coins, *gross, terms=terms, fee_policy=policy)
    usable = tuple(make_coin(number, amount) for number, amount in enumerate(further, 2))
    try:
        found = replaced(batch, usable, rate, terms=terms)
    except CoinsShortError:
        return
    assert batch.built is not None and batch.raw is not None
    built = build(found, CHANGE, tuple(payout.id for payout in found.payouts))
    old, new = parse_transaction(batch.raw), parse_transaction(sign(built.raw))
    old_size, new_size = virtual_size(old.weight), virtual_size(new.weight)
    assert built.outputs == batch.built.outputs
    assert built.inputs[: len(batch.built.inputs)] == batch.built.inputs
    assert built.fee >= batch.built.fee + new_size
    assert built.fee * old_size > batch.built.fee * new_size
    assert built.pool_fee == built.fee - sum(output.fee_part for output in batch.built.outputs)
    assert script_of(1) in {output.script for output in new.outputs}
