"""The process around a core, on real sockets of this machine: order, durability, timers, calls, ends."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support.gossip import GossipCore

from chains.peers.core import (
    Answer,
    Asked,
    Broadcast,
    Connected,
    Disconnected,
    Drop,
    Effect,
    Event,
    Fired,
    Note,
    Received,
    Refuse,
    SetTimer,
    Started,
    Tell,
    Write,
)
from chains.peers.hub import PeerLimits
from chains.peers.process import NodeProcess, ProcessSettings, RefusedError
from chains.peers.sources import ConfiguredPeers
from chains.store.store import Store, StoreFailedError

React = Callable[[Event], Iterable[Effect]]


class Scripted(GossipCore):
    """A core that remembers its events and does what the test says."""

    def __init__(self, react: React | None = None) -> None:
        super().__init__(random.Random(0))
        self.seen: list[Event] = []
        self.times: list[int] = []
        self.react = react

    def on(self, now_ms: int, event: Event) -> Iterable[Effect]:
        self.seen.append(event)
        self.times.append(now_ms)
        return () if self.react is None else self.react(event)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.seen if isinstance(event, kind)]


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


class Nodes:
    def __init__(self, reactor: Any, folder: Path) -> None:
        self.reactor = reactor
        self.folder = folder
        self.made: list[tuple[NodeProcess, Store]] = []

    def make(self, core: Any, *, peers: tuple[NodeProcess, ...] = (), number: int | None = None) -> NodeProcess:
        number = len(self.made) + 1 if number is None else number
        store = Store(self.folder / f"n{number}", b"identity")
        addresses = ConfiguredPeers([f"127.0.0.1:{peer.port}" for peer in peers])
        limits = PeerLimits(exempt_loopback=True)
        settings = ProcessSettings(sources=(addresses,), limits=limits, chance=random.Random(1))
        node = NodeProcess(core, store, bytes([number]) * 32, settings, self.reactor)
        self.made.append((node, store))
        node.start()
        return node

    def end(self, node: NodeProcess) -> None:
        node.stop()
        for made, store in self.made:
            if made is node:
                store.close()
        self.made = [pair for pair in self.made if pair[0] is not node]


@pytest_asyncio.fixture(loop_scope="session")
async def nodes(reactor: Any, tmp_path: Path) -> AsyncIterator[Nodes]:
    nodes = Nodes(reactor, tmp_path)
    yield nodes
    for node, _ in list(nodes.made):
        nodes.end(node)
    await asyncio.sleep(0.05)


async def test_peers_process_events_come_one_at_a_time_and_effects_in_order(nodes: Nodes) -> None:
    order: list[str] = []

    def react(event: Event) -> Iterable[Effect]:
        order.append(type(event).__name__)
        if isinstance(event, Asked):
            yield Write(puts=(("t", b"k", b"v"),))
            yield Tell("tip")
            yield Answer(event.token, "done")

    core = Scripted(react)
    node = nodes.make(core)
    told = node.topic("tip")
    assert await node.ask("x", (1,)) == "done"
    assert told.is_set() and node.topic("tip") is not told
    assert order == ["Started", "Asked"]
    nodes.end(node)
    again = Scripted()
    nodes.make(again, number=1)
    assert again.seen == [Started({"t": [(b"k", b"v")]})]


async def test_peers_process_refusals_reach_the_caller(nodes: Nodes) -> None:
    node = nodes.make(Scripted(lambda event: [Refuse(event.token, -8, "no")] if isinstance(event, Asked) else []))
    with pytest.raises(RefusedError) as caught:
        await node.ask("x")
    assert (caught.value.code, caught.value.reason) == (-8, "no")


async def test_peers_process_answers_may_come_later_and_end_with_the_node(nodes: Nodes) -> None:
    def react(event: Event) -> Iterable[Effect]:
        if isinstance(event, Asked) and event.call == "later":
            yield SetTimer(f"{event.token}", 0)
        elif isinstance(event, Fired):
            yield Answer(int(event.timer), "late")

    node = nodes.make(Scripted(react))
    assert await node.ask("later") == "late"
    waiting = asyncio.ensure_future(node.ask("never"))
    await asyncio.sleep(0.01)
    nodes.end(node)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(RefusedError, match="stopping"):
        await node.ask("later")


async def test_peers_process_timers_are_set_replaced_and_taken_back(nodes: Nodes) -> None:
    core = Scripted()

    def react(event: Event) -> Iterable[Effect]:
        now_ms = core.times[-1]
        if isinstance(event, Started):
            yield SetTimer("replaced", now_ms + 20)
            yield SetTimer("replaced", now_ms + 60)
            yield SetTimer("gone", now_ms + 10)
            yield SetTimer("gone", None)
            yield SetTimer("past", now_ms - 1000)

    core.react = react
    nodes.make(core)
    await until(lambda: len(core.of(Fired)) == 2)
    await asyncio.sleep(0.05)
    assert [event.timer for event in core.of(Fired)] == ["past", "replaced"]
    assert core.times[-1] - core.times[0] >= 60
    assert core.times == sorted(core.times)


async def test_peers_process_nothing_leaves_before_the_write_is_on_disk(nodes: Nodes) -> None:
    """A batch that cannot be written ends the node, and what stood behind it was never said."""

    def react(event: Event) -> Iterable[Effect]:
        if isinstance(event, Asked):
            yield Broadcast("item", b"before")
            yield Write(puts=(("t", b"k", b"v"),))
            yield Broadcast("item", b"after")
            yield Answer(event.token, "after")

    listener = Scripted()
    first = nodes.make(listener)
    node = nodes.make(Scripted(react), peers=(first,))
    await until(lambda: listener.of(Connected))

    def broken(puts: Any = (), deletes: Any = ()) -> None:
        raise StoreFailedError("disk full")

    node._store.write = broken  # type: ignore[method-assign]
    with pytest.raises(asyncio.CancelledError):
        await asyncio.ensure_future(node.ask("x"))
    assert node.failed and node.stopped.is_set()
    await until(lambda: len(listener.of(Received)) == 1)
    await asyncio.sleep(0.1)
    assert [event.payload for event in listener.of(Received)] == [b"before"]


async def test_peers_process_core_that_breaks_ends_the_node_and_its_sender_is_banned(
    nodes: Nodes, caplog: pytest.LogCaptureFixture
) -> None:
    def break_it(event: Event) -> Iterable[Effect]:
        if isinstance(event, Received):
            raise ZeroDivisionError
        return ()

    node = nodes.make(Scripted(break_it))
    sender = nodes.make(
        Scripted(lambda event: [Broadcast("item", b"x")] if isinstance(event, Connected) else []), peers=(node,)
    )
    await until(node.stopped.is_set)
    assert node.failed and "the node's core broke" in caplog.text
    nodes.end(node)
    again = nodes.make(Scripted(), number=1)
    assert [name for name, _ in again.hub.scores.bans()] == [f"key:{sender.node_key.hex()}"]
    assert again.lift_ban(f"key:{sender.node_key.hex()}")
    nodes.end(again)
    assert list(nodes.make(Scripted(), number=1).hub.scores.bans()) == []


async def test_peers_process_dials_again_after_a_drop(nodes: Nodes) -> None:
    core = Scripted(lambda event: [Drop(event.peer, "go")] if isinstance(event, Connected) else [])
    first = nodes.make(core)
    nodes.make(Scripted(), peers=(first,))
    await until(lambda: len(core.of(Connected)) >= 2)


async def test_peers_process_notices_its_own_address(nodes: Nodes) -> None:
    core = Scripted()
    node = nodes.make(core)
    node.sockets.dial(f"127.0.0.1:{node.port}")
    await until(lambda: not node.hub.peers and not node.sockets._dialled)
    assert core.of(Connected) == []
    assert node.sockets.dialler.due(node.now_ms(), (), 0) == []


async def test_peers_process_notes_are_lines_of_log(nodes: Nodes, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "parapool.node"):
        nodes.make(Scripted(lambda event: [Note(logging.INFO, "begun", {"height": 3, "tip": "ab"})]))
    assert "begun height=3 tip=ab" in caplog.text


async def test_peers_process_port_in_use_is_said(nodes: Nodes) -> None:
    first = nodes.make(Scripted())
    store = Store(nodes.folder / "other", b"identity")
    node = NodeProcess(Scripted(), store, b"\x09" * 32, ProcessSettings(port=first.port), nodes.reactor)
    with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{first.port}"):
        node.start()
    node.stop()
    store.close()


async def test_peers_process_error_of_ours_costs_one_connection(
    nodes: Nodes, caplog: pytest.LogCaptureFixture
) -> None:
    core = Scripted()
    node = nodes.make(core)
    other = nodes.make(Scripted(), peers=(node,))
    await until(lambda: core.of(Connected))
    received = node.hub.received

    def broken(peer: Any, data: bytes) -> None:
        raise ZeroDivisionError

    node.hub.received = broken  # type: ignore[method-assign]
    other.hub.broadcast("item", b"x")
    await until(lambda: core.of(Disconnected))
    assert "connection dropped by an error of ours address=127.0.0.1" in caplog.text
    node.hub.received = received  # type: ignore[method-assign]
    await until(lambda: len(core.of(Connected)) == 2)
    assert not node.failed
