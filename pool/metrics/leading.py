"""The metrics of the blocks that this process leads, on chains of votes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pool.metrics.collector import Reading, TableCollector
from pool.services.block_leading import BlockLeading


class LeadingCollector(TableCollector):
    """Reads once per scrape, on the loop's thread."""

    def __init__(self, leading: Mapping[str, BlockLeading]) -> None:
        """By chain; it grows when a chain comes."""
        self._leading = leading
        super().__init__({"leads_blocks": self._leads, "led_blocks_total": self._led})

    def _leads(self) -> Iterator[Reading]:
        return (((name,), float(not leading.problem)) for name, leading in self._leading.items())

    def _led(self) -> Iterator[Reading]:
        for name, leading in self._leading.items():
            yield from (((name, result), count) for result, count in leading.results.items())
