"""The rules a chain pays by: which fee rate is used, and the settings that a chain has unless told otherwise."""

from __future__ import annotations

from payout_samples import make_terms

from pool.payouts.batch import FeePolicy
from pool.payouts.terms import DUST_OF_FAMILY, DustRule, fee_rate_obstacle, usable_fee_rate


def test_payouts_terms_a_fee_rate_is_used_up_to_the_cap_and_raised_to_the_minimum() -> None:
    terms = make_terms(max_fee_rate=5000, minimum_fee_rate=1000, default_fee_rate=2000)
    rates = {rate: usable_fee_rate(rate, terms) for rate in (0, 999, 1000, 1001, 4999, 5000, 5001)}
    assert rates == {0: 1000, 999: 1000, 1000: 1000, 1001: 1001, 4999: 4999, 5000: 5000, 5001: None}
    assert usable_fee_rate(None, terms) == 2000
    assert usable_fee_rate(None, make_terms()) is None
    assert usable_fee_rate(None, make_terms(max_fee_rate=5000, default_fee_rate=5001)) is None


def test_payouts_terms_without_settings() -> None:
    terms = make_terms()
    assert (terms.confirmations, terms.coin_confirmations, terms.interval_ms) == (6, 1, 24 * 3600 * 1000)
    assert (terms.fee_policy, terms.max_fee_rate, terms.default_fee_rate) == (FeePolicy.POOL, 100_000, None)
    assert (terms.minimum_fee_rate, terms.fee_target_blocks, terms.max_fee_ppm) == (1000, 6, 10_000)
    assert (terms.max_outputs, terms.max_inputs, terms.consolidate_above) == (1000, 600, 500)
    assert (terms.dust, terms.hot_ceiling) == (DustRule(3000, 0), None)
    assert {"litecoin": DustRule(30_000, 0), "dogecoin": DustRule(0, 1_000_000)} == DUST_OF_FAMILY


def test_payouts_terms_a_missing_fee_rate_is_told_from_one_over_the_cap() -> None:
    terms = make_terms(max_fee_rate=5000, minimum_fee_rate=1000)
    assert fee_rate_obstacle(5000, terms) is None
    assert fee_rate_obstacle(None, terms) == "the node has no fee estimate, and payouts.default_fee_rate is not set"
    assert fee_rate_obstacle(5001, terms) == "the network's fee rate is 5001, over payouts.max_fee_rate of 5000"
    own = make_terms(max_fee_rate=5000, minimum_fee_rate=1000, default_fee_rate=5002)
    assert fee_rate_obstacle(None, own) == "payouts.default_fee_rate is 5002, over payouts.max_fee_rate of 5000"
