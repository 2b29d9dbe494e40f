"""Which coins may be spent and which are made one, each rule on both its sides."""

from __future__ import annotations

from typing import Any

import pytest
from payout_samples import make_coin, make_terms

from chains.wallet import Coin
from pool.payouts.coins import is_crowded, spendable, to_consolidate

P2WSH = b"\x00\x20" + b"\x01" * 32


def is_spendable(coin: Coin, **terms: Any) -> bool:
    return spendable([coin], {coin.outpoint}, (), make_terms(**terms)) == [coin]


@pytest.mark.parametrize(("asked", "least"), [(0, 1), (1, 1), (2, 2), (6, 6)])
def test_payouts_coins_wait_for_their_confirmations_and_at_least_one(asked: int, least: int) -> None:
    assert is_spendable(make_coin(1, 5, confirmations=least), coin_confirmations=asked)
    assert not is_spendable(make_coin(1, 5, confirmations=least - 1), coin_confirmations=asked)


def test_payouts_coins_of_a_coinbase_wait_one_block_more_than_the_chain_asks() -> None:
    assert is_spendable(make_coin(1, 5, coinbase=True, confirmations=31), maturity=30)
    assert not is_spendable(make_coin(1, 5, coinbase=True, confirmations=30), maturity=30)
    assert is_spendable(make_coin(1, 5, confirmations=30), maturity=30)
    assert not is_spendable(make_coin(1, 5, coinbase=True, confirmations=31), maturity=30, coin_confirmations=32)


def test_payouts_coins_hold_something_and_have_a_known_size() -> None:
    assert is_spendable(make_coin(1, 1))
    assert not is_spendable(make_coin(1, 0))
    assert not is_spendable(make_coin(1, 5, script=P2WSH))


def test_payouts_coins_are_in_the_books_and_free() -> None:
    coin, other = make_coin(1, 5), make_coin(2, 5)
    terms = make_terms()
    assert spendable([coin, other], {coin.outpoint}, (), terms) == [coin]
    assert spendable([coin, other], {coin.outpoint, other.outpoint}, {coin.outpoint}, terms) == [other]
    assert spendable([coin], (), (), terms) == []


def test_payouts_coins_are_consolidated_the_smallest_first() -> None:
    coins = [make_coin(number, amount) for number, amount in enumerate((50, 10, 40, 10, 30), 1)]
    chosen = to_consolidate(coins, make_terms(max_inputs=3))
    assert [(coin.amount, coin.outpoint.txid[-1]) for coin in chosen] == [(10, 2), (10, 4), (30, 5)]
    same = [make_coin(number, 7) for number in (3, 1, 2)]
    assert to_consolidate(same, make_terms(max_inputs=2)) == [same[1], same[2]]
    assert to_consolidate(same[:2], make_terms()) == [same[1], same[0]]
    assert to_consolidate(same[:1], make_terms()) == []


@pytest.mark.parametrize(("count", "many"), [(4, False), (5, True)])
def test_payouts_coins_are_crowded_above_a_number(count: int, many: bool) -> None:
    coins = [make_coin(number, 7) for number in range(count)]
    assert is_crowded(coins, make_terms(consolidate_above=4)) is many


@pytest.mark.parametrize(("inputs", "chosen"), [(1, 0), (2, 2), (3, 3)])
def test_payouts_coins_one_input_makes_no_consolidation(inputs: int, chosen: int) -> None:
    coins = [make_coin(number, 7) for number in range(5)]
    assert len(to_consolidate(coins, make_terms(max_inputs=inputs))) == chosen
