"""What is too small to be ordered: dust by the chain's own rule, and amounts that any fee is too much for."""

from __future__ import annotations

import dataclasses

import pytest
from support.payout_world import make_terms

from pool.payouts.orders import order_obstacle
from pool.payouts.sizes import dust_limit
from pool.payouts.terms import DUST_OF_FAMILY

P2WPKH = b"\x00\x14" + bytes(20)
P2PKH = b"\x76\xa9\x14" + bytes(20) + b"\x88\xac"


def test_payouts_orders_below_dust_are_refused() -> None:
    terms = make_terms(minimum_fee_rate=1)
    assert dust_limit(P2WPKH, terms.dust) == 294
    assert order_obstacle(P2WPKH, 294, terms) is None
    assert order_obstacle(P2WPKH, 293, terms) == "expected at least 294, for nodes take no output below 294"


def test_payouts_orders_of_which_any_fee_is_too_large_a_share_are_refused() -> None:
    terms = make_terms()
    # One taproot input and one P2WPKH output are 100 virtual bytes: BIP141, (4 * 82 + 2 + 67) / 4 rounded up, and the
    # fee of 100 is 1 % of 10,000.
    assert order_obstacle(P2WPKH, 10_000, terms) is None
    sentence = "expected at least 10000, for of less the network's fee is over 1 % at any rate"
    assert order_obstacle(P2WPKH, 9_999, terms) == sentence
    assert order_obstacle(P2WPKH, 2_000, dataclasses.replace(terms, max_fee_ppm=50_000)) is None


@pytest.mark.parametrize(("family", "rate", "least"), [("dogecoin", 1_000_000, 10_300_000), ("litecoin", 1000, 10_300)])
def test_payouts_orders_know_each_familys_dust_and_fees(family: str, rate: int, least: int) -> None:
    terms = make_terms(dust=DUST_OF_FAMILY[family], minimum_fee_rate=rate)
    assert order_obstacle(P2PKH, least, terms) is None
    assert f"expected at least {least}" in (order_obstacle(P2PKH, least - 1, terms) or "")
