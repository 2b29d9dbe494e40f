from __future__ import annotations

import json
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stratum.vardiff import SEARCH_AIM, Vardiff, nice, nice_down, nice_up, wire_number

INTERVAL_S = 4.0


def simulate(seed: int, speed: float, start: float, duration_s: float, sweep_s: float = 1.0) -> tuple[Vardiff, int]:
    """A Poisson miner whose right difficulty is `start * speed`; a retarget is told to it at once. (vardiff, shares)"""
    chance = random.Random(seed)
    rate = start * speed / INTERVAL_S
    vardiff = Vardiff(start, start * 1e-6, start * 1e9, INTERVAL_S, 0.0)
    now, sweep, shares = 0.0, sweep_s, 0
    while now < duration_s:
        share = now + chance.expovariate(rate / vardiff.assigned)
        if share < sweep:
            now, shares = share, shares + 1
            moved = vardiff.share(vardiff.assigned, now)
        else:
            now, sweep = sweep, sweep + sweep_s
            moved = vardiff.silent(now)
        if moved:
            vardiff.assign(vardiff.wanted, now)
    return vardiff, shares


@pytest.mark.parametrize("start", [1000.0, 2.0**-20], ids=["whole", "fraction"])
@pytest.mark.parametrize("speed", [1e-3, 0.03, 0.5, 1.0, 3.0, 100.0, 1e5])
def test_vardiff_finds_any_miner(speed: float, start: float) -> None:
    errors, retargets = [], []
    for seed in range(40):
        vardiff, shares = simulate(seed, speed, start, 15 * 60.0)
        errors.append(vardiff.difficulty / (start * speed))
        retargets.append(vardiff.retargets)
        assert shares < 15 * 15 * 2.5 + 60, "the search must not flood"
    # Powers of two add up to a factor of 1.41 below difficulty 1.
    allowed = 1.5 if start * speed >= 100 else 2.0
    within = sum(1 / allowed <= error <= allowed for error in errors)
    assert within >= 38, sorted(errors)
    assert (1 / 1.3 if allowed == 1.5 else 0.6) <= statistics.median(errors) <= (1.3 if allowed == 1.5 else 1.6)
    assert statistics.median(retargets) <= 6 and max(retargets) <= 12, retargets


@pytest.mark.parametrize("speed", [1e-3, 1e5])
def test_vardiff_first_steps_are_fast(speed: float) -> None:
    limit_s = 100.0 if speed < 1 else 20.0
    for seed in range(20):
        vardiff, _ = simulate(seed, speed, 1000.0, limit_s)
        assert 1 / 5 <= vardiff.difficulty / (1000.0 * speed) <= 5, seed


def test_vardiff_is_within_a_quarter_of_its_target_in_three_minutes() -> None:
    chance = random.Random(3)
    right = retargets = 0
    for seed in range(500):
        speed = 10.0 ** chance.uniform(-3.0, 5.0)
        vardiff, shares = simulate(seed, speed, 1e6, 180.0)
        right += abs(vardiff.wanted / (1e6 * speed) - 1.0) <= 0.25
        retargets += vardiff.retargets
        assert shares <= 200, "a search is no flood"
    assert right >= 0.95 * 500 and retargets <= 4 * 500, (right, retargets)


def test_vardiff_tells_less_than_it_should_while_it_searches() -> None:
    vardiff, _ = simulate(1, 1000.0, 1000.0, 60.0)
    assert vardiff.searching and vardiff.wanted == vardiff.assigned == nice(vardiff.difficulty * SEARCH_AIM)
    assert vardiff.rate == vardiff.difficulty / INTERVAL_S, "the estimate itself is whole"
    vardiff, _ = simulate(1, 1000.0, 1000.0, 180.0)
    assert not vardiff.searching and vardiff.wanted == vardiff.assigned == vardiff.difficulty
    vardiff.set(5.0, 200.0)
    assert vardiff.searching and vardiff.wanted == 5.0, "who asks for a difficulty gets it, and the search begins there"


def test_vardiff_settled_miner_is_left_alone() -> None:
    def changes(seed: int, until_s: float) -> int:
        return simulate(seed, 1.0, 1024.0, until_s)[0].retargets

    of_an_hour = [changes(seed, 3800.0) - changes(seed, 200.0) for seed in range(20)]
    assert statistics.mean(of_an_hour) <= 1.0, of_an_hour
    assert statistics.mean(changes(seed, 200.0) for seed in range(20)) <= 2.0, "a start that is right is hardly moved"


def test_vardiff_notices_that_the_miner_changed() -> None:
    vardiff = Vardiff(1000.0, 1.0, 1e9, INTERVAL_S, 0.0)
    now = 0.0
    for _ in range(1000):  # a settled hour
        now += INTERVAL_S
        vardiff.share(1000.0, now)
    assert vardiff.difficulty == 1000.0
    shares = 0
    while shares < 120 and vardiff.difficulty == 1000.0:  # four times faster
        now, shares = now + INTERVAL_S / 4, shares + 1
        vardiff.share(1000.0, now)
    assert vardiff.difficulty > 1500.0


def test_vardiff_work_counts_not_shares() -> None:
    """Shares of older, easier jobs must not look like a slow or fast miner."""
    vardiff = Vardiff(64.0, 1.0, 1e9, INTERVAL_S, 0.0)
    vardiff.assign(64.0, 0.0)
    for index in range(1, 65):
        assert not vardiff.share(8.0, index * INTERVAL_S / 8)
    assert vardiff.difficulty == 64.0


def test_vardiff_ignores_shares_while_settling() -> None:
    vardiff = Vardiff(1.0, 0.001, 1e9, INTERVAL_S, 0.0)
    vardiff.assign(256.0, 10.0, settle_s=2.0)
    assert not any(vardiff.share(256.0, 10.0 + i / 100) for i in range(100))
    assert vardiff.difficulty == 1.0


def test_vardiff_stays_within_its_bounds_without_telling_again() -> None:
    vardiff = Vardiff(1.0, 0.5, 2.0, INTERVAL_S, 0.0)
    for second in range(1, 400):
        if vardiff.silent(float(second)):
            vardiff.assign(vardiff.difficulty, float(second))
    assert (vardiff.difficulty, vardiff.retargets) == (0.5, 1)
    for second in range(400):
        if vardiff.share(100.0, 400.0 + second / 100):
            vardiff.assign(vardiff.difficulty, 400.0 + second / 100)
    assert (vardiff.difficulty, vardiff.retargets) == (2.0, 2)


def test_vardiff_burst_at_one_instant_is_survived() -> None:
    vardiff = Vardiff(1.0, 0.001, 1e9, INTERVAL_S, 5.0)
    assert any([vardiff.share(1.0, 5.0) for _ in range(8)])
    assert vardiff.difficulty == 256.0


@given(st.floats(1e-9, 1e15))
def test_vardiff_nice_numbers_enclose(difficulty: float) -> None:
    down, near, up = nice_down(difficulty), nice(difficulty), nice_up(difficulty)
    assert down <= difficulty <= up
    assert down <= near <= up
    for value in (down, near, up):
        assert nice(value) == nice_down(value) == nice_up(value) == value
    assert up <= down * 2 or difficulty < 2


@pytest.mark.parametrize(
    ("difficulty", "near"),
    [(0.00015, 2.0**-13), (0.3, 0.25), (0.75, 1.0), (0.7, 0.5), (1.4, 1.0), (2.6, 3.0), (999.4, 999.0),
     (1000.0, 1000.0), (1234.0, 1230.0), (65536.0, 65500.0), (524288.0, 524000.0), (1e12, 1e12)],
)  # fmt: skip
def test_vardiff_nice_numbers(difficulty: float, near: float) -> None:
    assert nice(difficulty) == near


@pytest.mark.parametrize(
    ("difficulty", "wire"),
    [(1.0, b"1"), (1e15, b"1000000000000000"), (0.5, b"0.5"), (1e-7, b"0.0000001"), (2.0**-13, b"0.0001220703125"),
     (16384.5, b"16384.5")],
)  # fmt: skip
def test_vardiff_wire_numbers_have_no_exponent(difficulty: float, wire: bytes) -> None:
    assert wire_number(difficulty) == wire
    assert json.loads(wire) == difficulty
