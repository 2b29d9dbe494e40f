"""Money into transactions: for any payouts and coins the sums are exact, and a changed byte is found."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from payout_samples import CHANGE, make_coin, make_payout, make_terms, script_of, sign

from chains.primitives.transaction import Transaction, TxIn, TxOut, parse_transaction
from chains.wallet import Coin
from pool.payouts.batch import BatchKind, BuiltBatch, FeePolicy, PaidOutput, Payout
from pool.payouts.build import BatchMismatchError, build, verify_built, verify_signed
from pool.payouts.compose import Composition, Postponed, Wait, compose, fee_parts
from pool.payouts.sizes import dust_limit, fee_for, virtual_size
from pool.payouts.terms import PayoutTerms


def composed(payouts: list[Payout], coins: list[Coin], **options: Any) -> Composition | Postponed:
    terms: PayoutTerms = options.pop("terms", make_terms())
    values: dict[str, Any] = {
        "kind": BatchKind.PAYOUT, "fee_policy": FeePolicy.POOL, "fee_rate": 1000, "change_script": CHANGE,
        "pool_budget": 10**12,
    }  # fmt: skip
    values |= options
    kind = values.pop("kind")
    return compose(kind, payouts, coins, terms, **values)


def good(payouts: list[Payout], coins: list[Coin], **options: Any) -> Composition:
    result = composed(payouts, coins, **options)
    assert isinstance(result, Composition), result
    return result


def built_of(count: int = 3, **options: Any) -> tuple[BuiltBatch, list[Payout]]:
    payouts = [make_payout(n, 100_000 * n) for n in range(count, 0, -1)]
    result = good(payouts, [make_coin(1, 10_000_000)], **options)
    return build(result, CHANGE, tuple(payout.id for payout in payouts)), payouts


amounts = st.lists(st.integers(10_000, 10**10), min_size=1, max_size=30)
coin_amounts = st.lists(st.integers(1_000, 10**11), min_size=1, max_size=30)


@settings(max_examples=150, deadline=None)
@given(amounts, coin_amounts, st.sampled_from(FeePolicy), st.integers(1000, 100_000), st.integers(0, 10**6))
def test_payouts_build_every_unit_is_accounted_for(
    wanted: list[int], held: list[int], policy: FeePolicy, rate: int, budget: int
) -> None:
    payouts = [make_payout(n, gross, minimum=10_000) for n, gross in enumerate(sorted(wanted, reverse=True), 1)]
    coins = [make_coin(n, amount) for n, amount in enumerate(sorted(held, reverse=True))]
    result = composed(payouts, coins, fee_policy=policy, fee_rate=rate, pool_budget=budget)
    if isinstance(result, Postponed):
        return
    built = build(result, CHANGE, tuple(payout.id for payout in payouts))
    transaction = parse_transaction(built.raw)
    paid = sum(output.amount_sat for output in transaction.outputs)
    assert sum(coin.amount for coin in built.coins) == paid + built.fee
    by_id = {payout.id: payout for payout in payouts}
    for output in built.outputs:
        payout = by_id[output.payout_id]
        assert transaction.outputs[output.vout] == TxOut(output.net, payout.script)
        assert output.net + output.fee_part == payout.gross
        assert output.net >= 10_000
    assert {output.payout_id for output in built.outputs} | set(built.dropped) == set(by_id)
    assert built.pool_fee <= budget
    moved = sum(by_id[output.payout_id].gross for output in built.outputs)
    assert built.fee * 100 <= moved
    assert built.fee >= fee_for(built.vsize, rate)
    if built.change is None:
        assert built.fee < fee_for(built.vsize + 43, rate) + dust_limit(CHANGE, make_terms().dust)
    else:
        assert built.fee == fee_for(built.vsize, rate)
        assert built.change.amount >= dust_limit(CHANGE, make_terms().dust)
    assert verify_signed(sign(built.raw), built).vsize == built.vsize


@given(st.integers(0, 10**9), st.lists(st.integers(0, 10**12), max_size=60))
def test_incident_p11_parts_of_a_fee_add_up_exactly_and_are_off_by_less_than_one_unit(
    fee: int, weights: list[int]
) -> None:
    parts = fee_parts(fee, weights)
    total = sum(weights)
    assert sum(parts) == (fee if total else 0)
    assert all(abs(part * total - fee * weight) < max(total, 1) for part, weight in zip(parts, weights, strict=True))


def test_payouts_build_the_earlier_row_wins_a_tie() -> None:
    assert fee_parts(2, [5, 5, 5]) == [1, 1, 0]
    assert fee_parts(0, [5]) == [0]
    assert fee_parts(5, []) == []


def test_incident_p10_what_is_paid_is_what_is_debited_to_the_unit() -> None:
    payouts = [make_payout(n, 123_456_789_012_345 + n) for n in range(1, 4)]
    built = build(good(payouts, [make_coin(1, 10**15)]), CHANGE, ())
    assert [output.net for output in built.outputs] == [payout.gross for payout in payouts]
    assert [output.fee_part for output in built.outputs] == [0, 0, 0]


def test_incident_p12_amounts_beyond_a_double_stay_exact() -> None:
    """5000000000000001 units of 10^-8 are 50000000.00000001, which a double cannot hold."""
    amount = 5_000_000_000_000_001
    built = build(good([make_payout(1, amount)], [make_coin(1, 2**53 + 1)]), CHANGE, ())
    assert parse_transaction(built.raw).outputs[0].amount_sat == amount


def test_incident_p09_a_fee_is_a_line_of_its_own_and_lowers_no_reward() -> None:
    payouts = [make_payout(1, 100_000)]
    for _ in range(3):  # however often it is composed again
        result = good(payouts, [make_coin(1, 200_000)])
        assert result.nets == (100_000,)
        assert result.fee == result.pool_fee > 0


def test_payouts_build_miners_bear_the_real_fee_in_proportion() -> None:
    payouts = [make_payout(1, 3_000_000), make_payout(2, 1_000_000)]
    result = good(payouts, [make_coin(1, 10_000_000)], fee_policy=FeePolicy.MINER, pool_budget=0)
    assert result.pool_fee == 0
    assert result.change == 6_000_000
    assert sum(result.nets) + result.fee == 4_000_000
    assert 3_000_000 - result.nets[0] == pytest.approx(3 * (1_000_000 - result.nets[1]), abs=3)


def test_payouts_build_change_that_is_dust_goes_to_the_fee_and_the_pool_bears_it() -> None:
    payouts = [make_payout(1, 1_000_000)]
    coins = [make_coin(1, 1_000_200)]
    result = good(payouts, coins, fee_policy=FeePolicy.MINER)
    assert (result.change, result.pool_fee) == (0, 200)
    assert sum(result.nets) + result.fee == 1_000_200
    refused = composed(payouts, coins, fee_policy=FeePolicy.MINER, pool_budget=199)
    assert isinstance(refused, Postponed)
    assert refused.wait is Wait.POOL_EQUITY
    more = good(payouts, [*coins, make_coin(2, 5_000)], fee_policy=FeePolicy.MINER, pool_budget=199)
    assert (more.change, more.pool_fee) == (5_200, 0)


def test_payouts_build_pays_as_many_as_the_coins_can_in_order() -> None:
    payouts = [make_payout(n, 100_000) for n in range(1, 11)]
    result = good(payouts, [make_coin(1, 350_000)])
    assert [payout.id for payout in result.payouts] == ["p1", "p2", "p3"]
    built = build(result, CHANGE, tuple(payout.id for payout in payouts))
    assert built.dropped == ("p4", "p5", "p6", "p7", "p8", "p9", "p10")


def test_payouts_build_a_row_that_falls_below_its_minimum_waits_and_the_others_are_paid() -> None:
    payouts = [make_payout(1, 5_000_000, minimum=10_000), make_payout(2, 10_000, minimum=10_000)]
    result = good(payouts, [make_coin(1, 10_000_000)], fee_policy=FeePolicy.MINER, fee_rate=10_000)
    assert [payout.id for payout in result.payouts] == ["p1"]


def test_payouts_build_gives_up_after_three_rebuilds() -> None:
    # Each time one more row falls below its minimum, because the fee is spread over fewer.
    payouts = [make_payout(1, 50_000_000, minimum=50_000_000)]
    result = composed(payouts, [make_coin(1, 10**9)], fee_policy=FeePolicy.MINER)
    assert result == Postponed(Wait.MINIMUM, "payouts stay below their minimum after the fee at a rate of 1000")


@pytest.mark.parametrize(
    ("payouts", "coins", "options", "wait"),
    [
        ([], [make_coin(1, 10**9)], {}, Wait.NOTHING),
        ([make_payout(1, 100_000)], [], {}, Wait.COINS),
        ([make_payout(1, 100_000)], [make_coin(1, 100_050)], {}, Wait.COINS),
        ([make_payout(1, 100_000)], [make_coin(1, 200_000)], {"pool_budget": 100}, Wait.POOL_EQUITY),
        ([make_payout(1, 100_000)], [make_coin(1, 200_000)], {"pool_budget": -7}, Wait.POOL_EQUITY),
        ([make_payout(1, 100_000)], [make_coin(1, 200_000)], {"fee_rate": 10_000}, Wait.FEE_SHARE),
        ([make_payout(1, 1_500_000)], [make_coin(n, 10_000) for n in range(200)], {"fee_rate": 2000}, Wait.FEE_SHARE),
        ([make_payout(1, 6_500_000)], [make_coin(n, 10_000) for n in range(700)], {}, Wait.CONSOLIDATION),
    ],
)
def test_payouts_build_waits(
    payouts: list[Payout], coins: list[Coin], options: dict[str, Any], wait: Wait
) -> None:
    result = composed(payouts, coins, **options)
    assert isinstance(result, Postponed)
    assert result.wait is wait
    assert result.words


def test_payouts_build_a_consolidation_of_worthless_coins_waits() -> None:
    coins = [make_coin(n, 500) for n in range(600)]
    result = composed([], coins, kind=BatchKind.CONSOLIDATE)
    assert isinstance(result, Postponed)
    assert result.wait is Wait.FEE_SHARE
    alone = composed([], coins[:1], kind=BatchKind.CONSOLIDATE)
    assert isinstance(alone, Postponed)
    assert alone.wait is Wait.NOTHING
    poor = composed([], [make_coin(1, 10**8), make_coin(2, 10**8)], kind=BatchKind.CONSOLIDATE, pool_budget=5)
    assert isinstance(poor, Postponed)
    assert poor.wait is Wait.POOL_EQUITY


def change_output(built: BuiltBatch, **options: Any) -> bytes:
    transaction = parse_transaction(built.raw)
    return dataclasses.replace(transaction, **options).serialize()


def test_payouts_build_finds_every_difference_to_the_plan() -> None:
    built, payouts = built_of()
    wanted = {payout.id: (payout.script, payout.gross) for payout in payouts}
    verify_built(built, wanted)
    transaction = parse_transaction(built.raw)
    one, *others = transaction.outputs
    wrong_bytes = {
        "a unit more": change_output(built, outputs=(TxOut(one.amount_sat + 1, one.script), *others)),
        "another script": change_output(built, outputs=(TxOut(one.amount_sat, script_of(99)), *others)),
        "an output more": change_output(built, outputs=(*transaction.outputs, TxOut(1, script_of(99)))),
        "an output less": change_output(built, outputs=tuple(others)),
        "another order": change_output(built, outputs=tuple(reversed(transaction.outputs))),
        "an input more": change_output(built, inputs=(*transaction.inputs, TxIn(b"\x09" * 32, 0, b""))),
        "no transaction": b"\x00\x01",
    }
    for name, raw in wrong_bytes.items():
        with pytest.raises(BatchMismatchError):
            verify_built(dataclasses.replace(built, raw=raw), wanted)
            pytest.fail(name)
    wrong_values = {
        "a fee of another size": {"fee": built.fee + 1},
        "a fee that nobody bears": {"pool_fee": built.pool_fee - 1},
        "a payout twice": {"outputs": (*built.outputs, built.outputs[0])},
        "a payout forgotten": {"outputs": built.outputs[1:]},
        "a net that is not the gross": {
            "outputs": (PaidOutput(built.outputs[0].payout_id, 0, 1, 0), *built.outputs[1:])
        },
        "a coin of another amount": {"coins": (make_coin(1, 10_000_001),)},
    }
    for name, values in wrong_values.items():
        with pytest.raises(BatchMismatchError):
            verify_built(dataclasses.replace(built, **values), wanted)
            pytest.fail(name)


def test_payouts_build_takes_only_signatures_from_a_wallet() -> None:
    built, _ = built_of()
    signed = parse_transaction(sign(built.raw))
    ids = verify_signed(signed.serialize(), built)
    assert (ids.txid, ids.wtxid) == (signed.txid, signed.wtxid)
    assert ids.vsize == virtual_size(signed.weight)
    first = signed.inputs[0]
    outputs = signed.outputs
    wrong: dict[str, Transaction] = {
        "unsigned": parse_transaction(built.raw),
        "another version": dataclasses.replace(signed, version=1),
        "a lock time": dataclasses.replace(signed, lock_time=5),
        "another sequence": dataclasses.replace(signed, inputs=(dataclasses.replace(first, sequence=0),)),
        "another coin": dataclasses.replace(signed, inputs=(dataclasses.replace(first, previous_index=1),)),
        "an output less": dataclasses.replace(signed, outputs=outputs[:-1]),
        "a unit less": dataclasses.replace(
            signed, outputs=(TxOut(outputs[0].amount_sat - 1, outputs[0].script), *outputs[1:])
        ),
    }
    for name, transaction in wrong.items():
        with pytest.raises(BatchMismatchError):
            verify_signed(transaction.serialize(), built)
            pytest.fail(name)
    with pytest.raises(BatchMismatchError, match="not a transaction"):
        verify_signed(b"nonsense", built)


def test_payouts_build_is_the_same_after_a_crash() -> None:
    assert built_of()[0] == built_of()[0]
