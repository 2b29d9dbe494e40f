"""What is remembered of miners who may come back: for a while, of so many, and a rate and nothing else."""

from __future__ import annotations

import pytest

from stratum.rate_memory import Pace, RateMemory


def _key(number: int) -> bytes:
    return number.to_bytes(4, "big")


def test_rate_memory_keeps_for_one_to_two_times_its_span() -> None:
    memory = RateMemory(keep_s=100.0)
    assert memory.recall(_key(1), 0.0) is None
    assert memory.note(_key(1), Pace(5.0, True), 0.0)
    assert memory.note(_key(2), Pace(7.0, False), 99.0)
    assert memory.recall(_key(1), 199.9) == Pace(5.0, True) and memory.recall(_key(2), 199.9) == Pace(7.0, False)
    assert memory.recall(_key(2), 200.0) is None and memory.recall(_key(1), 200.0) is None and not len(memory)


def test_rate_memory_forgets_all_when_nobody_looked_for_long() -> None:
    memory = RateMemory(keep_s=100.0)
    memory.note(_key(1), Pace(5.0, True), 0.0)
    assert memory.recall(_key(1), 1e6) is None and len(memory) == 0


def test_rate_memory_tells_what_is_news() -> None:
    memory = RateMemory(keep_s=100.0)
    assert memory.note(_key(1), Pace(5.0, False), 0.0) and not memory.note(_key(1), Pace(5.0, False), 50.0)
    assert memory.note(_key(1), Pace(5.0, True), 51.0), "settled now"
    assert memory.note(_key(1), Pace(6.0, True), 52.0)
    assert memory.note(_key(1), Pace(6.0, True), 101.0), "it would be forgotten next"
    assert memory.recall(_key(1), 299.0) == Pace(6.0, True)


@pytest.mark.parametrize("live", [10, 100])
def test_rate_memory_is_bounded_whoever_comes(live: int) -> None:
    memory = RateMemory(keep_s=100.0, generation_size=50)
    for number in range(10_000):
        memory.note(_key(number % live if live == 10 else number), Pace(1.0 + number, True), 0.0)
        assert len(memory) <= 100
    assert memory.recall(_key(9_999 % live if live == 10 else 9_999), 0.0) == Pace(10_000.0, True)
    assert len(memory.all(0.0)) == (10 if live == 10 else len(memory))
