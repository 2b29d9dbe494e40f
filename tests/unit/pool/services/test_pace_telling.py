"""How fast miners are goes from their front end over the mother to all others, when it is news and not oftener."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from pool.services import pace_telling
from pool.services.front_end_messages import MinerPaces, frame_of, from_mother
from pool.services.pace_telling import PaceTelling, messages_of, remember
from stratum.rate_memory import Pace, RateMemory


class Miner:
    def __init__(self, number: int, pace: Pace | None) -> None:
        self.extranonce1 = number.to_bytes(4, "big")
        self.now = pace
        self.session = SimpleNamespace(pace=lambda: self.now)


def _telling(miners: list[Miner], heard: list[MinerPaces], clock: list[float]) -> PaceTelling:
    servers: Any = [SimpleNamespace(connections=set(miners))]
    return PaceTelling(servers, RateMemory(keep_s=100.0), heard.append, lambda: clock[0], look_s=0.001)


async def test_pace_telling_says_what_is_new_and_everything_to_a_new_mother() -> None:
    miners = [Miner(number, Pace(float(number), True)) for number in range(1, 4)] + [Miner(9, None)]
    heard: list[MinerPaces] = []
    clock = [0.0]
    telling = _telling(miners, heard, clock)

    async def look() -> set[int]:
        heard.clear()
        await telling.look()
        return {int.from_bytes(key, "big") for message in heard for key, _, _ in message.paces}

    assert await look() == {1, 2, 3} and await look() == set()
    miners[0].now = Pace(8.0, False)
    assert await look() == {1} and heard[0].paces == [(b"\0\0\0\1", 8.0, False)]
    clock[0] = 101.0
    assert await look() == {1, 2, 3}, "or it would be forgotten next"
    assert await look() == set()
    telling.memory.left(b"\0\0\0\7", Pace(1.0, True), clock[0])
    telling.memory.left(miners[1].extranonce1, Pace(2.0, True), clock[0])
    assert await look() == {7}, "who left is told of, unless all is known"
    telling.begin_anew()
    assert await look() == {1, 2, 3} and await look() == set()


async def test_pace_telling_looks_at_once_when_miners_are_about_to_move() -> None:
    miner = Miner(1, None)
    heard: list[MinerPaces] = []
    telling = _telling([miner], heard, [0.0])
    telling._look_s = 3600.0
    running = asyncio.ensure_future(telling.run())
    await asyncio.sleep(0.01)
    miner.now = Pace(2.0, True)
    telling.look_now()
    async with asyncio.timeout(30):
        while not heard:
            await asyncio.sleep(0.001)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert [paces for message in heard for paces in message.paces] == [(miner.extranonce1, 2.0, True)]


def test_pace_telling_arrives_as_it_was_in_messages_of_some_size(monkeypatch: Any) -> None:
    monkeypatch.setattr(pace_telling, "TOLD_AT_ONCE", 10)
    paces = {number.to_bytes(4, "big"): Pace(2.0**number, number % 2 == 0) for number in range(25)}
    messages = messages_of(paces)
    assert [len(message.paces) for message in messages] == [10, 10, 5]
    memory = RateMemory()
    for message in messages:
        arrived = from_mother(frame_of(message)[4:])
        assert isinstance(arrived, MinerPaces)
        remember(memory, arrived, 0.0)
    assert memory.all(0.0) == paces
