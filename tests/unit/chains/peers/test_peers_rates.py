from __future__ import annotations

from chains.peers.core import MessageType
from chains.peers.rates import PeerRates, TokenBucket


def test_peers_rates_bucket_starts_full_and_fills_at_its_rate() -> None:
    bucket = TokenBucket(rate_per_s=2, burst=3, now_ms=1000)
    assert [bucket.take(1000) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(1499)
    assert bucket.take(1500)
    assert not bucket.take(1500)
    assert [bucket.take(100_000) for _ in range(4)] == [True, True, True, False]


def test_peers_rates_clock_that_goes_back_adds_nothing() -> None:
    bucket = TokenBucket(rate_per_s=1, burst=1, now_ms=10_000)
    assert bucket.take(10_000)
    assert not bucket.take(0)
    assert not bucket.take(10_500)
    assert bucket.take(11_000)


def test_peers_rates_types_do_not_share_a_bucket() -> None:
    rates = PeerRates([MessageType("a", "", 10, 1, 1), MessageType("b", "", 10, 1, 2)], 0)
    assert rates.take("a", 0) and not rates.take("a", 0)
    assert rates.take("b", 0) and rates.take("b", 0) and not rates.take("b", 0)
