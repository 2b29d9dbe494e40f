"""How many messages of a type a peer may send: a bucket of tokens that fills at a steady rate.

Pure: time is milliseconds and is handed in. A message beyond its rate is dropped and scored; the bucket itself forgets
nothing and owes nothing, so a peer that waits is welcome again.
"""

from __future__ import annotations

from collections.abc import Iterable

from chains.peers.core import MessageType


class TokenBucket:
    """Holds at most `burst` tokens and gains `rate_per_s` of them a second; starts full."""

    __slots__ = ("_at_ms", "_burst", "_rate_per_ms", "_tokens")

    def __init__(self, rate_per_s: float, burst: float, now_ms: int) -> None:
        self._rate_per_ms = rate_per_s / 1000
        self._burst = burst
        self._tokens = burst
        self._at_ms = now_ms

    def take(self, now_ms: int, amount: float = 1.0) -> bool:
        """Whether `amount` tokens were there; then they are taken. A clock that goes back adds nothing."""
        if now_ms > self._at_ms:
            self._tokens = min(self._burst, self._tokens + (now_ms - self._at_ms) * self._rate_per_ms)
            self._at_ms = now_ms
        if self._tokens < amount:
            return False
        self._tokens -= amount
        return True


class PeerRates:
    """One peer's buckets, one for each message type."""

    __slots__ = ("_buckets",)

    def __init__(self, messages: Iterable[MessageType], now_ms: int) -> None:
        self._buckets = {m.name: TokenBucket(m.rate_per_s, m.burst, now_ms) for m in messages}

    def take(self, name: str, now_ms: int) -> bool:
        """Whether one more message of this registered type is within its rate."""
        return self._buckets[name].take(now_ms)
