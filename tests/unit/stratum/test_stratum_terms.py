from __future__ import annotations

import random

import pytest

from stratum.offer import PortPolicy
from stratum.terms import CHANGE_POINTS, Terms


def terms(start: float = 1.0, minimum: float = 0.001, maximum: float = 1e6, **more: float | bool) -> Terms:
    return Terms(PortPolicy(start, minimum, maximum, **more), 0.0)  # type: ignore[arg-type]


def test_terms_start_within_the_port() -> None:
    assert terms().target(()) == 1.0
    assert terms(start=1e-7, minimum=1e-7, maximum=1e-7, vardiff=False).target((1e-9,)) == 1e-7


@pytest.mark.parametrize(
    ("caps", "difficulty"),
    [
        ((), 64.0),
        ((1e9,), 64.0),
        ((30.0, 1e9), 30.0),  # 32 shares a minute: affordable
        ((16.0,), 16.0),  # exactly 60 a minute
        ((15.9, 40.0), 40.0),  # 60.4 a minute: excused, the next one caps
        ((1e-6, 1e-5), 64.0),  # trivial chains cap nobody
        ((40.7,), 40.0),  # rounded down, or solves between would be lost
    ],
)
def test_terms_cap_is_the_easiest_chain_that_does_not_flood(caps: tuple[float, ...], difficulty: float) -> None:
    assert terms(start=64.0).target(caps) == difficulty


def test_terms_floor_wins_over_cap_and_vardiff() -> None:
    own = terms(start=64.0)
    own.ask(50.0, 0.0)
    own.vardiff.set(1.0, 0.0)
    assert own.target(()) == 50.0
    assert own.target((30.0,)) == 50.0


def test_terms_miner_moves_its_floor_within_the_port() -> None:
    own = terms(start=1.0, minimum=0.01, maximum=1000.0)
    assert own.ask(0.00015, 0.0) and own.target(()) == 0.01
    assert not own.ask(0.00012, 1.0), "the same again (NerdMiner's keep-alive) changes nothing"
    assert own.ask(500.0, 2.0) and own.target(()) == 500.0
    assert own.ask(1e30, 3.0) and own.target(()) == 1000.0
    assert own.ask(2.0, 4.0) and own.target(()) == 2.0
    assert own.ask_minimum(10.0, 5.0) and own.target(()) == 10.0
    assert own.ask(4.0, 6.0) and own.target(()) == 10.0


def test_terms_share_is_judged_at_the_lower() -> None:
    own = terms()
    own.bind(1, 8.0)
    own.bind(2, 64.0)
    assert (own.for_job(1), own.for_job(2)) == (8.0, 64.0)
    own.bind(3, 2.0)
    assert [own.for_job(n) for n in (1, 2, 3)] == [2.0, 2.0, 2.0]
    own.bind(4, 16.0)
    assert [own.for_job(n) for n in (1, 2, 3, 4)] == [8.0, 16.0, 2.0, 16.0]


def test_terms_same_job_raised_keeps_its_first_difficulty() -> None:
    own = terms()
    own.bind(1, 8.0)
    own.bind(3, 8.0)
    own.bind(3, 512.0)
    assert own.sent == 512.0
    assert own.for_job(3) == 8.0
    own.bind(4, 512.0)
    assert (own.for_job(3), own.for_job(4)) == (8.0, 512.0)


def test_terms_same_job_lowered_stays_low_after_a_rise() -> None:
    own = terms()
    own.bind(1, 8.0)
    own.bind(2, 8.0)
    own.bind(2, 1.0)
    own.bind(3, 4.0)
    assert [own.for_job(n) for n in (1, 2, 3)] == [4.0, 1.0, 4.0]


def test_terms_unknown_older_job_takes_the_oldest_known_terms() -> None:
    own = terms(start=3.0)
    assert own.for_job(7) == 3.0
    own.bind(100, 8.0)
    assert own.for_job(5) == 8.0


def test_terms_against_a_full_memory() -> None:
    """Change points answer what a dictionary of every job would, as far back as they reach, and never more."""
    chance = random.Random(3)
    own, first = terms(), {}
    for sequence in range(1, 400):
        difficulty = chance.choice([1.0, 2.0, 4.0, 8.0])
        own.bind(sequence, difficulty)
        first[sequence] = difficulty
        if chance.random() < 0.3:
            again = chance.choice([1.0, 2.0, 4.0, 8.0])
            own.bind(sequence, again)
            first[sequence] = min(first[sequence], again)
        for back in range(max(1, sequence - CHANGE_POINTS + 2), sequence + 1):
            assert own.for_job(back) == min(first[back], own.sent or 0.0)
        for back in range(1, max(1, sequence - CHANGE_POINTS + 2)):
            assert own.for_job(back) <= first[back]
    assert len(own._points) <= CHANGE_POINTS
