"""The metrics of bought shares, per chain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pool.metrics.collector import Reading, TableCollector
from pool.services.scheme_board import BoughtChain


class SchemeCollector(TableCollector):
    """Reads the board's chains once per scrape, on the loop's thread."""

    def __init__(self, bought: Mapping[str, BoughtChain]) -> None:
        self._bought = bought
        super().__init__({"pps_buying": self._buying, "pps_reserve": self._reserve})

    def _buying(self) -> Iterator[Reading]:
        return (((name,), not chain.guard.suspended) for name, chain in self._bought.items())

    def _reserve(self) -> Iterator[Reading]:
        for name, chain in self._bought.items():
            if chain.guard.reserve is not None:
                yield (name,), chain.guard.reserve
