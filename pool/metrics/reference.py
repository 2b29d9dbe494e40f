"""Prints docs/reference/metrics.md: `python -m pool.metrics.reference > docs/reference/metrics.md`."""

from __future__ import annotations

from pool.metrics.table import GROUPS, MAX_CHAINS, MAX_PORTS, MAX_SERIES, METRICS, MetricDefinition

INTRODUCTION = f"""# Metrics

Made from [pool/metrics/table.py](../../pool/metrics/table.py) by `python -m pool.metrics.reference`; do not edit.

`GET /metrics` answers in the Prometheus text format (0.0.4). Counters count from the start of the process. Amounts are
whole smallest units of their chain (satoshi), kept exactly by the pool; Prometheus keeps 53 bits of them. Counters of
words that are known beforehand are there from the beginning with 0. Dashboards and alerts over these metrics, and how
to add up several processes: [monitoring](../operating/monitoring.md).

No label has a miner, worker or address in it, and up to {MAX_CHAINS} chains with two nodes each and {MAX_PORTS} ports
make less than {MAX_SERIES} series, whatever miners and nodes send. Words from outside (a node's refusal) become short
lower-case ones, and from some number on `other`.
"""


def reference() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for group, title in GROUPS.items():
        parts.append(f"## {title}\n| metric | kind | unit | labels | meaning |\n|---|---|---|---|---|")
        parts[-1] += "".join(f"\n{_row(metric)}" for metric in METRICS if metric.group == group) + "\n"
    return "\n".join(parts)


def _row(metric: MetricDefinition) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.full_name}` | {metric.kind} | {metric.unit} | {labels} | {metric.meaning} |"


if __name__ == "__main__":
    print(reference(), end="")
