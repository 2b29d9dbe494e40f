"""Whether a pool's memory grows with the shares that it takes while no block is found."""

from __future__ import annotations

from dataclasses import dataclass, field

STEP = 100_000
STEPS = 20
"""The first million fills what is bounded: buffers, caches, hashes of the newest shares. The second one is judged."""


@dataclass
class Growth:
    """The process size after every so many shares of one and the same block's time."""

    shares: list[int] = field(default_factory=list)
    rss_bytes: list[int] = field(default_factory=list)

    def slope(self) -> float:
        """Bytes for each share of the second half: the line of the least squares."""
        half = len(self.shares) // 2
        x, y = self.shares[half:], self.rss_bytes[half:]
        x_mean, y_mean = sum(x) / len(x), sum(y) / len(y)
        return sum((a - x_mean) * (b - y_mean) for a, b in zip(x, y, strict=True)) / sum((a - x_mean) ** 2 for a in x)

    def grown_bytes(self) -> int:
        """How much more the second half ever needed than the first one: below zero when less."""
        half = len(self.shares) // 2
        return max(self.rss_bytes[half:]) - max(self.rss_bytes[:half])
