"""Which coins are spent, and how large what spends them becomes."""

from __future__ import annotations

import random

import pytest
from payout_samples import CHANGE, make_coin, make_terms, script_of, sign

from chains.primitives.transaction import parse_transaction
from pool.payouts.batch import BatchKind, FeePolicy
from pool.payouts.build import build
from pool.payouts.coins import is_crowded, spendable, to_consolidate
from pool.payouts.compose import Composition, compose
from pool.payouts.sizes import (
    UnknownScriptError,
    dust_limit,
    fee_for,
    spending,
    transaction_weight,
    virtual_size,
)
from pool.payouts.terms import DustRule

P2PKH = b"\x76\xa9\x14" + b"\x01" * 20 + b"\x88\xac"
P2SH = b"\xa9\x14" + b"\x01" * 20 + b"\x87"
P2WPKH = b"\x00\x14" + b"\x01" * 20
P2TR = b"\x51\x20" + b"\x01" * 32
P2PK = b"\x21" + b"\x02" * 33 + b"\xac"


def test_payouts_coins_largest_first_then_by_outpoint_whatever_the_order() -> None:
    coins = [make_coin(n, amount) for n, amount in enumerate((5, 9, 5, 7, 9))]
    for _ in range(5):
        random.shuffle(coins)
        booked = {coin.outpoint for coin in coins}
        chosen = spendable(coins, booked, (), make_terms())
        assert [(c.amount, c.outpoint.txid[-1]) for c in chosen] == [(9, 1), (9, 4), (7, 3), (5, 0), (5, 2)]


def test_incident_p15_only_confirmed_mature_known_and_free_coins_are_spent() -> None:
    coins = [
        make_coin(1, 100),
        make_coin(2, 100, confirmations=0),
        make_coin(3, 100, coinbase=True, confirmations=100),
        make_coin(4, 100, coinbase=True, confirmations=101),
        make_coin(5, 100),
        make_coin(6, 100),
        make_coin(7, 0),
        make_coin(8, 100, script=b"\x6a\x01\x01"),
    ]
    booked = {coin.outpoint for coin in coins if coin.outpoint.txid[-1] != 5}
    reserved = {coin.outpoint for coin in coins if coin.outpoint.txid[-1] == 6}
    assert [c.outpoint.txid[-1] for c in spendable(coins, booked, reserved, make_terms())] == [1, 4]
    terms = make_terms(coin_confirmations=201)
    assert spendable(coins, booked, reserved, terms) == []


def test_incident_p14_with_1500_small_coins_payouts_and_consolidation_stay_within_a_transaction() -> None:
    terms = make_terms(max_fee_rate=10_000)
    coins = [make_coin(n, 100_000, script=P2PKH) for n in range(1500)]
    usable = spendable(coins, {coin.outpoint for coin in coins}, (), terms)
    assert is_crowded(usable, terms)
    chosen = to_consolidate(usable, terms)
    result = compose(
        BatchKind.CONSOLIDATE, (), chosen, terms, fee_policy=FeePolicy.POOL, fee_rate=1000, change_script=CHANGE,
        pool_budget=10**9,
    )  # fmt: skip
    assert isinstance(result, Composition)
    assert len(result.coins) == 600
    built = build(result, CHANGE, ())
    assert built.vsize < 100_000
    assert built.fee == fee_for(built.vsize, 1000)
    left = [coin for coin in usable if coin not in set(result.coins)]
    assert len(to_consolidate(left, terms)) == 600
    assert is_crowded(left[:501], terms)
    assert not is_crowded(left[:500], terms)


def test_payouts_coins_one_is_no_reason_to_consolidate() -> None:
    assert to_consolidate([make_coin(1, 5)], make_terms()) == []
    assert to_consolidate([make_coin(1, 5), make_coin(2, 4)], make_terms()) == [make_coin(2, 4), make_coin(1, 5)]


@pytest.mark.parametrize(
    ("script", "expected"),
    [(P2WPKH, 68), (P2PKH, 148), (P2SH, 91), (P2TR, 58), (P2PK, 114)],
    ids=["p2wpkh", "p2pkh", "p2sh", "p2tr", "p2pk"],
)
def test_payouts_sizes_an_input_takes_what_it_is_known_to_take(script: bytes, expected: int) -> None:
    """The usual virtual sizes; a byte for the empty stacks of inputs without witness and for the marker aside."""
    one = transaction_weight([script, P2WPKH], [P2WPKH])
    two = transaction_weight([script, script, P2WPKH], [P2WPKH])
    assert abs(virtual_size(two - one) - expected) <= 1


def test_payouts_sizes_are_those_of_the_signed_bytes() -> None:
    terms = make_terms()
    coins = [make_coin(n, 50_000, script=P2WPKH) for n in range(300)]
    result = compose(
        BatchKind.CONSOLIDATE, (), coins, terms, fee_policy=FeePolicy.POOL, fee_rate=1000, change_script=CHANGE,
        pool_budget=10**9,
    )  # fmt: skip
    assert isinstance(result, Composition)
    built = build(result, CHANGE, ())
    assert virtual_size(parse_transaction(sign(built.raw)).weight) == built.vsize


def test_payouts_sizes_an_unknown_script_is_refused() -> None:
    with pytest.raises(UnknownScriptError):
        spending(b"\x00\x20" + b"\x01" * 32)


@pytest.mark.parametrize(
    ("script", "bitcoin", "litecoin"),
    [(P2PKH, 546, 5460), (P2WPKH, 294, 2940), (P2TR, 330, 3300)],
    ids=["p2pkh", "p2wpkh", "p2tr"],
)
def test_payouts_sizes_dust_is_what_nodes_call_dust(script: bytes, bitcoin: int, litecoin: int) -> None:
    assert dust_limit(script, DustRule()) == bitcoin
    assert dust_limit(script, DustRule(rate=30_000)) == litecoin
    assert dust_limit(script, DustRule(rate=0, floor=1_000_000)) == 1_000_000
    assert dust_limit(script_of(1), DustRule(rate=0)) == 1
