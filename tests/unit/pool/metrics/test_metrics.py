"""The metrics table: names, units, labels, and that nothing a stranger sends grows the number of series."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from pool.fleet_setup import MAX_SLOTS
from pool.metrics.collector import TableCollector, registry_of
from pool.metrics.reference import reference
from pool.metrics.table import (
    BATCH_STATES,
    BLOCK_STATES,
    DEFINITIONS,
    DIFFICULTY_CLASSES,
    GROUPS,
    LIABILITIES,
    MAX_CHAINS,
    MAX_FREE_VALUES,
    MAX_PORTS,
    MAX_SERIES,
    METRICS,
    SUBMIT_RESULTS,
)
from pool.services.block_leading import RESULTS
from stratum.buckets import Buckets
from stratum.counters import RTT_CLASSES

ROOT = Path(__file__).parents[4]
UNIT_SUFFIXES = {"seconds": "_seconds", "bytes": "_bytes", "fraction": "_fraction", "smallest units": ""}
OUR_WORDS = {"port", "chain", "state", "result", "reason", "kind", "node", "direction", "rtt", "difficulty", "frontend"}


class Samples:
    """No further readers."""

    def readers(self) -> dict[str, Any]:
        return {}



@dataclass
class Chain:
    name: str
    height: int | None = 7
    state: str = "ok"
    in_tree: bool = True


@dataclass
class Source:
    """Figures of a pool that has just found its first blocks."""

    connections: int = 3
    connection_results: dict[str, int] = field(default_factory=lambda: {"accepted": 5, "per_address": 1})
    closed_reasons: dict[str, int] = field(default_factory=lambda: {"left": 2})
    shares_accepted: int = 40
    shares_rejected: dict[str, int] = field(default_factory=lambda: {"stale": 2})
    accepted_work: int = 2**70
    job_age_s: float | None = 1.5
    jobs_sent: int = 12
    template_refusals: dict[str, int] = field(default_factory=lambda: {"bad-txns: something": 1})
    blocks_by_state: dict[tuple[str, str], int] = field(default_factory=lambda: {("regbtc", "immature"): 4})
    submit_results: dict[tuple[str, str], int] = field(default_factory=lambda: {("regbtc", "accepted"): 4})
    solves_expected: dict[str, float] = field(default_factory=lambda: {"alpha": 8.0, "beta": 0.0})
    solves_seen: dict[str, int] = field(default_factory=lambda: {"alpha": 6})
    spool_bytes: int = 4096
    spool_pending_shares: int = 1
    share_fsync_s: float = 0.004
    consumer_lag_shares: int = 0
    books_lag_s: float = 0.4
    bans: int = 0
    parse_errors: dict[str, int] = field(default_factory=lambda: {"not_json": 1})
    reactor_lag_s: float = 0.001
    samples: Samples = field(default_factory=Samples)
    members: list[Chain] = field(default_factory=lambda: [Chain("regbtc"), Chain("alpha", None, "down", False)])

    def chains(self) -> Iterable[Chain]:
        return self.members


def samples(source: Source) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Every parapool sample of a scrape, by name and labels."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(generate_latest(registry_of(source)).decode()):
        for sample in family.samples:
            if sample.name.startswith("parapool_") and not sample.name.startswith("parapool_process_"):
                found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.name)
def test_metrics_names_carry_unit_and_kind(metric):
    assert re.fullmatch(r"parapool_[a-z][a-z_]*[a-z]", metric.full_name)
    assert metric.meaning.endswith(".")
    assert set(metric.labels) <= OUR_WORDS, "no miner, worker or address label"
    assert metric.group in GROUPS and 0 < metric.max_words <= MAX_FREE_VALUES
    if metric.kind == "counter":
        assert metric.name.endswith("_total")
    suffix = UNIT_SUFFIXES.get(metric.unit)
    if suffix is not None:
        assert metric.name.removesuffix("_total").endswith(suffix)


def test_metrics_are_unique_and_each_is_read_by_somebody() -> None:
    assert len(DEFINITIONS) == len(METRICS)
    with pytest.raises(KeyError):
        TableCollector({"not_in_the_table": lambda: ()})


def test_metrics_the_reference_is_current() -> None:
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    assert page == reference(), "python -m pool.metrics.reference > docs/reference/metrics.md"
    assert all(f"| `{metric.full_name}` |" in page for metric in METRICS)


def test_metrics_values_of_a_scrape():
    found = samples(Source())
    assert found["parapool_shares_total"] == {
        (("reason", ""), ("result", "accepted")): 40,
        (("reason", "stale"), ("result", "rejected")): 2,
        (("reason", "unknown_job"), ("result", "rejected")): 0,
    }
    assert found["parapool_accepted_work_total"][()] == 2.0**70
    assert found["parapool_tip_height"] == {(("chain", "regbtc"),): 7}, "an unknown height makes no sample"
    assert found["parapool_chain_up"] == {(("chain", "regbtc"),): 1, (("chain", "alpha"),): 0}
    assert found["parapool_chain_state"][(("chain", "alpha"), ("state", "down"))] == 1
    assert sum(found["parapool_chain_state"].values()) == 2, "one state per chain"
    assert found["parapool_solves_unseen_fraction"] == {(("chain", "alpha"),): 0.25, (("chain", "regbtc"),): 0}
    assert found["parapool_template_rejected_total"] == {(("reason", "bad_txns_something"),): 1}
    assert found["parapool_books_lag_seconds"] == {(): 0.4}
    blocks = found["parapool_blocks_total"]
    assert len(blocks) == 2 * len(BLOCK_STATES) and sum(blocks.values()) == 4, "there from the beginning"
    assert blocks[("chain", "regbtc"), ("state", "immature")] == 4


def test_metrics_no_job_yet_makes_no_age():
    assert "parapool_job_age_seconds" not in samples(Source(job_age_s=None))


def test_metrics_words_from_outside_stay_few() -> None:
    words = {f"word {number}": 1 for number in range(5000)}
    found = samples(Source(template_refusals=words))
    refusals = found["parapool_template_rejected_total"]
    assert len(refusals) == MAX_FREE_VALUES + 1
    assert sum(refusals.values()) == 5000, "what is folded together is still counted"
    assert refusals[(("reason", "other"),)] == 5000 - MAX_FREE_VALUES


VALUES = {
    "state": {
        "chain_state": ("ok", "syncing", "down", "wrong_network"), "blocks_total": BLOCK_STATES,
        "payout_batches": BATCH_STATES,
    },
    "kind": {"liabilities_sat": LIABILITIES, "coins_sat": ("immature", "wallet")},
    "result": {
        "block_submit_total": SUBMIT_RESULTS, "shares_total": ("accepted", "rejected"),
        "shares_by_rtt_total": ("accepted", "stale"), "job_shape_checks_total": ("holds", "fails", "broken"),
        "led_blocks_total": RESULTS,
    },
    "direction": {"vardiff_retargets_total": ("up", "down")},
}  # fmt: skip


def _all_of(lists: list[Any], value: Any) -> list[tuple[Any, Any]]:
    return [(labels, value) for labels in product(*lists)]


def test_metrics_series_stay_under_the_bound_whatever_the_nodes_and_miners_say() -> None:
    """Every metric at its most: each label has all the values that the table allows, or what strangers may send."""
    anything = [f"word {number}" for number in range(500)]
    of_label = {
        "chain": [f"chain{number:02d}" for number in range(MAX_CHAINS)], "node": ["a[0]", "a[1]"],
        "rtt": RTT_CLASSES, "difficulty": DIFFICULTY_CLASSES,
        "port": [f"0.0.0.0:{number}" for number in range(MAX_PORTS)],
        "frontend": [str(number) for number in range(1, MAX_SLOTS + 1)],
    }  # fmt: skip
    registry, readers = CollectorRegistry(), {}
    for metric in METRICS:
        lists = [
            of_label[label] if label in of_label else VALUES.get(label, {}).get(metric.name, anything)
            for label in metric.labels
        ]
        value: Any = Buckets((0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)) if metric.kind == "histogram" else 1
        readers[metric.name] = partial(_all_of, lists, value)
    registry.register(TableCollector(readers))
    lines = [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]
    assert {re.sub(r"(_bucket|_count|_sum)?[{ ].*", "", line) for line in lines} >= {
        metric.full_name for metric in METRICS if metric.kind != "histogram"
    }
    assert len(lines) < MAX_SERIES


def test_metrics_label_values_are_short_plain_words():
    found = samples(Source(template_refusals={'"}\n# evil\ud800 ' + "x" * 500: 1, "Bad-CB-Height": 2}))
    reasons = {dict(labels)["reason"]: value for labels, value in found["parapool_template_rejected_total"].items()}
    assert reasons.pop("bad_cb_height") == 2
    (other,) = reasons
    assert re.fullmatch(r"[a-z0-9_]{1,40}", other)
