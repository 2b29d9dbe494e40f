"""The collectors: they read the running pool when Prometheus asks, under the names of pool/metrics/table.py.

The share path only adds to plain numbers, so a metric costs a miner nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from pool.metrics.table import (
    BLOCK_STATES,
    CHAIN_STATES,
    DEFINITIONS,
    MAX_FREE_VALUES,
    MAX_SERIES,
    METRICS,
    PREFIX,
    SUBMIT_RESULTS,
    MetricDefinition,
)
from stratum.buckets import Buckets

_FREE_LABELS = frozenset({"reason", "result", "kind"})
_NOT_A_WORD = re.compile(r"[^a-z0-9]+")

Labels = tuple[str, ...]
Reading = tuple[Labels, float | Buckets]
Readers = Mapping[str, Callable[[], Iterable[Reading]]]
"""By metric name, what gives its (label values, value) pairs of this moment."""


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


class ReadingSource(Protocol):
    """Something with readers of its own."""

    def readers(self) -> Readers: ...


class MetricsSource(Protocol):
    """Where the numbers are at the moment of a scrape. Totals count from the start of the process and never fall.
    `samples` has the rest, with readers of its own."""

    @property
    def samples(self) -> ReadingSource: ...
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


def one(value: float | Buckets | None) -> Iterator[Reading]:
    """The reading of a metric without labels; none while there is no value."""
    if value is not None:
        yield (), value


def by(values: Mapping[str, float] | Mapping[str, int]) -> Iterator[Reading]:
    """The readings of a metric with one label."""
    return (((key,), value) for key, value in values.items())


def by_two(
    values: Mapping[tuple[str, str], int], firsts: Iterable[str] = (), seconds: Iterable[str] = ()
) -> Iterator[Reading]:
    """The readings of a metric with two labels. Those of `firsts` and `seconds` are there from the beginning, with 0: a
    counter that appears with its first event shows Prometheus no increase."""
    yield from {**{(first, second): 0 for first in firsts for second in seconds}, **values}.items()


def pool_readers(source: MetricsSource) -> Readers:
    """What the status knows."""

    def chains(value: Callable[[ChainReading], float | None]) -> Callable[[], Iterator[Reading]]:
        def read() -> Iterator[Reading]:
            for chain in source.chains():
                found = value(chain)
                if found is not None:
                    yield (chain.name,), found

        return read

    def names() -> list[str]:
        return [chain.name for chain in source.chains()]

    return {
        "connections": lambda: one(source.connections),
        "connections_total": lambda: by(source.connection_results),
        "connections_closed_total": lambda: by(source.closed_reasons),
        "shares_total": lambda: _shares(source),
        "accepted_work_total": lambda: one(source.accepted_work),
        "job_age_seconds": lambda: one(source.job_age_s),
        "jobs_total": lambda: one(source.jobs_sent),
        "tip_height": chains(lambda chain: chain.height),
        "chain_up": chains(lambda chain: chain.state == "ok"),
        "chain_state": lambda: (
            ((chain.name, state), chain.state == state) for chain in source.chains() for state in CHAIN_STATES
        ),
        "aux_in_tree": chains(lambda chain: chain.in_tree),
        "template_rejected_total": lambda: by(source.template_refusals),
        "blocks_total": lambda: by_two(source.blocks_by_state, names(), BLOCK_STATES),
        "block_submit_total": lambda: by_two(source.submit_results, names(), SUBMIT_RESULTS),
        "solves_unseen_fraction": lambda: _unseen(source),
        "solves_expected_total": lambda: by({**dict.fromkeys(names(), 0.0), **source.solves_expected}),
        "solves_seen_total": lambda: by({**dict.fromkeys(names(), 0), **source.solves_seen}),
        "spool_bytes": lambda: one(source.spool_bytes),
        "spool_pending_shares": lambda: one(source.spool_pending_shares),
        "share_fsync_seconds": lambda: one(source.share_fsync_s),
        "consumer_lag_shares": lambda: one(source.consumer_lag_shares),
        "books_lag_seconds": lambda: one(source.books_lag_s),
        "bans_total": lambda: one(source.bans),
        "parse_errors_total": lambda: by(source.parse_errors),
        "reactor_lag_seconds": lambda: one(source.reactor_lag_s),
    }


def _shares(source: MetricsSource) -> Iterator[Reading]:
    yield ("accepted", ""), source.shares_accepted
    for reason, count in {"stale": 0, "unknown_job": 0, **source.shares_rejected}.items():
        yield ("rejected", reason), count


def _unseen(source: MetricsSource) -> Iterator[Reading]:
    for chain in source.chains():
        expected = source.solves_expected.get(chain.name, 0.0)
        seen = source.solves_seen.get(chain.name, 0)
        yield (chain.name,), max(0.0, 1.0 - seen / expected) if expected > 0 else 0.0


class TableCollector(Collector):
    """Reads once per scrape, on the loop's thread. Raises KeyError for a name that is not in the table."""

    def __init__(self, readers: Readers) -> None:
        self._readers = [(DEFINITIONS[name], read) for name, read in readers.items()]

    def describe(self) -> list[Metric]:
        """The names, so that the registry finds clashes without reading the source."""
        return [_family(definition) for definition, _ in self._readers]

    def collect(self) -> Iterator[Metric]:
        for definition, read in self._readers:
            family = _family(definition)
            for labels, value in _bounded(definition, read()):
                if isinstance(family, HistogramMetricFamily):
                    assert isinstance(value, Buckets), definition.name
                    family.add_metric(labels, list(value.cumulative()), value.sum)
                else:
                    assert not isinstance(value, Buckets), definition.name
                    family.add_metric(labels, float(value))
            yield family


def registry_of(source: MetricsSource) -> CollectorRegistry:
    """The pool's metrics and those of its process (memory, CPU, open files)."""
    registry = CollectorRegistry()
    registry.register(TableCollector(pool_readers(source)))
    registry.register(TableCollector(source.samples.readers()))
    ProcessCollector(namespace=PREFIX.rstrip("_"), registry=registry)
    return registry


def _family(definition: MetricDefinition) -> CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily:
    match definition.kind:
        case "counter":
            return CounterMetricFamily(definition.full_name, definition.meaning, labels=definition.labels)
        case "histogram":
            return HistogramMetricFamily(definition.full_name, definition.meaning, labels=definition.labels)
    return GaugeMetricFamily(definition.full_name, definition.meaning, labels=definition.labels)


def _bounded(definition: MetricDefinition, readings: Iterable[Reading]) -> Iterable[Reading]:
    """Words from outside become short label values, and from some number on they all become `other`: of all the metric
    has, and where they come with a chain, of each chain."""
    free = [index for index, label in enumerate(definition.labels) if label in _FREE_LABELS]
    if not free:
        return readings
    words: dict[Labels, set[str]] = {}
    sums: dict[Labels, float] = {}
    for labels, value in readings:
        bounded = list(labels)
        known = words.setdefault(tuple(word for index, word in enumerate(labels) if index not in free), set())
        for index in free:
            word = _NOT_A_WORD.sub("_", labels[index].lower()).strip("_")[:40]
            if word not in known and len(known) >= definition.max_words:
                word = "other"
            known.add(word)
            bounded[index] = word
        key = tuple(bounded)
        assert not isinstance(value, Buckets), "histograms have no free labels"
        sums[key] = sums.get(key, 0.0) + value
    return sums.items()


__all__ = ["MAX_FREE_VALUES", "MAX_SERIES", "METRICS", "PREFIX", "MetricsSource", "TableCollector", "registry_of"]
