"""A found block's window, read in two ways that find the same: from each of its shares, or mostly from sums.

By sums takes a fraction of the time: runs of shares that surely count whole are added up by the database or were before
(share_spans), and only the shares around the window's ends are read. Which runs are certain is
pool/accounting/window_runs.py; which shares count, and how the oldest is cut, is pplns_window in both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from sqlalchemy import Connection

from pool.accounting.window import Window, WindowShare, pplns_window, window_bound, window_oldest_ms
from pool.accounting.window_runs import LogRuns, take_certain
from pool.storage.pool_window import Stretch, WindowPlace, pool_shares
from pool.storage.share_spans import CountingShares


@dataclass(frozen=True, slots=True)
class WindowRule:
    """What bounds a window, as pplns_window takes it."""

    work: int
    factor: Fraction | int
    end_ms: int
    window_min_s: Fraction


@dataclass(frozen=True, slots=True)
class FoundWindow:
    """`ended_early` tells that the window ended before the stored shares did."""

    window: Window
    share_count: int
    ended_early: bool


ReadWindow = Callable[[Connection, WindowPlace, WindowRule], FoundWindow]


def one_by_one(connection: Connection, place: WindowPlace, rule: WindowRule) -> FoundWindow:
    """From the shares alone."""
    return _read(pool_shares(connection, place), place, rule, 0)


def by_sums(connection: Connection, place: WindowPlace, rule: WindowRule) -> FoundWindow:
    """From sums where shares surely count whole, from the shares elsewhere."""
    counting: dict[int, CountingShares] = {}
    logs: dict[int, LogRuns] = {}
    for log_id, last in place.last_sequences.items():
        counting[log_id] = CountingShares(connection, log_id, place.counting, place.solvers_of(log_id))
        logs[log_id] = LogRuns(counting[log_id].runs(last), counting[log_id].parts)
    take_certain(
        list(logs.values()),
        bound=window_bound(rule.work, rule.factor),
        oldest_ms=window_oldest_ms(rule.end_ms, rule.window_min_s),
    )
    weights: dict[int, int] = {}
    stretches: dict[int, list[Stretch]] = {}
    for log_id, log in logs.items():
        last = place.last_sequences[log_id]
        if not log.taken:
            stretches[log_id] = [Stretch(0, last)]
            continue
        newest, oldest = log.taken[0].run, log.taken[-1].run
        stretches[log_id] = [Stretch(newest.last + 1, last), Stretch(0, oldest.first - 1, log.taken[-1].reach_ms)]
        for route_id, weight in counting[log_id].route_weights(taken.run for taken in log.taken).items():
            weights[route_id] = weights.get(route_id, 0) + weight
    runs = [taken.run for log in logs.values() for taken in log.taken]
    total = sum(run.weight for run in runs)
    read = _read(pool_shares(connection, place, stretches), place, rule, total)
    for route_id, weight in read.window.weights.items():
        weights[route_id] = weights.get(route_id, 0) + weight
    return FoundWindow(
        window=replace(read.window, weights=weights, total=total + read.window.total),
        share_count=sum(run.shares for run in runs) + read.share_count,
        ended_early=read.ended_early,
    )


def _read(shares: Iterator[WindowShare], place: WindowPlace, rule: WindowRule, counted_before: int) -> FoundWindow:
    read = _Counted(shares)
    window = pplns_window(
        read,
        counting_sets=place.counting,
        solvers=place.solvers,
        work=rule.work,
        factor=rule.factor,
        end_ms=rule.end_ms,
        window_min_s=rule.window_min_s,
        counted_before=counted_before,
    )
    ended_early = read.last is not None and read.last != window.oldest
    return FoundWindow(window, read.count - int(ended_early), ended_early)


class _Counted:
    """The shares that a window reads, counted on their way."""

    def __init__(self, rows: Iterator[WindowShare]) -> None:
        self._rows = rows
        self.count = 0
        self.last: WindowShare | None = None

    def __iter__(self) -> Iterator[WindowShare]:
        for row in self._rows:
            self.count += 1
            self.last = row
            yield row
