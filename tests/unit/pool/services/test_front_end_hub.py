"""The local socket: all get the same, nobody waits for one that does not read, a lost mother is found again."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest_asyncio

from pool.services import front_end_hub, mother_link
from pool.services.front_end_hub import FrontEndHub, Peer
from pool.services.front_end_messages import VERSION, Announcement, FromMother, Hello, Stop, frame_of
from pool.services.mother_link import MotherLink


class Mother:
    """A hub that welcomes everybody."""

    def __init__(self, path: Path) -> None:
        self.hub = FrontEndHub(path, self._hear, self._lost)
        self.hellos: list[Hello] = []
        self.lost = 0

    def _hear(self, peer: Peer, message: Any) -> None:
        if isinstance(message, Hello):
            self.hellos.append(message)
            peer.slot = message.slot

    def _lost(self, peer: Peer) -> None:
        self.lost += 1


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


@pytest_asyncio.fixture
async def mother(tmp_path: Path) -> AsyncIterator[Mother]:
    made = Mother(tmp_path / "socket")
    await made.hub.open()
    yield made
    await made.hub.close()


class Child:
    def __init__(self, path: Path, slot: int) -> None:
        self.heard: list[FromMother] = []
        self.link = MotherLink(path, lambda: Hello(VERSION, slot, os.getpid(), False), self.heard.append)
        self.task = asyncio.ensure_future(self.link.run())

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def test_hub_tells_everybody_the_same_and_is_nobody_elses(mother: Mother, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "socket").stat().st_mode) == 0o600
    children = [Child(tmp_path / "socket", slot) for slot in (1, 2)]
    await until(lambda: len(mother.hellos) == 2)
    mother.hub.publish(frame_of(Announcement("a", ["q"])) + frame_of(Announcement("b", ["r"])))
    await until(lambda: all(len(child.heard) == 2 for child in children))
    assert [child.heard for child in children] == 2 * [[Announcement("a", ["q"]), Announcement("b", ["r"])]]
    for child in children:
        await child.end()


async def test_hub_cuts_off_whom_it_cannot_tell_and_the_others_hear(
    mother: Mother, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(front_end_hub, "UNSENT_BYTES", 1 << 20)
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "socket"))
    writer.write(frame_of(Hello(VERSION, 7, os.getpid(), False)))
    child = Child(tmp_path / "socket", 1)
    await until(lambda: len(mother.hellos) == 2)
    writer.transport.pause_reading()  # it hangs
    text = "x" * 100_000
    for _ in range(40):
        mother.hub.publish(frame_of(Announcement(text, [])))
        await asyncio.sleep(0)
    await until(lambda: mother.lost == 1)
    await until(lambda: len(child.heard) == 40)
    writer.close()
    await child.end()
    assert reader is not None


async def test_hub_cuts_off_who_speaks_something_else(mother: Mother, tmp_path: Path) -> None:
    for nonsense in (b"\xff" * 8, b"\x00\x00\x00\x01\xc1"):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "socket"))
        writer.write(nonsense)
        async with asyncio.timeout(30):
            assert await reader.read() == b""
        writer.close()
    assert mother.hellos == []


async def test_hub_a_mother_that_comes_back_is_found(mother: Mother, tmp_path: Path) -> None:
    child = Child(tmp_path / "socket", 3)
    await until(lambda: len(mother.hellos) == 1)
    assert child.link.away_s == 0
    await mother.hub.close()
    await until(lambda: child.link.away_s > 0)
    child.link.tell(Hello(VERSION, 3, 0, True))  # to nobody
    again = Mother(tmp_path / "socket")
    await again.hub.open()
    await until(lambda: len(again.hellos) == 1)
    assert child.link.away_s == 0 and child.heard == []
    await again.hub.close()
    await child.end()


async def test_hub_without_a_mother_for_too_long_it_is_over(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(mother_link, "ORPHAN_S", 0.5)
    child = Child(tmp_path / "socket", 1)
    await until(child.task.done)
    assert child.heard == [Stop()]
