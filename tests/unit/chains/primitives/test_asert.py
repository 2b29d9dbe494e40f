"""ASERT: half-lives double and halve, the schedule alone counts, the ends are bounded."""

from __future__ import annotations

from chains.primitives.asert import asert_target

FIRST, EASIEST = 1 << 224, 1 << 240


def test_asert_doubles_for_every_half_life_behind_and_halves_ahead() -> None:
    assert asert_target(FIRST, 0, 3600, EASIEST) == FIRST
    for lives in range(-5, 6):
        assert asert_target(FIRST, 3600 * lives, 3600, EASIEST) == (FIRST << lives if lives >= 0 else FIRST >> -lives)


def test_asert_follows_the_power_of_two_between_half_lives() -> None:
    for part in range(0, 3600, 100):
        exact = FIRST * 2 ** (part / 3600)
        assert abs(asert_target(FIRST, part, 3600, EASIEST) - exact) < exact * 0.00014


def test_asert_stays_within_its_ends() -> None:
    assert asert_target(FIRST, 10**9, 3600, EASIEST) == EASIEST
    assert asert_target(FIRST, 3600 * 100, 3600, EASIEST) == EASIEST
    assert asert_target(FIRST, -(10**9), 3600, EASIEST) == 1
    assert asert_target(FIRST, -3600 * 250, 3600, EASIEST) == 1
