"""A histogram as plain numbers: how many observations were at most so large, and their sum. Pure; a metrics page reads
it (Prometheus counts cumulatively, this does not: an observation costs one search and two additions)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator


class Buckets:
    """`bounds` ascend; `counts` has one entry more, for what is above the last. Everything only grows."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one observation; a bound belongs to its bucket."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def cumulative(self) -> Iterator[tuple[str, float]]:
        """(bound as text, observations at most so large), the last one for +Inf."""
        total = 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            total += count
            yield "+Inf" if bound == float("inf") else repr(bound), total

    def add(self, other: Buckets) -> None:
        """Take over another one's observations; its bounds are the same."""
        assert self.bounds == other.bounds
        self.counts = [ours + theirs for ours, theirs in zip(self.counts, other.counts, strict=True)]
        self.sum += other.sum
