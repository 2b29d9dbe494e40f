"""Expected solves against the shares' own targets, and near misses."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from chains.primitives.target import work_of
from pool.jobs.job import NEAR_FACTOR, near_target
from pool.services.work_tally import WorkTally

EASY, HARD, SHARE = 2**236, 2**225, 2**240


def job(**targets: int) -> Any:
    return _Job(targets=tuple(targets.items()), near_target=near_target(max(targets.values())))


class _Job(SimpleNamespace):
    __hash__ = object.__hash__  # as jobs are told apart


def test_work_tally_expects_what_the_weights_say_of_each_target() -> None:
    tally, first, second = WorkTally(), job(easy=EASY, hard=HARD), job(hard=HARD)
    weight = work_of(SHARE)
    for _ in range(1000):
        tally.add(first, weight, SHARE)
    tally.add(second, weight, SHARE)
    assert tally.expected == {}, "worked out when asked"
    tally.fold()
    tally.fold()
    assert tally.expected["easy"] == pytest.approx(1000 / 16, rel=1e-3)
    assert tally.expected["hard"] == pytest.approx(1001 / 2**15, rel=1e-3)
    assert tally.expected_near["hard"] == pytest.approx(1001 * NEAR_FACTOR / 2**15, rel=1e-2)
    assert tally.expected_near["easy"] == 1000, "no more near misses than shares"


def test_work_tally_counts_near_misses_by_chain() -> None:
    tally, work = WorkTally(), job(easy=EASY, hard=HARD)
    for value in (SHARE, EASY * NEAR_FACTOR, EASY, HARD * NEAR_FACTOR + 1, HARD * NEAR_FACTOR, HARD):
        tally.add(work, work_of(SHARE), value)
    assert tally.near == {"easy": 6, "hard": 2}, "solves included"


def test_work_tally_costs_the_share_path_less_than_a_microsecond() -> None:
    """The best of several rounds, so that a busy machine does not count."""
    tally, work, weight, value = WorkTally(), job(a=HARD, b=HARD, c=HARD), work_of(SHARE), SHARE
    rounds = []
    for _ in range(20):
        began = time.perf_counter()
        for _ in range(2000):
            tally.add(work, weight, value)
        rounds.append((time.perf_counter() - began) / 2000)
    assert min(rounds) < 1e-6
