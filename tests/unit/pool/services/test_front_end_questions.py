"""A question to front ends over the local socket: who answers in time is heard, who does not keeps nobody waiting."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pool.services.front_end_hub import FrontEndHub, Peer
from pool.services.front_end_messages import VERSION, FromMother, Hello, MinersTold, MinersToTell
from pool.services.front_end_questions import MOST_OWED, Questions
from pool.services.mother_link import MotherLink


class Mother:
    def __init__(self, path: Path, answer_s: float) -> None:
        self.questions = Questions(answer_s)
        self.hub = FrontEndHub(path, self._hear, self.questions.lost)
        self.peers: dict[int, Peer] = {}

    def _hear(self, peer: Peer, message: Any) -> None:
        if isinstance(message, Hello):
            peer.slot = message.slot
            self.peers[peer.slot] = peer
        elif isinstance(message, MinersTold):
            self.questions.heard(peer, message)

    async def ask(self) -> dict[int, int]:
        peers = list(self.peers.values())
        found = await self.questions.ask(peers, lambda number: MinersToTell(number, "x", None, None))
        return {slot: answer.connections for slot, answer in found.items() if isinstance(answer, MinersTold)}


class Child:
    """Answers with its slot, or keeps what it was asked while it `hangs`."""

    def __init__(self, path: Path, slot: int) -> None:
        self.hangs = False
        self.asked: list[MinersToTell] = []
        self._slot = slot
        self.link = MotherLink(path, lambda: Hello(VERSION, slot, os.getpid(), False), self._hear)
        self.task = asyncio.ensure_future(self.link.run())

    def _hear(self, message: FromMother) -> None:
        assert isinstance(message, MinersToTell)
        self.asked.append(message)
        if not self.hangs:
            self.answer(message)

    def answer(self, message: MinersToTell) -> None:
        self.link.tell(MinersTold(message.number, self._slot))

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def test_questions_are_answered_by_those_who_can(tmp_path: Path) -> None:
    mother = Mother(tmp_path / "socket", answer_s=30.0)
    await mother.hub.open()
    assert await mother.ask() == {}, "nobody to ask"
    good, bad = (Child(tmp_path / "socket", slot) for slot in (1, 2))
    await until(lambda: len(mother.peers) == 2)
    assert await asyncio.gather(*(mother.ask() for _ in range(9))) == 9 * [{1: 1, 2: 2}]

    mother.questions._answer_s = 0.2
    bad.hangs = True
    bad.asked.clear()
    for _ in range(MOST_OWED + 3):
        assert await mother.ask() == {1: 1}
    assert len(bad.asked) == MOST_OWED, "one that owes so many answers is asked no more"

    bad.hangs = False
    for question in bad.asked:
        bad.answer(question)  # late, and to nobody
    mother.questions._answer_s = 30.0

    async def both() -> bool:
        return await mother.ask() == {1: 1, 2: 2}

    async with asyncio.timeout(30):
        while not await both():
            await asyncio.sleep(0.01)
    for child in (good, bad):
        await child.end()
    await mother.hub.close()


async def test_questions_do_not_wait_for_one_that_dies(tmp_path: Path) -> None:
    mother = Mother(tmp_path / "socket", answer_s=60.0)
    await mother.hub.open()
    good, bad = (Child(tmp_path / "socket", slot) for slot in (1, 2))
    await until(lambda: len(mother.peers) == 2)
    bad.hangs = True
    began = time.monotonic()
    asking = asyncio.ensure_future(mother.ask())
    await until(lambda: bad.asked)
    mother.peers[2].cut()
    assert await asking == {1: 1} and time.monotonic() - began < 30
    assert not mother.questions._open and set(mother.questions._owed.elements()) == set()
    for child in (good, bad):
        await child.end()
    await mother.hub.close()
