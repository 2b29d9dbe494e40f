"""What a pool of several processes knows of itself: its own status with the front ends' figures added in.

The HTTP API and the metrics ask it as they ask a single process, under the same names. What is worth seeing of each
front end by itself has metrics of its own, with the slot as their label: a handful, as there are few slots.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pool.fleet_figures import SUMMED, FleetFigures, added
from pool.live_status import LiveStatus
from pool.metrics.collector import Readers, Reading, one
from pool.metrics.samples import MetricSamples
from stratum.buckets import Buckets


@dataclass(frozen=True, slots=True)
class FrontEndState:
    """A front end as its mother sees it. `starts` counts processes that this mother started in its slot."""

    slot: int
    serves: bool
    starts: int


class FleetSamples:
    """The samples of a mother, with the front ends' added: what pool/metrics/collector.py reads."""

    def __init__(
        self, own: MetricSamples, figures: FleetFigures, states: Callable[[], Sequence[FrontEndState]]
    ) -> None:
        self._own = own
        self._figures = figures
        self._states = states
        self._at_last_solve: dict[str, tuple[float, float]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    def readers(self) -> Readers:
        own = self._own.readers()
        readers = {name: self._summed(name, read) if name in SUMMED else read for name, read in own.items()}
        readers["effort_ratio"] = self._efforts
        return {**readers, **self._of_front_ends()}

    def _summed(self, name: str, read: Callable[[], Iterable[Reading]]) -> Callable[[], Iterator[Reading]]:
        def sums() -> Iterator[Reading]:
            for labels, value in added(dict(read()), self._figures.total(name)).items():
                if not isinstance(value, Buckets) or value.bounds:  # of a chain that is gone nothing more is said
                    yield labels, value

        return sums

    def _efforts(self) -> Iterator[Reading]:
        """As the samples of one process: expected blocks since the last one that anybody found."""
        expected = self._figures.total("expected_blocks_total")
        for labels, found in self._figures.total("found_blocks_total").items():
            chain, now = labels[0], expected.get(labels, 0.0)
            assert not isinstance(now, Buckets) and not isinstance(found, Buckets)
            known = self._at_last_solve.get(chain)
            if known is None or known[0] != found:
                self._at_last_solve[chain] = known = (found, now if found else 0.0)
            yield (chain,), max(0.0, now - known[1])

    def _of_front_ends(self) -> Readers:
        def each(value: Callable[[int], float | None]) -> Callable[[], Iterator[Reading]]:
            def read() -> Iterator[Reading]:
                for slot in sorted(self._figures.latest):
                    found = value(slot)
                    if found is not None:
                        yield (str(slot),), found

            return read

        latest = self._figures.latest

        def connections(slot: int) -> float:
            return sum(cast(float, value) for _, value in latest[slot].readings.get("connections", []))

        return {
            "front_end_up": lambda: (((str(state.slot),), float(state.serves)) for state in self._states()),
            "front_end_starts_total": lambda: one(sum(state.starts for state in self._states())),
            "front_end_connections": each(connections),
            "front_end_cpu_seconds_total": each(lambda slot: latest[slot].cpu_s),
            "front_end_resident_memory_bytes": lambda: one(sum(figures.memory_bytes for figures in latest.values())),
        }


class FleetStatus(LiveStatus):
    """Implements pool.web.api.LiveStatus and pool.metrics.collector.MetricsSource for all processes together."""

    def join(
        self,
        figures: FleetFigures,
        states: Callable[[], Sequence[FrontEndState]],
        *,
        serves: Callable[[], bool],
        drained: Callable[[], bool],
    ) -> None:
        """Once, before anybody asks. `serves` tells whether a miner finds somebody, `drained` whether the operator
        sends miners away."""
        self._serves = serves
        self._figures = figures
        self._drained = drained
        self._states = states
        self.samples: Any = FleetSamples(self.samples, figures, states)

    @property
    def accepting(self) -> bool:
        """Whether a share finds somebody."""
        return self._own_accepting and self._serves()

    @accepting.setter
    def accepting(self, value: bool) -> None:
        self._own_accepting = value

    @property
    def draining(self) -> bool:
        return self._drained() or super().draining

    @property
    def connections(self) -> int:
        return super().connections + int(self._figures.number("connections"))

    @property
    def workers(self) -> int:
        return super().workers + int(self._figures.number("workers"))

    @property
    def connection_results(self) -> Mapping[str, int]:
        return _sum(super().connection_results, self._figures.by_label("connections_total"))

    @property
    def closed_reasons(self) -> Mapping[str, int]:
        return _sum(super().closed_reasons, self._figures.by_label("connections_closed_total"))

    @property
    def bans(self) -> int:
        return super().bans + int(self._figures.number("bans_total"))

    @property
    def parse_errors(self) -> Mapping[str, int]:
        return _sum(super().parse_errors, self._figures.by_label("parse_errors_total"))

    @property
    def shares_accepted(self) -> int:
        return super().shares_accepted + int(self._figures.number("shares_total", ("accepted", "")))

    @property
    def shares_rejected(self) -> Mapping[str, int]:
        others = {
            labels[1]: int(cast(float, value))
            for labels, value in self._figures.total("shares_total").items()
            if labels[0] == "rejected"
        }
        return _sum(super().shares_rejected, others)

    @property
    def accepted_work(self) -> int:
        return super().accepted_work + self._figures.accepted_work

    @property
    def solves_expected(self) -> Mapping[str, float]:
        others = {labels[0]: cast(float, v) for labels, v in self._figures.total("solves_expected_total").items()}
        own = super().solves_expected
        return {name: own.get(name, 0.0) + others.get(name, 0.0) for name in {**own, **others}}

    @property
    def solves_seen(self) -> Mapping[str, int]:
        return _sum(super().solves_seen, self._figures.by_label("solves_seen_total"))

    @property
    def submit_results(self) -> Mapping[tuple[str, str], int]:
        own = super().submit_results
        others = {
            (labels[0], labels[1]): int(cast(float, value))
            for labels, value in self._figures.total("block_submit_total").items()
        }
        return {key: own.get(key, 0) + others.get(key, 0) for key in {**own, **others}}

    @property
    def spool_bytes(self) -> int:
        return super().spool_bytes + int(self._figures.number("spool_bytes"))

    @property
    def spool_pending_shares(self) -> int:
        return super().spool_pending_shares + int(self._figures.number("spool_pending_shares"))

    @property
    def share_fsync_s(self) -> float:
        return max(super().share_fsync_s, self._figures.number("share_fsync_seconds"))

    @property
    def reactor_lag_s(self) -> float:
        return max(super().reactor_lag_s, self._figures.number("reactor_lag_seconds"))

    @property
    def consumer_lag_shares(self) -> int | None:
        own = super().consumer_lag_shares
        return None if own is None else own + int(self._figures.number("consumer_lag_shares"))


def _sum(own: Mapping[str, int], others: Mapping[str, int]) -> Mapping[str, int]:
    return {name: own.get(name, 0) + others.get(name, 0) for name in {**own, **others}}
