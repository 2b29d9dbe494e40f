"""The figures of several front ends as one: what each says of itself, added up in the process that started them.

A counter never falls: what a front end had counted stays in the sum when it ends, and one that was there before this
process counts from when it was met. So Prometheus sees one pool whose counters begin at 0 with the mother's start.
"""

from __future__ import annotations

import resource
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pool.metrics.collector import Labels, MetricsSource, pool_readers
from pool.metrics.table import DEFINITIONS
from pool.services.front_end_messages import Figures, WireBuckets
from stratum.buckets import Buckets

SUMMED = frozenset({
    "connections", "connections_total", "connections_closed_total", "bans_total", "parse_errors_total", "shares_total",
    "spool_bytes", "spool_pending_shares", "workers", "connections_by_rtt", "connections_by_difficulty",
    "vardiff_retargets_total", "shares_by_rtt_total", "share_answer_seconds", "job_broadcast_seconds",
    "expected_blocks_total", "found_blocks_total", "expected_near_misses_total", "near_misses_total",
    "block_submit_total", "block_refusals_total", "block_submit_seconds", "solves_expected_total",
    "solves_seen_total", "share_fsync_seconds", "reactor_lag_seconds", "consumer_lag_shares",
})  # fmt: skip
WORST = frozenset({"share_fsync_seconds", "reactor_lag_seconds"})
"""Of these the largest counts, not the sum."""

Value = float | Buckets
Values = dict[Labels, Value]


def figures_of(status: MetricsSource) -> Figures:
    """This process's own, to be told to the mother."""
    readers = {**pool_readers(status), **status.samples.readers()}
    readings = {
        name: [(list(labels), _to_wire(value)) for labels, value in readers[name]()] for name in SUMMED & readers.keys()
    }
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return Figures(
        readings=readings,
        accepted_work=str(status.accepted_work),
        cpu_s=usage.ru_utime + usage.ru_stime,
        memory_bytes=_resident_bytes(),
    )


class FleetFigures:
    """By slot, what each said last; `total` adds them up."""

    def __init__(self) -> None:
        self.latest: dict[int, Figures] = {}
        self._before: dict[int, Figures] = {}  # what those had counted that were there before us
        self._ended: dict[str, Values] = {}
        self._ended_work = 0

    def heard(self, slot: int, figures: Figures, *, adopted: bool) -> None:
        if adopted and slot not in self.latest:
            self._before[slot] = figures
        self.latest[slot] = figures

    def ended(self, slot: int) -> None:
        """Its counters stay, its gauges go."""
        figures, before = self.latest.pop(slot, None), self._before.pop(slot, None)
        if figures is None:
            return
        for name in figures.readings:
            if DEFINITIONS[name].kind != "gauge":
                _add(self._ended.setdefault(name, {}), _values(name, figures, before))
        self._ended_work += _work(figures, before)

    def total(self, name: str) -> Values:
        found: Values = {labels: _copied(value) for labels, value in self._ended.get(name, {}).items()}
        for slot, figures in self.latest.items():
            values = _values(name, figures, self._before.get(slot))
            if name in WORST:
                for labels, value in values.items():
                    present = found.get(labels, 0.0)
                    assert not isinstance(value, Buckets) and not isinstance(present, Buckets), name
                    found[labels] = max(value, present)
            else:
                _add(found, values)
        return found

    def number(self, name: str, labels: Iterable[str] = ()) -> float:
        value = self.total(name).get(tuple(labels), 0.0)
        assert not isinstance(value, Buckets), name
        return value

    def by_label(self, name: str) -> dict[str, int]:
        """A metric of one label as whole numbers."""
        return {labels[0]: int(_plain(value)) for labels, value in self.total(name).items()}

    @property
    def accepted_work(self) -> int:
        live = sum(_work(figures, self._before.get(slot)) for slot, figures in self.latest.items())
        return self._ended_work + live


def added(own: Mapping[Labels, Value], others: Mapping[Labels, Value]) -> Values:
    """Two sets of readings of one metric, label by label."""
    found: Values = {labels: _copied(value) for labels, value in own.items()}
    _add(found, others)
    return found


def _values(name: str, figures: Figures, before: Figures | None) -> Values:
    found = {tuple(labels): _from_wire(value) for labels, value in figures.readings.get(name, [])}
    if before is not None and DEFINITIONS[name].kind != "gauge":
        for labels, value in before.readings.get(name, []):
            key = tuple(labels)
            if key in found:
                found[key] = _less(found[key], _from_wire(value))
    return found


def _add(sums: Values, values: Mapping[Labels, Value]) -> None:
    for labels, value in values.items():
        present = sums.get(labels)
        if present is None:
            sums[labels] = _copied(value)
        elif isinstance(present, Buckets):
            assert isinstance(value, Buckets)
            if len(present.counts) == len(value.counts):
                present.counts = [ours + theirs for ours, theirs in zip(present.counts, value.counts, strict=True)]
                present.sum += value.sum
                present.bounds = present.bounds or value.bounds
        else:
            sums[labels] = present + _plain(value)


def _less(value: Value, before: Value) -> Value:
    if isinstance(value, Buckets):
        assert isinstance(before, Buckets)
        rest = _copied(value)
        assert isinstance(rest, Buckets)
        rest.counts = [ours - theirs for ours, theirs in zip(value.counts, before.counts, strict=True)]
        rest.sum = value.sum - before.sum
        return rest
    return value - _plain(before)


def _copied(value: Value) -> Value:
    if not isinstance(value, Buckets):
        return value
    copy = Buckets(value.bounds)
    copy.counts, copy.sum = list(value.counts), value.sum
    return copy


def _plain(value: Value) -> float:
    assert not isinstance(value, Buckets)
    return value


def _to_wire(value: Any) -> float | WireBuckets:
    return WireBuckets(list(value.counts), value.sum) if isinstance(value, Buckets) else float(value)


def _from_wire(value: float | WireBuckets) -> Value:
    """Bounds do not travel: they are this program's own, and known to whoever adds these to his."""
    if not isinstance(value, WireBuckets):
        return value
    buckets = Buckets(())
    buckets.counts, buckets.sum = list(value.counts), value.sum
    return buckets


def _work(figures: Figures, before: Figures | None) -> int:
    return int(figures.accepted_work) - (0 if before is None else int(before.accepted_work))


def _resident_bytes() -> int:
    with suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
