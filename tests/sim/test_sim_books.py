"""The books under everything that can go wrong: some seeds here, ten thousand in `make nightly`."""

from __future__ import annotations

import os

import pytest
from books_run import run_books
from sim_seeds import SHORT_STEPS, Job, play, play_all, read_job
from support.points import some

SEEDS = 50
EVERY_POINT_SEED = 4


def test_sim_books_hold_for_every_seed() -> None:
    tally = play_all([Job("books", seed) for seed in range(SEEDS)])
    assert not tally.failures, str(tally)
    for happened in ("crashes", "mature", "orphan", "reinstate", "loss", "found", "lost", "rejected", "settle"):
        assert tally.counts[happened] > 0, f"no run had {happened}"


def test_sim_books_hold_with_a_crash_at_every_point() -> None:
    """One run, again and again, each time dying at a later commit, fsync, rename or call to a node; at every fourth of
    them it fails once as well.
    """
    points = run_books(EVERY_POINT_SEED, quiet=True, steps=SHORT_STEPS).points
    tried = some(range(1, points + 1), 3)
    jobs = [Job("short-books", EVERY_POINT_SEED, crash_at=at) for at in tried]
    jobs += [Job("short-books", EVERY_POINT_SEED, error_at=at) for at in tried[::4]]
    tally = play_all(jobs)
    assert points > 50
    assert not tally.failures, str(tally)
    assert tally.counts["crashes"] >= len(tried)


def test_sim_books_do_the_same_for_the_same_seed() -> None:
    first, second = run_books(11), run_books(11)
    assert first == second


def test_sim_again() -> None:
    """Plays what SIM_SEED or SIM_JOB say, in this process: for a debugger. Otherwise the first seed."""
    job, failure, _ = play(read_job(os.environ.get("SIM_JOB") or os.environ.get("SIM_SEED") or "0"))
    if failure is not None:
        pytest.fail(f"{job}\n{failure}")
