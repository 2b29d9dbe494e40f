"""Whether a pool's memory grows with the shares that it takes while no block is found."""

from __future__ import annotations

from dataclasses import dataclass, field

STEP = 100_000
STEPS = 10


@dataclass
class Growth:
    """The process size after every so many shares of one and the same block's time."""

    shares: list[int] = field(default_factory=list)
    rss_bytes: list[int] = field(default_factory=list)

    def slope(self) -> float:
        """Bytes for each share: the line of the least squares through all points but the first, by which buffers and
        caches have their size."""
        x, y = self.shares[1:], self.rss_bytes[1:]
        x_mean, y_mean = sum(x) / len(x), sum(y) / len(y)
        return sum((a - x_mean) * (b - y_mean) for a, b in zip(x, y, strict=True)) / sum((a - x_mean) ** 2 for a in x)
