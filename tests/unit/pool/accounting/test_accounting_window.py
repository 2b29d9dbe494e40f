"""The PPLNS window, share by share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.accounting.window import Window, WindowShare, pplns_window, target_work

ALPHA, BETA = 1, 2
"""Chain sets: 1 holds the block's chain, 2 does not."""

END_MS = 10_000_000
LOG = 1


def share(
    sequence: int, weight: int, *, age_s: float = 0, route: int = 1, chain_set: int = ALPHA, stale: bool = False
) -> WindowShare:
    return WindowShare(sequence, END_MS - int(age_s * 1000), route, weight, chain_set, stale, LOG)


def window(*shares: WindowShare, **options: Any) -> Window:
    values: dict[str, Any] = {
        "work": 100,
        "factor": 2,
        "window_min_s": 0,
        "solvers": frozenset({(LOG, shares[0].sequence)} if shares else ()),
    }
    return pplns_window(shares, counting_sets=frozenset({ALPHA}), end_ms=END_MS, **(values | options))


def shown(found: Window) -> tuple[Mapping[int, int], int, int | None, int | None]:
    return found.weights, found.total, found.oldest_sequence, found.newest_sequence


def test_accounting_window_work_is_the_expected_hashes_of_a_target() -> None:
    assert target_work(2**256 - 1) == 1
    assert target_work(2**255 - 1) == 2
    assert target_work(0xFFFF << 208) == 2**32 + 2**16 + 1
    assert target_work(0) == 2**256


def test_accounting_window_cuts_the_oldest_share_to_fit_the_work() -> None:
    found = window(
        share(9, 90, route=1), share(8, 90, age_s=1, route=2), share(7, 90, age_s=2, route=3), share(6, 90, age_s=3)
    )
    assert shown(found) == ({1: 90, 2: 90, 3: 20}, 200, 7, 9)


def test_accounting_window_ends_exactly_at_a_share() -> None:
    found = window(share(9, 100), share(8, 100, age_s=1, route=2), share(7, 100, age_s=2, route=3))
    assert found.weights == {1: 100, 2: 100}


def test_accounting_window_takes_whole_shares_of_the_minimum_time() -> None:
    shares = [
        share(9, 150),
        share(8, 150, age_s=10, route=2),
        share(7, 150, age_s=60, route=3),
        share(6, 150, age_s=61, route=4),
    ]
    assert shown(window(*shares, window_min_s=60)) == ({1: 150, 2: 150, 3: 150}, 450, 7, 9)


def test_accounting_window_minimum_time_is_exact_to_the_millisecond() -> None:
    inside, outside = share(1, 7, age_s=3600), share(1, 7, age_s=3600.001)
    assert window(share(2, 500), inside, window_min_s=3600).total == 507
    assert window(share(2, 500), outside, window_min_s=3600).total == 500


def test_accounting_window_reaches_beyond_the_minimum_time_for_the_work() -> None:
    shares = [share(9, 10), share(8, 150, age_s=3600), share(7, 100, age_s=7200, route=2)]
    assert shown(window(*shares, window_min_s=60)) == ({1: 160, 2: 40}, 200, 7, 9)


def test_accounting_window_of_a_young_pool_is_all_it_has() -> None:
    assert shown(window(share(9, 1), share(8, 2, route=2), window_min_s=60)) == ({1: 1, 2: 2}, 3, 8, 9)


def test_accounting_window_counts_the_solver_even_if_heavier_than_the_bound() -> None:
    found = window(share(9, 500, age_s=1), share(8, 1, age_s=2), window_min_s=0.5)
    assert shown(found) == ({1: 200}, 200, 9, 9)


def test_accounting_window_leaves_out_shares_whose_job_had_not_the_chain() -> None:
    found = window(share(9, 100), share(8, 100, route=2, chain_set=BETA), share(7, 100, route=3))
    assert found.weights == {1: 100, 3: 100}


def test_accounting_window_counts_a_stale_share_only_for_the_block_it_solved() -> None:
    shares = [share(9, 50, stale=True, chain_set=BETA), share(8, 50, route=2, stale=True), share(7, 50, route=3)]
    assert window(*shares, solvers=frozenset({(LOG, 9)})).weights == {1: 50, 3: 50}
    assert window(*shares, solvers=frozenset({(LOG, 8)})).weights == {2: 50, 3: 50}
    assert window(*shares, solvers=frozenset({(LOG + 1, 8)})).weights == {3: 50}
    assert window(*shares, solvers=frozenset()).weights == {3: 50}


def test_accounting_window_factor_is_exact() -> None:
    shares = [share(9, 1000), share(8, 1000, age_s=5)]
    assert window(*shares, factor=Fraction("0.1"), work=10**30, window_min_s=-1).total == 2000
    assert window(*shares, factor=Fraction(1, 3), work=100, window_min_s=-1).total == 33


def test_accounting_window_is_empty_without_shares() -> None:
    assert shown(window()) == ({}, 0, None, None)


def test_accounting_window_stops_reading_beyond_both_bounds() -> None:
    read: list[int] = []

    def newest_first() -> Iterator[WindowShare]:
        for age in range(1000):
            read.append(age)
            yield share(1000 - age, 10, age_s=age)

    pplns_window(
        newest_first(),
        counting_sets=frozenset({ALPHA}),
        solvers=frozenset(),
        work=100,
        factor=2,
        end_ms=END_MS,
        window_min_s=5,
    )
    assert len(read) == 21


shares_strategy = st.lists(
    st.tuples(st.integers(1, 2**40), st.integers(0, 100), st.integers(1, 5), st.booleans(), st.booleans()), max_size=60
)


@given(shares_strategy, st.integers(1, 2**41), st.integers(0, 100))
def test_accounting_window_total_is_the_bound_or_the_time(
    rows: list[tuple[int, int, int, bool, bool]], work: int, window_min_s: int
) -> None:
    rows.sort(key=lambda row: row[1])
    shares = [
        share(1000 - index, weight, age_s=age, route=route, chain_set=ALPHA if counts else BETA, stale=stale)
        for index, (weight, age, route, counts, stale) in enumerate(rows)
    ]
    counting = [item for item in shares if item.chain_set == ALPHA and not item.stale]
    recent = sum(item.weight for item in counting if item.time_ms >= END_MS - window_min_s * 1000)
    everything = sum(item.weight for item in counting)
    found = pplns_window(
        shares,
        counting_sets=frozenset({ALPHA}),
        solvers=frozenset(),
        work=work,
        factor=2,
        end_ms=END_MS,
        window_min_s=window_min_s,
    )
    assert found.total == sum(found.weights.values()) == min(everything, max(recent, 2 * work))


@pytest.mark.parametrize("weights", [[5, 5, 5], [1, 100, 1]])
def test_accounting_window_adds_up_the_shares_of_a_route(weights: list[int]) -> None:
    found = window(*(share(9 - index, weight) for index, weight in enumerate(weights)))
    assert found.weights == {1: sum(weights)}


@given(
    st.lists(st.tuples(st.integers(1, 2**40), st.integers(0, 100), st.integers(1, 5)), min_size=1, max_size=30),
    st.integers(1, 2**41),
    st.integers(0, 100),
    st.data(),
)
def test_accounting_window_counts_two_halves_like_the_whole_share(
    rows: list[tuple[int, int, int]], work: int, window_min_s: int, data: st.DataObject
) -> None:
    rows.sort(key=lambda row: row[1])
    halved = data.draw(st.integers(0, len(rows) - 1))
    whole, split = [], []
    for index, (weight, age, route) in enumerate(rows):
        whole.append(share(1000 - 2 * index, 2 * weight, age_s=age, route=route))
        if index == halved:
            split += [share(1000 - 2 * index - half, weight, age_s=age, route=route) for half in (0, 1)]
        else:
            split.append(whole[-1])
    options: dict[str, Any] = {"work": work, "window_min_s": window_min_s, "solvers": frozenset()}
    one, other = window(*whole, **options), window(*split, **options)
    assert (one.weights, one.total) == (other.weights, other.total)
