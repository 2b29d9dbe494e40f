from __future__ import annotations

import random

from support.gossip import GossipCore

from chains.peers.core import Note, Write
from chains.peers.virtual import OVER_RATE_POINTS, VirtualNetwork


def network_of(count: int, **options: object) -> VirtualNetwork:
    network = VirtualNetwork(seed=7, **options)  # type: ignore[arg-type]
    for key in range(count):
        network.add(lambda key=key: GossipCore(random.Random(key)))
    network.connect_all()
    return network


def agree(network: VirtualNetwork, items: int) -> bool:
    return all(node.alive and len(node.core.items) == items for node in network.nodes)


def test_peers_virtual_five_nodes_agree_under_loss_partition_and_crashes() -> None:
    network = network_of(5, loss=0.2)
    for number in range(5):
        assert network.ask(number, "add", f"item {number}").value is not None
    network.run_until(lambda: agree(network, 5))
    network.partition([[0, 1], [2, 3, 4]])
    network.ask(0, "add", "left")
    network.ask(4, "add", "right")
    network.run_for(30_000)
    assert [len(node.core.items) for node in network.nodes] == [6] * 5
    assert not agree(network, 7)
    network.crash(3)
    assert not network.nodes[3].alive
    network.heal()
    network.run_for(5_000)
    network.restart(3)
    assert len(network.nodes[3].core.items) == 6  # what it had written before anybody told it more
    network.run_until(lambda: agree(network, 7))


def test_peers_virtual_same_seed_same_run() -> None:
    runs = []
    for _ in range(2):
        network = network_of(4, loss=0.3)
        network.ask(0, "add", "x")
        network.run_for(20_000)
        runs.append((network.delivered, [node.told for node in network.nodes], network.random.random()))
    assert runs[0] == runs[1]


def test_peers_virtual_crash_between_two_effects_keeps_the_write_and_sends_nothing() -> None:
    network = network_of(2)
    network.run_for(1_000)
    network.crash(0, after_effects=1)
    reply = network.ask(0, "add", "x")  # Write, then the crash: neither broadcast nor answer
    assert not network.nodes[0].alive and not reply.done
    network.run_for(5_000)
    assert network.nodes[1].core.items == {}
    network.restart(0)
    assert len(network.nodes[0].core.items) == 1
    network.run_until(lambda: agree(network, 1))


def test_peers_virtual_refusal_reaches_the_caller() -> None:
    network = network_of(1)
    reply = network.ask(0, "add", "")
    assert (reply.done, reply.code, reply.reason) == (True, -8, "an empty item")


def test_peers_virtual_offender_is_banned_by_key() -> None:
    network = network_of(2)
    stranger = network.stranger(0, b"\xee" * 32)
    network.run_for(1_000)
    stranger.send("item", b"evil 1")
    network.run_for(1_000)
    assert stranger.closed and network.nodes[0].offences[0].reason == "evil item"
    assert network.stranger(0, b"\xee" * 32).closed
    assert not network.stranger(0, b"\xef" * 32).closed
    assert not network.stranger(1, b"\xee" * 32).closed


def test_peers_virtual_flood_is_dropped_and_scored_until_the_ban() -> None:
    network = network_of(1, latency_ms=(1, 1))
    stranger = network.stranger(0, b"\xee" * 32)
    burst = GossipCore.messages[2].burst
    for number in range(burst + 100 // OVER_RATE_POINTS - 1):
        stranger.send("item", b"%d" % number)
    network.run_for(1)
    assert len(network.nodes[0].core.items) == burst and not stranger.closed
    for number in range(100):
        stranger.send("item", b"too many %d" % number)
    network.run_for(1)
    assert stranger.closed and network.nodes[0].over_rate == 100 // OVER_RATE_POINTS


def test_peers_virtual_oversize_is_scored_and_unknown_ignored() -> None:
    network = network_of(1)
    stranger = network.stranger(0, b"\xee" * 32)
    stranger.send("what", b"")
    stranger.send("joke", bytes(101))
    network.run_for(1_000)
    assert not stranger.closed
    stranger.send("joke", bytes(101))
    network.run_for(1_000)
    assert stranger.closed


def test_peers_virtual_timers_are_replaced_and_taken_back() -> None:
    from chains.peers.core import Fired, SetTimer, Started

    fired: list[tuple[int, str]] = []

    class Timers(GossipCore):
        def on(self, now_ms, event):  # type: ignore[no-untyped-def]
            if isinstance(event, Started):
                yield SetTimer("moved", now_ms + 10)
                yield SetTimer("moved", now_ms + 20)
                yield SetTimer("gone", now_ms + 5)
                yield SetTimer("gone", None)
                yield SetTimer("past", now_ms - 5)
                yield Note(20, "begun")
                yield Write(puts=(("t", b"b", b"1"), ("t", b"a", b"2"), ("t", b"b", b"3")), deletes=(("t", b"x"),))
            elif isinstance(event, Fired):
                fired.append((now_ms, event.timer))

    network = VirtualNetwork(seed=1, start_ms=1000)
    node = network.add(lambda: Timers(random.Random(0)))
    network.run_for(100)
    assert fired == [(1000, "past"), (1020, "moved")]
    assert node.records() == {"t": [(b"b", b"3"), (b"a", b"2")]}
    assert node.notes[0].event == "begun"
