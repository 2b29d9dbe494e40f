"""Which workers fell silent and which are back, out of the times of shares alone.

A worker is offline when it has sent no share for as many minutes as its miner chose, and had worked for as many before.
What is the pool's fault is not said: where nobody's share came for half of those minutes, silence counts from the end
of that gap on, and while such a gap lasts nothing is said at all. So a pool of a single worker never tells of it.

Everything follows from the times of shares, so a process that starts reads the last ones again and knows what the one
before it has said. Pure; times are milliseconds of the wall clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, NamedTuple

from pool.miners.notice_target import Watched

MINUTE_MS = 60_000
KEPT_MS = 24 * 60 * MINUTE_MS
"""A worker that is away for so long is forgotten: its return is not told."""

MOST_EACH = 1000
MOST_WORKERS = 200_000
"""Workers that are watched, of an address and in all: anybody may log in under any address and name."""

State = Literal["working", "told", "unsaid", "back"]


class SeenWorker(NamedTuple):
    """A worker's shares of one minute: when the first and the last came."""

    address: str
    worker: str
    first_ms: int
    last_ms: int


class SeenPool(NamedTuple):
    """Everybody's shares of one minute."""

    first_ms: int
    last_ms: int


class NewShares(NamedTuple):
    """One reading of the books. `stored_to_ms`: every share received before is stored (0: not known); not `whole` while
    there is more to be read.
    """

    watched: Sequence[Watched]
    workers: Sequence[SeenWorker]
    pool: Sequence[SeenPool]
    stored_to_ms: int
    whole: bool


@dataclass(slots=True)
class Changes:
    """What there is to say to one miner: names of workers, and how long (ms) those were away that are back."""

    offline: list[str] = field(default_factory=list)
    back: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Worker:
    """`since_ms` is when the stretch of work began of which `last_ms` is the last share."""

    since_ms: int
    last_ms: int
    state: State = "working"
    away_ms: int = 0


class WorkerOutages:
    """All watched workers. Who says what it finds tells so with `said` or `passed_over`, and hears of it again else."""

    def __init__(self) -> None:
        self._workers: dict[str, dict[str, _Worker]] = {}
        self._minutes: dict[int, SeenPool] = {}

    def take(self, seen: Iterable[SeenWorker], pool: Iterable[SeenPool], after_min: Mapping[str, int]) -> None:
        """New shares in any order, and the minutes that each watched address chose."""
        for minute in pool:
            key = minute.first_ms // MINUTE_MS
            known = self._minutes.get(key, minute)
            self._minutes[key] = SeenPool(min(known.first_ms, minute.first_ms), max(known.last_ms, minute.last_ms))
        self._workers = {address: workers for address, workers in self._workers.items() if address in after_min}
        count = sum(map(len, self._workers.values()))
        for row in sorted(seen, key=lambda row: row.first_ms):
            if row.address not in after_min:
                continue
            workers = self._workers.setdefault(row.address, {})
            worker = workers.get(row.worker)
            if worker is not None:
                _worked(worker, row, after_min[row.address] * MINUTE_MS)
            elif len(workers) < MOST_EACH and count < MOST_WORKERS:
                workers[row.worker] = _Worker(row.first_ms, row.last_ms)
                count += 1

    def changes(self, after_min: Mapping[str, int], as_of_ms: int) -> dict[str, Changes]:
        """What is to be said by address. `as_of_ms`: every share that came before it was taken."""
        self._forget(as_of_ms)
        counts_from = {minutes: self._counts_from(minutes, as_of_ms) for minutes in set(after_min.values())}
        found: dict[str, Changes] = {}
        for address, workers in self._workers.items():
            after_ms, from_ms = after_min[address] * MINUTE_MS, counts_from[after_min[address]]
            if from_ms is None:
                continue
            changes = Changes()
            for name, worker in workers.items():
                silent = as_of_ms - max(worker.last_ms, from_ms) >= after_ms
                if worker.state == "back" and silent:
                    worker.state = "told"  # away again before anybody was told that it was back
                elif worker.state == "back":
                    changes.back[name] = worker.away_ms
                elif worker.state == "working" and silent and worker.last_ms - worker.since_ms >= after_ms:
                    changes.offline.append(name)
            if changes.offline or changes.back:
                found[address] = changes
        return found

    def said_offline(self, address: str, names: Iterable[str]) -> None:
        """Their return will be told."""
        self._enter(address, names, "told")

    def passed_over(self, address: str, names: Iterable[str]) -> None:
        """Neither this outage nor its end will be told."""
        self._enter(address, names, "unsaid")

    def said_back(self, address: str, names: Iterable[str]) -> None:
        self._enter(address, names, "working")

    def settle(self, after_min: Mapping[str, int], before_ms: int) -> None:
        """Whoever ran before a time has said what was due until the last share before it."""
        newest_ms = max((minute.last_ms for minute in self._minutes.values() if minute.last_ms < before_ms), default=0)
        for address, changes in self.changes(after_min, newest_ms).items():
            self.said_offline(address, changes.offline)

    def _enter(self, address: str, names: Iterable[str], state: State) -> None:
        for name in names:
            self._workers[address][name].state = state

    def _counts_from(self, after_min: int, as_of_ms: int) -> int | None:
        """Since when silence counts: the end of the last gap in everybody's shares. None while one lasts."""
        gap_ms = after_min * MINUTE_MS // 2
        minutes = sorted(self._minutes.values())
        if not minutes or as_of_ms - minutes[-1].last_ms >= gap_ms:
            return None
        ends = [later.first_ms for earlier, later in pairwise(minutes) if later.first_ms - earlier.last_ms >= gap_ms]
        return ends[-1] if ends else 0

    def _forget(self, as_of_ms: int) -> None:
        until_ms = as_of_ms - KEPT_MS
        self._minutes = {key: minute for key, minute in self._minutes.items() if minute.last_ms > until_ms}
        for address, workers in list(self._workers.items()):
            kept = {name: worker for name, worker in workers.items() if worker.last_ms > until_ms}
            if kept:
                self._workers[address] = kept
            else:
                del self._workers[address]


def _worked(worker: _Worker, row: SeenWorker, after_ms: int) -> None:
    """Takes a minute's shares of a known worker in."""
    if worker.state in ("told", "unsaid") and row.last_ms > worker.last_ms:
        worker.away_ms = max(row.first_ms - worker.last_ms, 0)
        worker.state = "back" if worker.state == "told" else "working"
        worker.since_ms = row.first_ms
    elif row.first_ms - worker.last_ms >= after_ms:
        worker.since_ms = row.first_ms
    worker.last_ms = max(worker.last_ms, row.last_ms)
