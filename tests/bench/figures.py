"""What is measured of one server."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

from growth import Growth
from new_work import NewWork

BARS = {"paced": (4.0, 3.0), "closed": (12.0, 8.0)}
"""At most so many times the null server's CPU time for a share, and what we would like."""

PACED_PER_S, PACED_CONNECTIONS, CLOSED_CONNECTIONS = 1000, 100, 1000
LOADS = {
    "paced": f"{PACED_PER_S:,} shares/s over {PACED_CONNECTIONS} connections",
    "closed": f"closed loop, {CLOSED_CONNECTIONS:,} connections",
    "each": f"{PACED_PER_S:,} shares/s over {PACED_CONNECTIONS} connections for each process",
}
"""The last one is for a server of several processes: what a process costs beside others, with what one alone had."""


@dataclass
class Figures:
    """µs of CPU per share by kind of run, answer times, KiB per connection, new blocks, growth with shares."""

    cost_us: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in LOADS})
    rate: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    memory_kib: list[float] = field(default_factory=list)
    new_work: NewWork = field(default_factory=NewWork)
    growth: Growth = field(default_factory=Growth)

    def cost(self, kind: str) -> float:
        return statistics.median(self.cost_us[kind])
