from __future__ import annotations

import asyncio

import pytest

from pool.ticks import next_tick, tick_in


@pytest.mark.parametrize(
    ("period_s", "now_s", "left_s"),
    [
        (1.0, 7.0, 1.0),
        (1.0, 7.25, 0.75),
        (1.0, 7.5, 0.5),
        (1.0, 7.75, 1.25),  # soon after its last turn, which came a little early or took long
        (0.5, 7.25, 0.25),
        (30.0, 0.0, 30.0),
        (0.0, 7.3, 0.0),
    ],
)
def test_ticks_are_whole_multiples_and_never_soon(period_s: float, now_s: float, left_s: float) -> None:
    assert tick_in(period_s, now_s) == left_s


async def test_ticks_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    slept_s: list[float] = []

    async def sleep(delay_s: float) -> None:
        slept_s.append(delay_s)

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(asyncio, "sleep", sleep)
    before_s = loop.time()
    await next_tick(1000.0)
    assert 500 <= slept_s[0] < 1500
    assert (before_s + slept_s[0] + 500) % 1000 == pytest.approx(500, abs=10)
