"""Every metric of the pool: its name, unit, labels and meaning, in one table, and the collector that reads them.

The share path only adds to plain integers; they are read when Prometheus asks, so a metric costs a miner nothing.
Labels are chains, states, reasons, results and kinds. There is no miner or worker label, ever: what a stranger may
choose must not make a series, and who mines here is nobody's business (per-miner figures are in the HTTP API).

Alerts and dashboards are built on these names: a rename is a breaking change.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

PREFIX = "parapool_"
MAX_SERIES = 2000
"""Promise to whoever stores the series: no configuration with up to 64 chains makes more."""

MAX_FREE_VALUES = 24
"""Distinct values of a label whose words come from outside (a node's refusal); further ones count as `other`."""

CHAIN_STATES = ("ok", "syncing", "down", "wrong_network")
_FREE_LABELS = frozenset({"reason", "result", "kind"})
_NOT_A_WORD = re.compile(r"[^a-z0-9]+")


class ChainReading(Protocol):
    """What the metrics say of a chain; `state` is one of CHAIN_STATES, `height` its best usable node's."""

    @property
    def name(self) -> str: ...
    @property
    def height(self) -> int | None: ...
    @property
    def state(self) -> str: ...
    @property
    def in_tree(self) -> bool: ...


class MetricsSource(Protocol):
    """Where the numbers are at the moment of a scrape. Totals count from the start of the process and never fall."""

    @property
    def connections(self) -> int: ...
    @property
    def connection_results(self) -> Mapping[str, int]: ...
    @property
    def closed_reasons(self) -> Mapping[str, int]: ...
    @property
    def shares_accepted(self) -> int: ...
    @property
    def shares_rejected(self) -> Mapping[str, int]: ...
    @property
    def accepted_work(self) -> int: ...
    @property
    def job_age_s(self) -> float | None: ...
    @property
    def jobs_sent(self) -> int: ...
    @property
    def template_refusals(self) -> Mapping[str, int]: ...
    @property
    def blocks_by_state(self) -> Mapping[tuple[str, str], int]: ...
    @property
    def submit_results(self) -> Mapping[tuple[str, str], int]: ...
    @property
    def submit_s(self) -> Mapping[str, float]: ...
    @property
    def solves_expected(self) -> Mapping[str, float]: ...
    @property
    def solves_seen(self) -> Mapping[str, int]: ...
    @property
    def spool_bytes(self) -> int: ...
    @property
    def spool_pending_shares(self) -> int: ...
    @property
    def share_fsync_s(self) -> float: ...
    @property
    def consumer_lag_shares(self) -> int | None: ...
    @property
    def books_lag_s(self) -> float: ...
    @property
    def bans(self) -> int: ...
    @property
    def parse_errors(self) -> Mapping[str, int]: ...
    @property
    def reactor_lag_s(self) -> float: ...
    def chains(self) -> Iterable[ChainReading]: ...


Labels = tuple[str, ...]
Reading = tuple[Labels, float]


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """One metric. `name` is without the prefix; `read` gives its (label values, value) pairs of this moment."""

    name: str
    kind: Literal["counter", "gauge"]
    unit: str
    labels: Labels
    meaning: str
    read: Callable[[MetricsSource], Iterable[Reading]]

    @property
    def full_name(self) -> str:
        return PREFIX + self.name


def _one(value: float | None) -> Iterator[Reading]:
    if value is not None:
        yield (), value


def _by(values: Mapping[str, float] | Mapping[str, int]) -> Iterator[Reading]:
    return (((key,), value) for key, value in values.items())


def _shares(source: MetricsSource) -> Iterator[Reading]:
    yield ("accepted", ""), source.shares_accepted
    for reason, count in source.shares_rejected.items():
        yield ("rejected", reason), count


def _tip_heights(source: MetricsSource) -> Iterator[Reading]:
    return (((chain.name,), chain.height) for chain in source.chains() if chain.height is not None)


def _chain_states(source: MetricsSource) -> Iterator[Reading]:
    return (((chain.name, state), chain.state == state) for chain in source.chains() for state in CHAIN_STATES)


def _unseen(source: MetricsSource) -> Iterator[Reading]:
    for chain, expected in source.solves_expected.items():
        if expected > 0:
            yield (chain,), max(0.0, 1.0 - source.solves_seen.get(chain, 0) / expected)


METRICS: tuple[MetricDefinition, ...] = (
    MetricDefinition(
        "connections", "gauge", "connections", (), "Open Stratum connections.", lambda s: _one(s.connections)
    ),
    MetricDefinition(
        "connections_total", "counter", "connections", ("result",),
        "Connections that came in, by what became of them: accepted, or the limit that turned them away.",
        lambda s: _by(s.connection_results),
    ),
    MetricDefinition(
        "connections_closed_total", "counter", "connections", ("reason",),
        "Connections that ended: the miner left, or the limit that dropped it.", lambda s: _by(s.closed_reasons),
    ),
    MetricDefinition(
        "shares_total", "counter", "shares", ("result", "reason"),
        "Submissions answered, by result (accepted, rejected) and the reason of a rejection.", _shares,
    ),
    MetricDefinition(
        "accepted_work_total", "counter", "hashes", (),
        "Expected hashes of all accepted shares; its rate is the pool's hashrate.", lambda s: _one(s.accepted_work),
    ),
    MetricDefinition(
        "job_age_seconds", "gauge", "seconds", (),
        "Age of the newest job sent to miners; absent before the first.", lambda s: _one(s.job_age_s),
    ),
    MetricDefinition("jobs_total", "counter", "jobs", (), "Jobs sent to miners.", lambda s: _one(s.jobs_sent)),
    MetricDefinition(
        "tip_height", "gauge", "blocks", ("chain",), "Best height of the chain's usable or syncing nodes.", _tip_heights
    ),
    MetricDefinition(
        "chain_up", "gauge", "boolean", ("chain",), "1 while a node of the chain is usable (state ok).",
        lambda s: (((c.name,), c.state == "ok") for c in s.chains()),
    ),
    MetricDefinition(
        "chain_state", "gauge", "boolean", ("chain", "state"),
        "1 for the state the chain is in: ok, syncing, down or wrong_network.", _chain_states,
    ),
    MetricDefinition(
        "aux_in_tree", "gauge", "boolean", ("chain",), "1 while new jobs work for the chain.",
        lambda s: (((c.name,), c.in_tree) for c in s.chains()),
    ),
    MetricDefinition(
        "template_rejected_total", "counter", "proposals", ("reason",),
        "Block forms that the parent refused as a proposal: mining goes on with less in it. Alarm.",
        lambda s: _by(s.template_refusals),
    ),
    MetricDefinition(
        "blocks_total", "gauge", "blocks", ("chain", "state"),
        "Found blocks in the books by the state they are in now; a block changes its state, so this is a gauge.",
        lambda s: s.blocks_by_state.items(),
    ),
    MetricDefinition(
        "block_submit_total", "counter", "submissions", ("chain", "result"),
        "Final answers to submitted blocks: accepted, duplicate, inconclusive, stale, rejected; given_up when none"
        " came, unbuilt when no block could be made of a solve.",
        lambda s: s.submit_results.items(),
    ),
    MetricDefinition(
        "block_submit_seconds", "gauge", "seconds", ("chain",),
        "From the solve of the chain's latest block to its final answer.", lambda s: _by(s.submit_s),
    ),
    MetricDefinition(
        "solves_unseen_fraction", "gauge", "fraction", ("chain",),
        "Part of a chain's expected solves that no share showed, because difficulties were above its target.", _unseen,
    ),
    MetricDefinition(
        "solves_expected_total", "counter", "solves", ("chain",),
        "Solves that the work of shares harder than the chain's target should hold.", lambda s: _by(s.solves_expected),
    ),
    MetricDefinition(
        "solves_seen_total", "counter", "solves", ("chain",),
        "Solves that those same shares showed.", lambda s: _by(s.solves_seen),
    ),
    MetricDefinition(
        "spool_bytes", "gauge", "bytes", (), "Size of the share log's segments on disk.", lambda s: _one(s.spool_bytes)
    ),
    MetricDefinition(
        "spool_pending_shares", "gauge", "shares", (),
        "Accepted shares that wait for the disk before they are answered.", lambda s: _one(s.spool_pending_shares),
    ),
    MetricDefinition(
        "share_fsync_seconds", "gauge", "seconds", (),
        "Duration of the share log's latest write and fdatasync.", lambda s: _one(s.share_fsync_s),
    ),
    MetricDefinition(
        "consumer_lag_shares", "gauge", "shares", (),
        "Durable shares that the books have not read yet; absent until they have read those of before the start.",
        lambda s: _one(s.consumer_lag_shares),
    ),
    MetricDefinition(
        "books_lag_seconds", "gauge", "seconds", (),
        "How long ago everything durable was in the books, under 1 when all is well; since the start at most.",
        lambda s: _one(s.books_lag_s),
    ),
    MetricDefinition("bans_total", "counter", "bans", (), "Addresses banned for a time.", lambda s: _one(s.bans)),
    MetricDefinition(
        "parse_errors_total", "counter", "lines", ("kind",),
        "Stratum lines that were no proper request, by what was wrong.", lambda s: _by(s.parse_errors),
    ),
    MetricDefinition(
        "reactor_lag_seconds", "gauge", "seconds", (),
        "How late the loop came to a timer, the worst of the last minute.", lambda s: _one(s.reactor_lag_s),
    ),
)


class PoolCollector(Collector):
    """Reads the source once per scrape, on the loop's thread."""

    def __init__(self, source: MetricsSource) -> None:
        self.source = source

    def describe(self) -> list[Metric]:
        """The names, so that the registry finds clashes without reading the source."""
        return [_family(definition) for definition in METRICS]

    def collect(self) -> Iterator[Metric]:
        for definition in METRICS:
            family = _family(definition)
            for labels, value in _bounded(definition, definition.read(self.source)):
                family.add_metric(labels, float(value))
            yield family


def registry_of(source: MetricsSource) -> CollectorRegistry:
    """The pool's metrics and those of its process (memory, CPU, open files)."""
    registry = CollectorRegistry()
    registry.register(PoolCollector(source))
    ProcessCollector(namespace=PREFIX.rstrip("_"), registry=registry)
    return registry


def _family(definition: MetricDefinition) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if definition.kind == "counter" else GaugeMetricFamily
    return kind(definition.full_name, definition.meaning, labels=definition.labels)


def _bounded(definition: MetricDefinition, readings: Iterable[Reading]) -> Iterable[tuple[Labels, float]]:
    """Words from outside become short label values, and from some number on they all become `other`."""
    free = [index for index, label in enumerate(definition.labels) if label in _FREE_LABELS]
    if not free:
        return readings
    words: set[str] = set()
    sums: dict[Labels, float] = {}
    for labels, value in readings:
        bounded = list(labels)
        for index in free:
            word = _NOT_A_WORD.sub("_", labels[index].lower()).strip("_")[:40]
            if word not in words and len(words) >= MAX_FREE_VALUES:
                word = "other"
            words.add(word)
            bounded[index] = word
        key = tuple(bounded)
        sums[key] = sums.get(key, 0.0) + value
    return sums.items()
