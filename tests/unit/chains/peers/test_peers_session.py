from __future__ import annotations

from dataclasses import replace

import pytest

from chains.peers.bodies import CHUNK_BYTES, offer_of
from chains.peers.core import MessageType
from chains.peers.frames import frame
from chains.peers.hello import Hello, Role, node_key_of
from chains.peers.session import (
    FRAME_POINTS,
    HANDSHAKE_MS,
    OVER_RATE_POINTS,
    OVER_SIZE_POINTS,
    PING_AFTER_MS,
    PROBE_MS,
    PROTOCOL_POINTS,
    SILENT_MS,
    Chunk,
    Fetch,
    Gone,
    Kind,
    Message,
    Offence,
    Offered,
    Over,
    Proven,
    Session,
)

MESSAGES = (MessageType("have", "", 1000, 10, 20), MessageType("item", "", 300_000, 10, 20))
MORE = (MessageType("joke", "", 10, 1, 1, required=False), *MESSAGES)
ALICE, BOB = b"\x01" * 32, b"\x02" * 32


def hello_of(secret: bytes, messages: tuple[MessageType, ...] = MESSAGES) -> Hello:
    return Hello(b"N" * 32, b"G" * 32, node_key_of(secret), secret, tuple(m.name for m in messages))


def pair(bobs: tuple[MessageType, ...] = MORE, **changes: object) -> tuple[Session, Session]:
    alice = Session(hello_of(ALICE), ALICE, MESSAGES, Role.DIALLED, 0)
    bob = Session(replace(hello_of(BOB, bobs), **changes), BOB, bobs, Role.LISTENED, 0)  # type: ignore[arg-type]
    return alice, bob


def exchange(alice: Session, bob: Session, now_ms: int = 0) -> tuple[list, list]:
    """Carry bytes until both are silent; what each saw."""
    seen: tuple[list, list] = ([], [])
    while True:
        to_bob, to_alice = alice.take(), bob.take()
        if not to_bob and not to_alice:
            return seen
        seen[1].extend(bob.receive(to_bob, now_ms))
        seen[0].extend(alice.receive(to_alice, now_ms))


def proven(bobs: tuple[MessageType, ...] = MORE) -> tuple[Session, Session]:
    alice, bob = pair(bobs)
    assert exchange(alice, bob) == ([Proven(hello_of(BOB, bobs))], [Proven(hello_of(ALICE))])
    return alice, bob


def test_peers_session_messages_go_by_the_senders_numbers() -> None:
    alice, bob = proven()
    alice.send("item", b"1")
    bob.send("item", b"2")
    bob.send("have", b"3")
    assert exchange(alice, bob) == ([Message("item", b"2"), Message("have", b"3")], [Message("item", b"1")])
    assert bob.speaks("item") and not bob.speaks("joke")


def test_peers_session_optional_type_that_is_unknown_here_is_ignored() -> None:
    alice, bob = proven()
    bob.send("joke", bytes(10))
    bob.send("have", b"x")
    assert exchange(alice, bob)[0] == [Message("have", b"x")]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"network": b"X" * 32}, "another network"),
        ({"genesis": b"X" * 32}, "another genesis"),
        ({"node_key": node_key_of(ALICE)}, "itself"),
        ({"types": ("have",)}, "does not speak item"),
    ],
)
def test_peers_session_refuses_and_says_why(changes: dict[str, object], reason: str) -> None:
    alice, bob = pair(MESSAGES, **changes)
    seen = exchange(alice, bob)
    for events in seen:
        assert isinstance(events[-1], Over)
        assert not any(isinstance(event, Offence | Proven) for event in events)
    assert reason in seen[0][-1].reason


def test_peers_session_proof_of_another_key_is_refused() -> None:
    alice = Session(hello_of(ALICE), ALICE, MESSAGES, Role.DIALLED, 0)
    mallory = Session(hello_of(BOB), b"\x03" * 32, MESSAGES, Role.LISTENED, 0)
    assert exchange(alice, mallory)[0] == [Over("proof does not match the hello")]


def test_peers_session_proof_cannot_be_reflected() -> None:
    alice = Session(hello_of(ALICE), ALICE, MESSAGES, Role.DIALLED, 0)
    events = alice.receive(alice.take(), 0)
    assert events == [Over("connected to itself")]


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 8, frame(3, b"x"), frame(16, b"early"), frame(0, b"no hello")]
)
def test_peers_session_garbage_before_the_hello(data: bytes) -> None:
    alice = Session(hello_of(ALICE), ALICE, MESSAGES, Role.LISTENED, 0)
    events = alice.receive(data, 0)
    assert isinstance(events[-1], Over) and alice.closed
    assert alice.receive(frame(3, b"x"), 0) == []


def test_peers_session_broken_frame_ends_it() -> None:
    alice, bob = proven()
    alice.send("have", b"x")
    data = bytearray(alice.take())
    data[-1] ^= 1
    reason = "checksum does not match"
    assert bob.receive(bytes(data), 0) == [Offence(FRAME_POINTS, reason), Over(reason)]


@pytest.mark.parametrize(
    "data",
    [
        frame(Kind.HELLO, b""), frame(Kind.PING, b"1"), frame(Kind.OFFER, b""), frame(Kind.OFFER, b"\x10xx"),
        frame(Kind.OFFER, b"\x00" + bytes(36)),
        frame(Kind.FETCH, b"1"), frame(Kind.CHUNK, bytes(34)), frame(Kind.GONE, b"1"), frame(16 + 2, b""),
    ],
)  # fmt: skip
def test_peers_session_broken_rules_after_the_proof(data: bytes) -> None:
    _, bob = proven()
    offence, over = bob.receive(data, 0)
    assert isinstance(offence, Offence) and offence.points == PROTOCOL_POINTS and isinstance(over, Over)


def test_peers_session_frame_of_a_later_version_is_ignored() -> None:
    _, bob = proven()
    assert bob.receive(frame(15, b"?"), 0) == []
    assert bob.closed is None


def test_peers_session_what_is_ignored_has_a_rate_too() -> None:
    for data in (frame(15, b"?"), frame(Kind.PONG, b"?"), frame(Kind.PING, bytes(8)), frame(16, b"")):
        alice, bob = proven()
        receiver = alice if data[8] == 16 else bob  # a joke, which alice does not know
        assert receiver.receive(data * 100, 0) == []
        events = receiver.receive(data * 3, 0)
        assert [type(event) for event in events] == [Offence] * 3 and receiver.over_rate == 3
        assert events[0].points == OVER_RATE_POINTS and receiver.receive(data, 1000) == []


def test_peers_session_size_and_rate_are_bounded() -> None:
    _, bob = proven()
    assert bob.receive(frame(16, bytes(1001)), 0) == [Offence(OVER_SIZE_POINTS, "have of 1001 bytes, limit 1000")]
    events = bob.receive(frame(16, b"") * 25, 0)
    assert [type(event) for event in events] == [Message] * 20 + [Offence] * 5
    assert events[-1] == Offence(OVER_RATE_POINTS, "too many have") and bob.over_rate == 5
    assert bob.receive(frame(17, b"") + frame(16, b""), 1000) == [Message("item", b""), Message("have", b"")]


def test_peers_session_pieces_of_bodies() -> None:
    alice, bob = proven()
    offer = offer_of("item", bytes(200_000))
    alice.send_offer(offer)
    alice.send_chunk(offer.body, 3, bytes(CHUNK_BYTES))
    alice.send_fetch(offer.body, 2)
    alice.send_gone(offer.body)
    expected = [Offered(offer), Chunk(offer.body, 3, bytes(CHUNK_BYTES)), Fetch(offer.body, 2), Gone(offer.body)]
    assert exchange(alice, bob)[1] == expected
    alice.send_offer(offer_of("item", bytes(300_001)))
    assert exchange(alice, bob)[1] == [Offence(OVER_SIZE_POINTS, "item of 300001 bytes, limit 300000")]


def test_peers_session_handshake_has_a_limit() -> None:
    alice, _ = pair()
    assert alice.due(HANDSHAKE_MS - 1) == []
    assert alice.due(HANDSHAKE_MS) == [Over("no hello in time")]
    assert alice.due(HANDSHAKE_MS) == []


def test_peers_session_silence_is_asked_about_and_then_the_end() -> None:
    alice, bob = proven()
    assert alice.due(PING_AFTER_MS - 1) == [] and alice.take() == b""
    alice.due(PING_AFTER_MS)
    assert exchange(alice, bob, PING_AFTER_MS + 40) == ([], [])
    assert alice.ping_ms == 40
    assert alice.due(SILENT_MS) == []
    alice.take()
    assert alice.due(PING_AFTER_MS + 40 + SILENT_MS) == [Over("silent")]


def test_peers_session_probe() -> None:
    alice, bob = proven()
    alice.probe(1000)
    exchange(alice, bob, 1001)
    assert alice.due(1000 + PROBE_MS) == []
    alice.probe(2000)
    assert alice.due(2000 + PROBE_MS) == [Over("does not answer")]


def test_peers_session_bye_is_printable() -> None:
    alice, bob = proven()
    bob.receive(frame(Kind.BYE, b"line\nbreak\xff" * 50), 0)
    assert bob.closed is not None and bob.closed.isprintable() and len(bob.closed) < 120
    alice, bob = proven()
    alice.close("enough")
    alice.send("have", b"x")
    assert exchange(alice, bob)[1] == [Over("peer says: enough")]
