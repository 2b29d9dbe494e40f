"""The metrics of bought shares, per chain. Names and bounds as in pool/metrics.py, whose registry they join."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pool.metrics import PREFIX
from pool.services.scheme_board import BoughtChain


class SchemeCollector(Collector):
    """Reads the board's chains once per scrape, on the loop's thread."""

    def __init__(self, bought: Mapping[str, BoughtChain]) -> None:
        self._bought = bought

    def describe(self) -> list[Metric]:
        return [*self._families()]

    def collect(self) -> Iterator[Metric]:
        buying, reserve = self._families()
        for name, chain in self._bought.items():
            buying.add_metric([name], not chain.guard.suspended)
            if chain.guard.reserve is not None:
                reserve.add_metric([name], chain.guard.reserve)
        yield buying
        yield reserve

    def _families(self) -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
        return (
            GaugeMetricFamily(
                f"{PREFIX}pps_buying",
                "Whether the shares of new jobs are bought (0: they count for PPLNS).",
                labels=["chain"],
            ),
            GaugeMetricFamily(
                f"{PREFIX}pps_reserve",
                "The operator's available money less what shares have earned already, in smallest units.",
                labels=["chain"],
            ),
        )
