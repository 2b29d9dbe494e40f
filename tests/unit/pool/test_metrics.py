"""The metrics table: names, units, labels, and that nothing a stranger sends grows the number of series."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from pool.metrics import MAX_FREE_VALUES, MAX_SERIES, METRICS, registry_of

UNIT_SUFFIXES = {"seconds": "_seconds", "bytes": "_bytes", "fraction": "_fraction"}


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
    submit_s: dict[str, float] = field(default_factory=lambda: {"regbtc": 0.02})
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
    assert set(metric.labels) <= {"chain", "state", "result", "reason", "kind"}, "no miner, worker or address label"
    if metric.kind == "counter":
        assert metric.name.endswith("_total")
    suffix = UNIT_SUFFIXES.get(metric.unit)
    if suffix is not None:
        assert metric.name.endswith(suffix)


def test_metrics_are_unique_and_all_scraped():
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    assert {metric.full_name for metric in METRICS} == set(samples(Source()))


def test_metrics_values_of_a_scrape():
    found = samples(Source())
    assert found["parapool_shares_total"] == {
        (("reason", ""), ("result", "accepted")): 40,
        (("reason", "stale"), ("result", "rejected")): 2,
    }
    assert found["parapool_accepted_work_total"][()] == 2.0**70
    assert found["parapool_tip_height"] == {(("chain", "regbtc"),): 7}, "an unknown height makes no sample"
    assert found["parapool_chain_up"] == {(("chain", "regbtc"),): 1, (("chain", "alpha"),): 0}
    assert found["parapool_chain_state"][(("chain", "alpha"), ("state", "down"))] == 1
    assert sum(found["parapool_chain_state"].values()) == 2, "one state per chain"
    assert found["parapool_solves_unseen_fraction"] == {(("chain", "alpha"),): 0.25}
    assert found["parapool_template_rejected_total"] == {(("reason", "bad_txns_something"),): 1}
    assert found["parapool_books_lag_seconds"] == {(): 0.4}
    assert found["parapool_blocks_total"] == {(("chain", "regbtc"), ("state", "immature")): 4}


def test_metrics_no_job_yet_makes_no_age():
    assert "parapool_job_age_seconds" not in samples(Source(job_age_s=None))


def test_metrics_series_stay_under_the_bound_whatever_the_nodes_and_miners_say():
    words = {f"word {number}": 1 for number in range(5000)}
    chains = [f"chain{number:02d}" for number in range(64)]
    results = ("accepted", "duplicate", "inconclusive", "stale", "rejected")
    states = ("submitted", "immature", "mature", "orphan", "rejected")
    found = samples(
        Source(
            connection_results=words, closed_reasons=words, shares_rejected=words, template_refusals=words,
            parse_errors=words,
            blocks_by_state={(chain, state): 1 for chain in chains for state in states},
            submit_results={(chain, result): 1 for chain in chains for result in results},
            submit_s=dict.fromkeys(chains, 0.1), solves_expected=dict.fromkeys(chains, 2.0),
            solves_seen=dict.fromkeys(chains, 1), members=[Chain(chain) for chain in chains],
        )
    )
    assert sum(len(series) for series in found.values()) < MAX_SERIES
    refusals = found["parapool_template_rejected_total"]
    assert len(refusals) == MAX_FREE_VALUES + 1
    assert sum(refusals.values()) == 5000, "what is folded together is still counted"
    assert refusals[(("reason", "other"),)] == 5000 - MAX_FREE_VALUES


def test_metrics_label_values_are_short_plain_words():
    found = samples(Source(template_refusals={'"}\n# evil\ud800 ' + "x" * 500: 1, "Bad-CB-Height": 2}))
    reasons = {dict(labels)["reason"]: value for labels, value in found["parapool_template_rejected_total"].items()}
    assert reasons.pop("bad_cb_height") == 2
    (other,) = reasons
    assert re.fullmatch(r"[a-z0-9_]{1,40}", other)
