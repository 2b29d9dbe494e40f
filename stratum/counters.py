"""What the server counts, as plain integers: a metrics page reads them, nothing on the hot path pays for labels."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter

from stratum.buckets import Buckets

BROADCAST_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)

RTT_BOUNDS_S = (0.025, 0.05, 0.1, 0.2, 0.4)
"""A city, a country, a continent, an ocean, the far side of the world; beyond are satellites and bad lines."""

RTT_CLASSES = ("unknown", "0.025", "0.05", "0.1", "0.2", "0.4", "more")
"""Names of the round-trip classes: the upper bound in seconds. A connection is unknown until it was measured."""


def rtt_class(round_trip_s: float | None) -> int:
    """The index in RTT_CLASSES."""
    return 0 if round_trip_s is None else 1 + bisect_left(RTT_BOUNDS_S, round_trip_s)


class Counters:
    """All ever-growing; the labels are fixed words of this package, never a stranger's text."""

    __slots__ = (
        "accepted", "accepted_by_rtt", "bans", "broadcast_s", "closed", "connections", "messages", "parse_errors",
        "rejected", "retargets", "stale_by_rtt",
    )  # fmt: skip

    def __init__(self) -> None:
        self.connections: Counter[str] = Counter()  # by result: accepted, or why turned away
        self.closed: Counter[str] = Counter()  # by reason
        self.rejected: Counter[str] = Counter()  # submissions, by StratumError.reason
        self.parse_errors: Counter[str] = Counter()  # by Malformed.kind
        self.retargets: Counter[str] = Counter()  # a connection is told another difficulty: up, down
        self.broadcast_s = Buckets(BROADCAST_BOUNDS_S)  # from a job to its last connection
        self.accepted_by_rtt = [0] * len(RTT_CLASSES)
        self.stale_by_rtt = [0] * len(RTT_CLASSES)
        self.accepted = 0
        self.messages = 0
        self.bans = 0
