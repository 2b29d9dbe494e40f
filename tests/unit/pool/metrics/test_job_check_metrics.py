"""The metric of trials of jobs: what was counted, by chain and result, and nothing before the first trial."""

from __future__ import annotations

from collections import Counter

from prometheus_client import CollectorRegistry, generate_latest

from pool.metrics.job_checks import JobCheckCollector


def test_job_check_metrics_show_what_was_counted() -> None:
    results: Counter[tuple[str, str]] = Counter()
    registry = CollectorRegistry()
    registry.register(JobCheckCollector(results))

    def lines() -> set[str]:
        return {line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")}

    assert lines() == set()
    results.update({("alpha", "holds"): 2, ("alpha", "fails"): 0})
    assert lines() == {
        'parapool_job_shape_checks_total{chain="alpha",result="holds"} 2.0',
        'parapool_job_shape_checks_total{chain="alpha",result="fails"} 0.0',
    }
