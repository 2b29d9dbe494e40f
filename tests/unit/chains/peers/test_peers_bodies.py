from __future__ import annotations

import random

import pytest

from chains.peers import bodies as module
from chains.peers.bodies import (
    CHUNK_BYTES,
    KEPT_MS,
    LIE_POINTS,
    MAX_ACTIVE,
    MAX_OFFERS,
    STALLED_MS,
    TURN_MS,
    WINDOW,
    Ask,
    Blame,
    Bodies,
    BodyOffer,
    Deliver,
    decode_offer,
    offer_of,
)
from chains.peers.core import PeerId

A, B, C = PeerId(1), PeerId(2), PeerId(3)


def payload_of(chunks: float, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(int(chunks * CHUNK_BYTES))


def serve(sender: Bodies, receiver: Bodies, steps: list[module.Step], now_ms: int = 0, limit: int = 10_000) -> list:
    """Answer every request; what is left over."""
    left: list[module.Step] = []
    queue = list(steps)
    while queue and limit:
        step = queue.pop(0)
        if isinstance(step, Ask):
            limit -= 1
            data = sender.chunk(step.body, step.number)
            assert data is not None
            queue += receiver.came(step.peer, step.body, step.number, data, now_ms)
        else:
            left.append(step)
    return left


def test_peers_bodies_offer_on_the_wire() -> None:
    offer = offer_of("block", payload_of(2.5))
    assert len(offer.hashes) == 3 and offer.size == 2.5 * CHUNK_BYTES
    assert decode_offer("block", offer.encode()) == offer
    for data in (b"", bytes(4), offer.encode()[:-1], offer.encode()[:-32], offer.encode() + bytes(32), b"\xff" * 36):
        with pytest.raises(ValueError):
            decode_offer("block", data)


def test_peers_bodies_arrive_whole_from_everyone_who_offered() -> None:
    payload = payload_of(9.3)
    sender, receiver = Bodies(), Bodies()
    offer = sender.keep("block", payload)
    first = receiver.offered(A, offer, 0)
    assert first == [Ask(A, offer.body, number) for number in range(WINDOW)]
    assert receiver.offered(B, offer, 0) == []
    assert serve(sender, receiver, first) == [Deliver(A, "block", payload), Deliver(B, "block", payload)]
    assert receiver.under_way_bytes() == 0
    assert receiver.offered(C, offer, 0) == [Deliver(C, "block", payload)]  # and may be handed on
    assert receiver.chunk(offer.body, 9) == payload[9 * CHUNK_BYTES :] and receiver.chunk(offer.body, 10) is None


def test_peers_bodies_another_source_goes_on_where_the_first_stopped() -> None:
    payload = payload_of(8)
    sender, receiver = Bodies(), Bodies()
    offer = sender.keep("block", payload)
    steps = receiver.offered(A, offer, 0)
    receiver.offered(B, offer, 0)
    for number in (0, 1, 2):
        receiver.came(A, offer.body, number, sender.chunk(offer.body, number) or b"", 0)
    assert len(steps) == WINDOW
    steps = receiver.lost(A, 0)
    assert steps == [Ask(B, offer.body, number) for number in (3, 4, 5, 6)]
    assert serve(sender, receiver, steps) == [Deliver(B, "block", payload)]


def test_peers_bodies_chunks_wait_for_another_offer_and_then_are_forgotten() -> None:
    payload = payload_of(6)
    sender, receiver = Bodies(), Bodies()
    offer = sender.keep("block", payload)
    receiver.offered(A, offer, 0)
    receiver.came(A, offer.body, 0, sender.chunk(offer.body, 0) or b"", 0)
    assert receiver.lost(A, 0) == []
    receiver.due(KEPT_MS - 1)
    assert receiver.offered(B, offer, KEPT_MS - 1)[0] == Ask(B, offer.body, 1)
    receiver.lost(B, KEPT_MS)
    receiver.due(3 * KEPT_MS)
    assert receiver.under_way_bytes() == 0


def test_peers_bodies_liar_is_blamed_and_passed_over() -> None:
    payload = payload_of(3)
    sender, receiver = Bodies(), Bodies()
    offer = sender.keep("block", payload)
    receiver.offered(A, offer, 0)
    receiver.offered(B, offer, 0)
    steps = receiver.came(A, offer.body, 1, bytes(CHUNK_BYTES), 0)
    assert steps[0] == Blame(A, LIE_POINTS, "a chunk that is not what its hash says")
    assert serve(sender, receiver, steps[1:]) == [Deliver(B, "block", payload)]


def test_peers_bodies_chunks_of_wrong_lengths_are_a_lie_of_the_offer() -> None:
    import hashlib

    receiver = Bodies()
    offer = BodyOffer("block", CHUNK_BYTES, (hashlib.sha256(b"short").digest(),))
    receiver.offered(A, offer, 0)
    assert receiver.came(A, offer.body, 0, b"short", 0) == [Blame(A, LIE_POINTS, "an offer of chunks of wrong lengths")]
    assert receiver.under_way_bytes() == 0


def test_peers_bodies_who_does_not_deliver_is_blamed_and_replaced() -> None:
    payload = payload_of(2)
    sender, receiver = Bodies(), Bodies()
    offer = sender.keep("block", payload)
    receiver.offered(A, offer, 0)
    receiver.offered(B, offer, 10)
    assert all(isinstance(step, Ask) and step.peer == A for step in receiver.due(STALLED_MS - 1))
    blame, *asks = receiver.due(STALLED_MS)
    assert isinstance(blame, Blame) and blame.peer == A
    assert serve(sender, receiver, asks) == [Deliver(B, "block", payload)]


def test_peers_bodies_lost_chunks_are_asked_for_again() -> None:
    chance = random.Random(5)
    payload = payload_of(20)
    sender, receiver = Bodies(), Bodies()
    offer = sender.keep("block", payload)
    asks = receiver.offered(A, offer, 0)
    delivered: list[module.Step] = []
    for now_ms in range(0, 60_000, 1000):
        steps, asks = asks, []
        for step in steps:
            assert not isinstance(step, Blame)
            if isinstance(step, Deliver):
                delivered.append(step)
            elif chance.random() > 0.36:  # question and answer each survive with four fifths
                data = sender.chunk(step.body, step.number) or b""
                asks += receiver.came(A, step.body, step.number, data, now_ms)
        asks += receiver.due(now_ms)
    assert delivered == [Deliver(A, "block", payload)]


def test_peers_bodies_slow_source_has_its_turn_and_no_more() -> None:
    payload = payload_of(30)
    sender, receiver = Bodies(), Bodies()
    offer = sender.keep("block", payload)
    receiver.offered(A, offer, 0)
    receiver.offered(B, offer, 0)
    steps: list[module.Step] = []
    for turn in range(4):
        now_ms = (turn + 1) * TURN_MS // 4
        receiver.came(A, offer.body, turn, sender.chunk(offer.body, turn) or b"", now_ms)
        steps = receiver.due(now_ms)
    assert steps == [Ask(B, offer.body, number) for number in (4, 5, 6, 7)]
    late = receiver.came(A, offer.body, 4, sender.chunk(offer.body, 4) or b"", TURN_MS)
    assert late == [Ask(B, offer.body, 8)]  # welcome all the same
    assert serve(sender, receiver, steps + late) == [Deliver(B, "block", payload), Deliver(A, "block", payload)]


def test_peers_bodies_gone() -> None:
    payload = payload_of(2)
    sender, receiver = Bodies(), Bodies()
    offer = sender.keep("block", payload)
    receiver.offered(A, offer, 0)
    receiver.offered(B, offer, 0)
    assert receiver.gone(C, offer.body, 0) == []
    assert serve(sender, receiver, receiver.gone(A, offer.body, 0)) == [Deliver(B, "block", payload)]


def test_peers_bodies_memory_is_bounded() -> None:
    sender, receiver = Bodies(), Bodies(memory_bytes=10 * CHUNK_BYTES)
    offers = [sender.keep("block", payload_of(4, seed)) for seed in range(6)]
    steps = [step for peer, offer in enumerate(offers) for step in receiver.offered(PeerId(peer), offer, 0)]
    assert receiver.under_way_bytes() == 8 * CHUNK_BYTES
    assert len(serve(sender, receiver, steps)) == 6  # the others follow when there is room
    assert receiver._kept_bytes <= 10 * CHUNK_BYTES
    assert receiver.chunk(offers[0].body, 0) is None and receiver.chunk(offers[5].body, 0) is not None


def test_peers_bodies_left_over_chunks_make_room() -> None:
    sender, receiver = Bodies(), Bodies(memory_bytes=5 * CHUNK_BYTES)
    first, second = sender.keep("block", payload_of(4, 1)), sender.keep("block", payload_of(4, 2))
    receiver.offered(A, first, 0)
    receiver.came(A, first.body, 0, sender.chunk(first.body, 0) or b"", 0)
    receiver.lost(A, 0)
    assert [step.peer for step in receiver.offered(B, second, 0) if isinstance(step, Ask)] == [B] * WINDOW


def test_peers_bodies_one_peer_cannot_hold_up_the_others() -> None:
    sender, receiver = Bodies(), Bodies()
    offers = [sender.keep("block", payload_of(1, seed)) for seed in range(MAX_OFFERS + 1)]
    steps = [step for offer in offers for step in receiver.offered(A, offer, 0)]
    assert isinstance(steps.pop(), Blame)
    assert len(steps) == MAX_ACTIVE
    assert receiver.offered(B, offers[-1], 0) == [Ask(B, offers[-1].body, 0)]
