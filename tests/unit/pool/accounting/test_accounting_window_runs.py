"""Runs that surely count whole: a window from their sums is the one that all its shares give, one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import groupby

from hypothesis import given, settings
from hypothesis import strategies as st

from pool.accounting.window import Window, WindowShare, pplns_window
from pool.accounting.window_runs import LogRuns, Run, take_certain

END_MS = 100_000
SPAN, PART = 8, 2
"""Sequences of a span and of its parts."""

Logs = dict[int, list[WindowShare]]
Ordered = Iterator[tuple[tuple[int, ...], WindowShare]]


def in_order(shares: Sequence[WindowShare], reach_ms: int | None = None) -> Ordered:
    for share in shares:
        reach_ms = share.time_ms if reach_ms is None else min(reach_ms, share.time_ms)
        yield (reach_ms, share.log_id, share.sequence), share


def merged(*readings: Ordered) -> Iterator[WindowShare]:
    return (share for _, share in merge(*readings, key=lambda item: item[0], reverse=True))


def runs_of(shares: Sequence[WindowShare], size: int) -> list[Run]:
    """Newest first, as the shares are."""
    found = []
    for number, group in groupby(shares, key=lambda share: share.sequence // size):
        held = list(group)
        first, weight, oldest_ms = number * size, sum(share.weight for share in held), min(s.time_ms for s in held)
        found.append(Run(held[0].log_id, first, first + size - 1, len(held), weight, oldest_ms, size == SPAN))
    return found


def read_by_runs(logs: Logs, bound: int, window_min_s: int) -> tuple[Window, int]:
    """The window, and how many shares were read for it one by one."""
    readings = [
        LogRuns(
            runs_of(shares, SPAN),
            lambda run, shares=shares: runs_of([s for s in shares if run.first <= s.sequence <= run.last], PART),
        )
        for shares in logs.values()
    ]
    take_certain(readings, bound=bound, oldest_ms=END_MS - window_min_s * 1000)
    weights: dict[int, int] = {}
    counted = 0
    rest = []
    for reading, shares in zip(readings, logs.values(), strict=True):
        newest = reading.taken[0].run.last if reading.taken else -1
        oldest = reading.taken[-1].run.first if reading.taken else 0
        reach_ms = reading.taken[-1].reach_ms if reading.taken else None
        for share in shares:
            if oldest <= share.sequence <= newest:
                weights[share.route] = weights.get(share.route, 0) + share.weight
        assert sum(taken.run.weight for taken in reading.taken) == sum(
            share.weight for share in shares if oldest <= share.sequence <= newest
        ), "runs leave no gaps"
        counted += sum(taken.run.weight for taken in reading.taken)
        rest.append(
            [
                *in_order([share for share in shares if share.sequence > newest]),
                *in_order([share for share in shares if share.sequence < oldest], reach_ms),
            ]
        )
    read = list(merged(*(iter(shares) for shares in rest)))
    found = window_of(iter(read), bound, window_min_s, counted)
    for route, weight in found.weights.items():
        weights[route] = weights.get(route, 0) + weight
    return Window(weights, counted + found.total, found.oldest, found.newest), len(read)


def window_of(shares: Iterator[WindowShare], bound: int, window_min_s: int, counted_before: int = 0) -> Window:
    return pplns_window(
        shares,
        counting_sets=frozenset({1}),
        solvers=frozenset(),
        work=bound,
        factor=1,
        end_ms=END_MS,
        window_min_s=window_min_s,
        counted_before=counted_before,
    )


@st.composite
def share_logs(draw: st.DrawFn) -> Logs:
    """Up to three logs whose clocks may stand still and go back."""
    logs: Logs = {}
    for log_id in range(1, draw(st.integers(1, 3)) + 1):
        sequence, time_ms = 200, END_MS
        shares = []
        for step, age_ms, weight in draw(
            st.lists(st.tuples(st.sampled_from([1, 1, 1, 2, 9]), st.integers(-3, 9), st.integers(0, 9)), max_size=40)
        ):
            sequence, time_ms = sequence - step, min(END_MS, time_ms - 1000 * age_ms)
            shares.append(WindowShare(sequence, time_ms, weight % 3, weight, 1, False, log_id))
        logs[log_id] = shares
    return logs


@settings(max_examples=400, deadline=None)
@given(share_logs(), st.integers(0, 300), st.integers(0, 120))
def test_accounting_window_runs_find_the_window_of_its_shares(logs: Logs, bound: int, window_min_s: int) -> None:
    expected = window_of(merged(*(in_order(shares) for shares in logs.values())), bound, window_min_s)
    assert read_by_runs(logs, bound, window_min_s)[0] == expected


@settings(max_examples=200, deadline=None)
@given(share_logs(), st.data())
def test_accounting_window_runs_end_exactly_at_any_share(logs: Logs, data: st.DataObject) -> None:
    """A bound that is the weight down to some share, where a unit more or less is another share's end."""
    ordered = list(merged(*(in_order(shares) for shares in logs.values())))
    place = data.draw(st.integers(0, len(ordered)))
    bound = max(0, sum(share.weight for share in ordered[:place]) + data.draw(st.sampled_from([-1, 0, 1])))
    assert read_by_runs(logs, bound, 0)[0] == window_of(iter(ordered), bound, 0)


def steady(log_id: int, count: int) -> list[WindowShare]:
    return [WindowShare(1000 - n, END_MS - 100 * n, n % 3, 5, 1, False, log_id) for n in range(count)]


def taken_sequences(bound: int, window_min_s: int, *logs: list[WindowShare]) -> list[list[tuple[int, int, bool]]]:
    readings = [
        LogRuns(
            runs_of(shares, SPAN),
            lambda run, shares=shares: runs_of([s for s in shares if run.first <= s.sequence <= run.last], PART),
        )
        for shares in logs
    ]
    take_certain(readings, bound=bound, oldest_ms=END_MS - window_min_s * 1000)
    return [[(taken.run.first, taken.run.last, taken.run.is_span) for taken in log.taken] for log in readings]


def test_accounting_window_runs_leave_one_part_at_either_end_to_be_read() -> None:
    """Sequences 1000 to 961: of 40 shares of five, a bound of 100 holds twenty, so 981 is the oldest."""
    [taken] = taken_sequences(100, 0, steady(1, 40))
    # The span in which the window's time ends is seen in parts. The part from 980 on would pass the bound; the one
    # before it is left, as the window's oldest share may be in it.
    assert taken == [(998, 999, False), (996, 997, False), (994, 995, False), (992, 993, False), (984, 991, True)]


def test_accounting_window_runs_take_what_is_within_the_time_whatever_it_weighs() -> None:
    """Two seconds are 21 shares, to 980; the part down to there is left, the newest one too."""
    [taken] = taken_sequences(0, 2, steady(1, 40))
    assert taken == [(992, 999, True), (984, 991, True), (982, 983, False)]


def test_accounting_window_runs_read_few_shares_of_a_large_window() -> None:
    logs = {1: steady(1, 900), 2: steady(2, 900)}
    _, read = read_by_runs(logs, 10**9, 0)
    assert read <= 8 * PART
    found, read = read_by_runs(logs, 4000, 0)
    assert found.total == 4000
    assert read < 2 * 900 - 4000 // 5 + 8 * PART


def test_accounting_window_runs_take_nothing_where_nothing_is_certain() -> None:
    assert taken_sequences(0, 0, steady(1, 40)) == [[]]
    assert taken_sequences(10**9, 0, []) == [[]]
    assert taken_sequences(10**9, 0, steady(1, 1), []) == [[], []]
