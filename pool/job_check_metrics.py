"""The metric of the trials that each new form of a job goes through. Names and bounds as in pool/metrics.py, whose
registry it joins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from pool.metrics import PREFIX


class JobCheckCollector(Collector):
    """Reads the counts once per scrape, on the loop's thread."""

    def __init__(self, results: Mapping[tuple[str, str], int]) -> None:
        """`results` by chain and result: holds, fails, broken."""
        self._results = results

    def describe(self) -> list[Metric]:
        return [_family()]

    def collect(self) -> Iterator[Metric]:
        family = _family()
        for labels, count in self._results.items():
            family.add_metric(labels, count)
        yield family


def _family() -> CounterMetricFamily:
    return CounterMetricFamily(
        f"{PREFIX}job_shape_checks_total",
        "New forms of jobs that were solved for trial: `holds` when every verifier takes the chain's proof, `fails`"
        " when one refuses it (its blocks would be lost), `broken` when there was no trial. Alarm on the latter two.",
        labels=["chain", "result"],
    )
