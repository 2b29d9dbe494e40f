from __future__ import annotations

import random

import pytest
from support.memory_wires import Wires

from chains.peers.core import Connected, Disconnected, MessageType, PeerId, Received
from chains.peers.frames import frame
from chains.peers.hub import Hub, PeerLimits
from chains.peers.scores import key_name
from chains.peers.session import Kind

MESSAGES = (MessageType("small", "", 100, 100, 100), MessageType("large", "", 3_000_000, 100, 100))
LARGE = random.Random(3).randbytes(1_000_000)


@pytest.fixture
def wires() -> Wires:
    return Wires()


def two(wires: Wires) -> tuple[Hub, Hub]:
    return wires.hub(MESSAGES), wires.hub(MESSAGES)


def test_peers_hub_tells_connected_messages_and_the_end_in_order(wires: Wires) -> None:
    a, b = two(wires)
    wire, _ = wires.join(a, b)
    wires.run()
    b.broadcast("small", b"hello")
    wires.run()
    wire.close()
    wires.run()
    connected, received, disconnected = wires.told[0]
    assert isinstance(connected, Connected) and not connected.hello.inbound
    assert (received, disconnected) == (Received(connected.peer, "small", b"hello"), Disconnected(connected.peer))
    assert wires.told[1][0].hello.inbound and isinstance(wires.told[1][-1], Disconnected)
    assert a.peers == b.peers == {}


def test_peers_hub_large_messages_travel_in_chunks_and_once(wires: Wires) -> None:
    a, b = two(wires)
    c = wires.hub(MESSAGES)
    wires.join(a, c)
    wires.join(b, c)
    wires.run()
    a.broadcast("large", LARGE)
    b.broadcast("large", LARGE)
    wires.run()
    received = [event for event in wires.told[2] if isinstance(event, Received)]
    assert [(event.peer, event.payload == LARGE) for event in received] == [(PeerId(1), True), (PeerId(2), True)]
    assert sum(peer.received for peer in c.peers.values()) < 1.1 * len(LARGE)


def test_peers_hub_large_message_comes_from_another_when_one_leaves(wires: Wires) -> None:
    a, b = two(wires)
    c = wires.hub(MESSAGES)
    first, _ = wires.join(a, c)
    wires.join(b, c)
    wires.run()
    a.broadcast("large", LARGE)
    b.broadcast("large", LARGE)
    for _ in range(12):
        wire, data = wires.queue.pop(0)
        wire.hub.received(wire.peer, data)
    first.close()
    wires.run()
    received = [event for event in wires.told[2] if isinstance(event, Received)]
    assert [(event.peer, event.payload == LARGE) for event in received] == [(PeerId(2), True)]


def test_peers_hub_of_two_connections_with_one_node_both_sides_keep_the_same(wires: Wires) -> None:
    for order in ("ab", "ba"):
        wires = Wires()
        a, b = two(wires)
        for dialler in order:
            wires.join(*((a, b) if dialler == "a" else (b, a)))
        wires.run()
        ends = [[(peer.id, peer.inbound) for peer in hub.peers.values() if peer.told] for hub in (a, b)]
        assert [len(end) for end in ends] == [1, 1]
        assert ends[0][0][1] != ends[1][0][1]  # the two ends of one connection
        b.broadcast("small", b"x")
        wires.run()
        assert [event.payload for event in wires.told[0] if isinstance(event, Received)] == [b"x"]


def test_peers_hub_connection_that_only_one_side_believes_in_gives_way(wires: Wires) -> None:
    a, b = two(wires)
    smaller, larger = (a, b) if a._key < b._key else (b, a)
    old = wires.join(smaller, larger)
    wires.run()
    for wire in old:
        wire.deaf = True  # the line is dead, and neither end has noticed; then the larger one restarts
    wires.run()
    larger.left(old[1].peer)
    wires.join(larger, smaller)
    wires.run()
    assert [peer.told for peer in larger.peers.values()] == []  # for now
    wires.pass_ms(12_000)
    wires.join(larger, smaller)
    wires.run()
    assert [peer.told for peer in larger.peers.values()] == [True]
    assert [peer.told for peer in smaller.peers.values() if peer.session.closed is None] == [True]


def test_peers_hub_same_dialler_again_replaces_its_former_connection(wires: Wires) -> None:
    a, b = two(wires)
    wires.join(a, b)
    wires.run()
    wires.join(a, b)
    wires.run()
    assert len(a.peers) == len(b.peers) == 1
    kinds = [type(event).__name__ for event in wires.told[1]]
    assert sorted(kinds) == ["Connected", "Connected", "Disconnected"]


def test_peers_hub_ban_drops_and_keeps_out_key_and_address(wires: Wires) -> None:
    a, b = two(wires)
    wires.join(a, b)
    wires.run()
    kept: list[list[str]] = []
    b.on_ban = lambda names, until_ms: kept.append(names)
    (peer,) = b.peers
    b.score(peer, 60, "bad")
    assert b.peers
    b.score(peer, 60, "worse")
    wires.run()
    assert not b.peers and isinstance(wires.told[1][-1], Disconnected)
    assert kept == [[key_name(a._key), "ip:192.0.2.1"]]
    assert b.admits("192.0.2.1") == "banned" and b.admits("192.0.2.2") is None
    wires.join(a, b, host="192.0.2.2")
    wires.run()
    assert not b.peers and not isinstance(wires.told[1][-1], Connected)
    wires.now_ms += b.limits.ban_ms
    wires.join(a, b)
    wires.run()
    assert isinstance(wires.told[1][-1], Connected)


def test_peers_hub_exempt_loopback_is_banned_by_key_only(wires: Wires) -> None:
    a, b = two(wires)
    c = wires.hub(MESSAGES)
    wires.join(a, b, host="127.0.0.1")
    wires.join(c, b, host="127.0.0.1")
    wires.run()
    b.score(next(iter(b.peers)), 100, "bad")
    wires.run()
    assert [peer.key for peer in b.peers.values()] == [c._key]
    assert b.admits("127.0.0.1") is None


def test_peers_hub_garbage_is_scored_by_address(wires: Wires) -> None:
    a, b = two(wires)
    for _ in range(2):
        _, end = wires.join(a, b)
        b.received(end.peer, b"\xff" * 100)
        wires.run()
    assert b.admits("192.0.2.1") == "banned"


def test_peers_hub_inbound_is_limited_in_all_ways() -> None:
    wires = Wires(PeerLimits(inbound=3, inbound_per_address=2, unproven=2, exempt_loopback=False))
    a, b = two(wires)
    wires.join(a, b, host="192.0.2.1")
    wires.join(a, b, host="192.0.2.2")
    assert b.admits("192.0.2.3") == "full"  # two whose hello is awaited
    wires.pass_ms(11_000)
    wires = Wires(PeerLimits(inbound=3, inbound_per_address=2, unproven=5))
    b = wires.hub(MESSAGES)
    for number, host in enumerate(("192.0.2.1", "192.0.2.1", "192.0.2.2")):
        if number == 2:
            assert b.admits("192.0.2.1") == "too many from this address" and b.admits("192.0.2.2") is None
        wires.join(wires.hub(MESSAGES), b, host=host)
        wires.run()
    assert b.admits("192.0.2.4") == "full"


def test_peers_hub_unproven_connections_end(wires: Wires) -> None:
    a, b = two(wires)
    _, end = wires.join(a, b)
    wires.queue.clear()
    end.deaf = True
    wires.pass_ms(11_000)
    assert not b.peers and wires.told[1] == []


def test_peers_hub_fetch_of_what_is_not_there_is_answered(wires: Wires) -> None:
    a, b = two(wires)
    wires.join(a, b)
    wires.run()
    (peer,) = a.peers.values()
    a.bodies.lost = lambda *arguments: []  # type: ignore[method-assign]
    peer.session.send_fetch(b"?" * 32, 0)
    seen: list[bytes] = []
    a.bodies.gone = lambda peer, body, now_ms: seen.append(body) or []  # type: ignore[method-assign]
    a._flush(peer)
    wires.run()
    assert seen == [b"?" * 32]


def test_peers_hub_what_comes_behind_the_fatal_message_is_not_told(wires: Wires) -> None:
    a, b = two(wires)
    _, end = wires.join(a, b)
    wires.run()
    number = 16
    b.received(end.peer, frame(number, b"1") + frame(Kind.HELLO, b"") + frame(number, b"2"))
    assert [event.payload for event in wires.told[1] if isinstance(event, Received)] == [b"1"]


def test_peers_hub_too_large_is_not_sent(wires: Wires, caplog: pytest.LogCaptureFixture) -> None:
    a, b = two(wires)
    wires.join(a, b)
    wires.run()
    a.broadcast("small", bytes(101))
    wires.run()
    assert not any(isinstance(event, Received) for event in wires.told[1])
    assert "a message is too large to be sent type=small bytes=101" in caplog.text


def test_peers_hub_stopping_says_so(wires: Wires) -> None:
    a, b = two(wires)
    wires.join(a, b)
    wires.run()
    a.stop()
    (peer,) = b.peers.values()
    wires.run()
    assert peer.session.closed == "peer says: stopping" and a.admits("192.0.2.7") == "stopping"


def test_peers_hub_relays_at_the_pace_that_others_allow(wires: Wires) -> None:
    a, b = two(wires)
    wires.join(a, b)
    wires.run()
    backlog: list[bool] = []
    a.on_backlog = lambda: backlog.append(True)
    for number in range(300):
        a.broadcast("small", b"%d" % number)
    wires.run()
    assert backlog and len(wires.told[1]) == 1 + 50
    for _ in range(40):
        wires.now_ms += 100
        a.drain()
        wires.run()
    assert [event.payload for event in wires.told[1][1:]] == [b"%d" % number for number in range(300)]
    assert all(peer.session.over_rate == 0 for peer in b.peers.values())
