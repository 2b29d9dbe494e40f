"""Reading many connections in common turns: the first at once, what follows together, nothing left behind."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace

import pytest

from stratum import transport
from stratum._read_ready import read_ready  # not there: the package was installed without a C compiler
from stratum.transport import ReadGate


class Reader:
    """One end of a connection; `turns` says when it was read, by the turn of the gate."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.said: list[bytes] = []
        self.turns: list[int] = []
        world.gate.watch(self.ours.fileno(), self.read)

    def read(self) -> None:
        self.said.append(self.ours.recv(100))
        self.turns.append(self.world.turns)

    def forget(self) -> None:
        self.world.gate.forget(self.ours.fileno())
        self.ours.close()
        self.theirs.close()


class World:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, native: bool) -> None:
        monkeypatch.setattr(transport, "native_read_ready", read_ready if native else None)
        self.turns = 0
        gate = self.gate = ReadGate(asyncio.get_running_loop())
        turn = gate._turn

        def counted() -> None:
            self.turns += 1
            turn()

        monkeypatch.setattr(gate, "_turn", counted)
        self.readers: list[Reader] = []

    def reader(self) -> Reader:
        self.readers.append(Reader(self))
        return self.readers[-1]

    async def until(self, condition) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.001)


@pytest.fixture(params=["C", "Python"])
async def world(monkeypatch, request):
    world = World(monkeypatch, request.param == "C")
    yield world
    for reader in world.readers:
        if reader.ours.fileno() >= 0:
            reader.forget()
    assert not world.gate._armed and world.gate._due is None, "no trace in the loop"
    world.gate._epoll.close()


async def test_read_gate_reads_the_first_at_once_and_the_next_together(world, monkeypatch):
    monkeypatch.setattr(transport, "GATHER_S", 0.2)
    one, two = world.reader(), world.reader()
    one.theirs.send(b"first")
    await world.until(lambda: one.said)
    began = asyncio.get_running_loop().time()
    two.theirs.send(b"second")
    await asyncio.sleep(0.02)
    one.theirs.send(b"third")
    await world.until(lambda: len(one.said) == 2 and two.said)
    assert asyncio.get_running_loop().time() - began > 0.1, "they were gathered for"
    assert (one.turns, two.turns) == ([1, 2], [2]), "both in one turn"
    await world.until(lambda: world.gate._armed)
    one.theirs.send(b"after the quiet")
    await world.until(lambda: one.said[-1] == b"after the quiet")


async def test_read_gate_of_one_process_of_several_waits_longer_for_company(world, monkeypatch):
    monkeypatch.setattr(transport, "GATHER_S", 0.0)
    monkeypatch.setattr(transport, "COMPANY", 3)
    world.gate.lonely_s = 0.3
    loop, readers = asyncio.get_running_loop(), [world.reader() for _ in range(3)]

    async def quiet_after_s(speakers: int) -> float:
        for reader in readers[:speakers]:
            reader.said.clear()
            reader.theirs.send(b"x")
        await world.until(lambda: all(reader.said for reader in readers[:speakers]))
        began = loop.time()
        await world.until(lambda: world.gate._armed)
        return loop.time() - began

    assert await quiet_after_s(1) > 0.2
    assert await quiet_after_s(3) < 0.2, "they are company enough"


async def test_read_gate_shares_its_turns_among_more_than_one_holds(world, monkeypatch):
    monkeypatch.setattr(transport, "GATHER_S", 30.0)
    monkeypatch.setattr(transport, "TURN_CONNECTIONS", 2)
    readers = [world.reader() for _ in range(5)]
    for reader in readers:
        reader.theirs.send(b"x")
    await world.until(lambda: all(reader.said for reader in readers))
    assert world.turns == 3, "two by two, without a pause where more may wait"


async def test_read_gate_passes_over_who_was_ended_in_the_same_turn(world):
    one, two = world.reader(), world.reader()

    def end_the_other() -> None:
        Reader.read(one)
        two.forget()

    world.gate.forget(one.ours.fileno())
    world.gate.watch(one.ours.fileno(), end_the_other)
    two.theirs.send(b"y")
    one.theirs.send(b"x")
    await world.until(lambda: one.said)
    await asyncio.sleep(0.02)
    assert len(two.said) <= 1


async def test_read_gate_reads_on_after_an_error_of_ours(world, caplog):
    one, two = world.reader(), world.reader()

    def fail() -> None:
        Reader.read(one)
        raise ValueError("an error of ours")

    world.gate.forget(one.ours.fileno())
    world.gate.watch(one.ours.fileno(), fail)
    one.theirs.send(b"x")
    await world.until(lambda: one.said)
    two.theirs.send(b"y")
    await world.until(lambda: two.said)
    one.theirs.send(b"z")
    await world.until(lambda: len(one.said) == 2)
    assert caplog.text.count("an error of ours") >= 2


async def test_read_gate_notices_that_the_peer_has_gone(world):
    one = world.reader()
    one.theirs.close()
    await world.until(lambda: one.said)
    assert one.said[0] == b""


async def test_read_gate_is_one_per_loop_and_none_for_other_reactors():
    loop = asyncio.get_running_loop()
    reactor = SimpleNamespace(_asyncioEventloop=loop)
    assert ReadGate.of(reactor) is ReadGate.of(reactor) is not None
    assert ReadGate.of(SimpleNamespace()) is None
