"""The metric of the trials that each new form of a job goes through."""

from __future__ import annotations

from collections.abc import Mapping

from pool.metrics.collector import TableCollector


class JobCheckCollector(TableCollector):
    """Reads the counts once per scrape, on the loop's thread."""

    def __init__(self, results: Mapping[tuple[str, str], int]) -> None:
        """`results` by chain and result: holds, fails, broken."""
        super().__init__({"job_shape_checks_total": results.items})
