"""Which runs of shares a PPLNS window surely counts whole, told from their sums alone.

A run is a stretch of one share log, as sums over those of its shares that count for the block. Window order (see
pool/storage/pool_window.py) is by a share's reach: the earliest time among the counting shares of its log from it on to
the newest. A share is certain to count whole when

- its whole reach lies within the window's time, as nothing before it can then end the window either, or
- everything down to its reach, in all logs together, weighs less than the bound.

What is certain may be counted in any order, so whoever counts certain runs by their sums, and gives pplns_window all
other shares with the weight that is counted already, has the window that it finds in all shares one by one. Of each log
at least one run at either end is left to be read, so that the window's ends are found there. Pure; times in
milliseconds, weights in expected hashes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import inf
from typing import NamedTuple


class Run(NamedTuple):
    """The shares from `first` to `last` of a log that count for a block: at least one. `oldest_ms` is the earliest time
    at which one of them was received. A run that `is_span` can be parted into smaller ones.
    """

    log_id: int
    first: int
    last: int
    shares: int
    weight: int
    oldest_ms: int
    is_span: bool


class TakenRun(NamedTuple):
    """A run and how far it reaches back, which is the earliest time in it and in all newer ones of its log."""

    run: Run
    reach_ms: int
    in_time: bool


class LogRuns:
    """The runs of one log, newest first, and which of them are taken as certain."""

    def __init__(self, runs: Iterable[Run], parts: Callable[[Run], Sequence[Run]]) -> None:
        """`parts` gives the smaller runs of a span, newest first; read only where they decide."""
        self._runs: Iterator[Run] = iter(runs)
        self._parts = parts
        self._parted: deque[Run] = deque()
        self.taken: list[TakenRun] = []

    @property
    def reach_ms(self) -> float:
        """No share that is not taken reaches later."""
        return self.taken[-1].reach_ms if self.taken else inf

    def next_run(self) -> Run | None:
        """The newest run that is not taken, None at the log's end."""
        if not self._parted:
            run = next(self._runs, None)
            if run is not None:
                self._parted.append(run)
        return self._parted[0] if self._parted else None

    def next_reach_ms(self, run: Run) -> int:
        return int(min(self.reach_ms, run.oldest_ms))

    def take(self, *, in_time: bool) -> None:
        run = self._parted.popleft()
        self.taken.append(TakenRun(run, self.next_reach_ms(run), in_time))

    def part(self) -> None:
        """The next run is seen as its parts from now on."""
        self._parted.extendleft(reversed(self._parts(self._parted.popleft())))

    def leave_oldest(self, until_ms: float) -> None:
        """Gives back the oldest run, and all before it that reach down to a time and are not in the window's time."""
        left = False
        while self.taken and (not left or (not self.taken[-1].in_time and self.taken[-1].reach_ms <= until_ms)):
            run, _, in_time = self.taken.pop()
            if run.is_span:
                for part in self._parts(run):
                    self.taken.append(TakenRun(part, self.next_reach_ms(part), in_time))
            else:
                left = True

    def leave_newest(self) -> None:
        """Gives back the newest run; what is behind it reaches as far as before."""
        if self.taken and self.taken[0].run.is_span:
            run, _, in_time = self.taken[0]
            parted: list[TakenRun] = []
            for part in self._parts(run):
                reach_ms = min(part.oldest_ms, parted[-1].reach_ms) if parted else part.oldest_ms
                parted.append(TakenRun(part, reach_ms, in_time))
            self.taken[:1] = parted
        del self.taken[:1]


def take_certain(logs: Sequence[LogRuns], *, bound: int, oldest_ms: int) -> None:
    """Leaves in each log's `taken` the runs, without gaps between them, that count whole in a window of this bound,
    whose time begins at `oldest_ms`.
    """
    for log in logs:
        while (run := log.next_run()) is not None:
            if log.next_reach_ms(run) >= oldest_ms:
                log.take(in_time=True)
            elif run.is_span:
                log.part()
            else:
                break
    total = sum(taken.run.weight for log in logs for taken in log.taken)
    while (behind := _least_far(logs)) is not None:
        run = behind.next_run()
        assert run is not None, "chosen for having one"
        if total + run.weight < bound:
            total += run.weight
            behind.take(in_time=False)
        elif run.is_span:
            behind.part()
        else:
            break
    # All that reaches later than this is taken, in every log, and so is known to weigh less than the bound.
    until_ms = max((log.reach_ms for log in logs if log.next_run() is not None), default=-inf)
    for log in logs:
        log.leave_oldest(until_ms)
        log.leave_newest()


def _least_far(logs: Sequence[LogRuns]) -> LogRuns | None:
    """The log to go on with: no share that is left in any log comes before its next ones."""
    unfinished = [log for log in logs if log.next_run() is not None]
    return max(unfinished, key=lambda log: log.reach_ms) if unfinished else None
