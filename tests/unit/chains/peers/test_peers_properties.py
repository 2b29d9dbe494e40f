"""Whatever strangers send in whatever order: nothing raises, memory stays bounded, honest peers are served."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from chains.peers.bodies import CHUNK_BYTES, Ask, Bodies, BodyOffer, Deliver, Step, offer_of
from chains.peers.core import MessageType, PeerId
from chains.peers.frames import frame
from chains.peers.hello import Hello, Role, node_key_of
from chains.peers.session import Offence, Over, Proven, Session

MESSAGES = (MessageType("a", "", 50, 10, 20), MessageType("b", "", 300_000, 10, 20))
ALICE, BOB = b"\x01" * 32, b"\x02" * 32


def proven_session() -> Session:
    sessions = []
    for secret, role in ((ALICE, Role.DIALLED), (BOB, Role.LISTENED)):
        hello = Hello(b"N" * 32, b"G" * 32, node_key_of(secret), secret, tuple(m.name for m in MESSAGES))
        sessions.append(Session(hello, secret, MESSAGES, role, 0))
    alice, bob = sessions
    events = []
    for _ in range(2):
        bob.receive(alice.take(), 0)
        events += alice.receive(bob.take(), 0)
    assert any(isinstance(event, Proven) for event in events)
    return alice


KINDS = st.one_of(st.integers(0, 20), st.integers(0, 255))
FRAMES = st.lists(st.tuples(KINDS, st.binary(max_size=80)), max_size=30)


@settings(max_examples=300, deadline=None)
@given(FRAMES, st.integers(0, 100), st.binary(max_size=20))
def test_peers_properties_no_frame_after_the_proof_raises(
    frames: list[tuple[int, bytes]], step_ms: int, rest: bytes
) -> None:
    session = proven_session()
    now_ms = 0
    for kind, payload in frames:
        now_ms += step_ms
        events = session.receive(frame(kind, payload), now_ms)
        if session.closed is not None:
            assert isinstance(events[-1], Over) if events else True
            break
        assert not any(isinstance(event, Over) for event in events)
    session.receive(rest, now_ms)
    session.due(now_ms + 1_000_000)
    assert session.closed is not None
    assert len(session.take()) < 10_000


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=10))
def test_peers_properties_no_bytes_before_the_proof_raise(pieces: list[bytes]) -> None:
    hello = Hello(b"N" * 32, b"G" * 32, node_key_of(ALICE), ALICE, ("a", "b"))
    session = Session(hello, ALICE, MESSAGES, Role.LISTENED, 0)
    events = [event for piece in pieces for event in session.receive(piece, 0)]
    assert not any(isinstance(event, Proven) for event in events)
    assert sum(isinstance(event, Offence) for event in events) <= 1


class Crowd:
    """Peers that offer bodies; some lie, some stall, one is honest and has them all."""

    HONEST = PeerId(0)

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.bodies = Bodies(memory_bytes=12 * CHUNK_BYTES)
        self.payloads = [self.chance.randbytes(self.chance.randint(1, 5 * CHUNK_BYTES)) for _ in range(6)]
        self.offers = [offer_of("b", payload) for payload in self.payloads]
        self.there = {PeerId(number) for number in range(5)}
        self.asks: list[Ask] = []
        self.delivered: dict[PeerId, list[bytes]] = {}
        self.blamed: set[PeerId] = set()
        self.now_ms = 0

    def take(self, steps: list[Step]) -> None:
        for step in steps:
            if isinstance(step, Ask):
                self.asks.append(step)
            elif isinstance(step, Deliver):
                self.delivered.setdefault(step.peer, []).append(step.payload)
            else:
                self.blamed.add(step.peer)
        held = sum(len(f.chunks) * CHUNK_BYTES for f in self.bodies._fetching.values())
        assert held <= 12 * CHUNK_BYTES + 5 * CHUNK_BYTES and self.bodies._kept_bytes <= 12 * CHUNK_BYTES

    def act(self) -> None:
        self.now_ms += self.chance.randint(0, 3000)
        what = self.chance.randrange(6)
        peer = PeerId(self.chance.randrange(1, 5))
        offer = self.chance.choice(self.offers)
        if what == 0 and peer in self.there:
            self.take(self.bodies.offered(peer, offer, self.now_ms))
        elif what == 1 and peer in self.there:
            lie = BodyOffer("b", offer.size, tuple(self.chance.randbytes(32) for _ in offer.hashes))
            self.take(self.bodies.offered(peer, lie, self.now_ms))
        elif what == 2:
            self.take(self.bodies.came(peer, offer.body, self.chance.randrange(7), b"wrong", self.now_ms))
        elif what == 3:
            self.there.discard(peer)
            self.take(self.bodies.lost(peer, self.now_ms))
            self.there.add(peer)
        elif what == 4:
            self.take(self.bodies.gone(peer, offer.body, self.now_ms))
        else:
            self.take(self.bodies.due(self.now_ms))

    def answer(self) -> None:
        """The honest one answers; of the others half do."""
        for ask in self.asks[:]:
            self.asks.remove(ask)
            known = next((o for o in self.offers if o.body == ask.body), None)
            if known is None or (ask.peer != self.HONEST and self.chance.random() < 0.5):
                continue
            payload = self.payloads[self.offers.index(known)]
            data = payload[ask.number * CHUNK_BYTES : (ask.number + 1) * CHUNK_BYTES]
            self.take(self.bodies.came(ask.peer, ask.body, ask.number, data, self.now_ms))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_peers_properties_bodies_arrive_from_the_honest_one_whatever_the_others_do(seed: int) -> None:
    crowd = Crowd(seed)
    for number in range(60):
        crowd.act()
        if number == 20:
            for offer in crowd.offers:
                crowd.take(crowd.bodies.offered(crowd.HONEST, offer, crowd.now_ms))
        crowd.answer()
    for _ in range(60):  # the others have had their say; stalls pass by
        crowd.now_ms += 10_000
        crowd.take(crowd.bodies.due(crowd.now_ms))
        for _ in range(6):
            crowd.answer()
    assert sorted(crowd.delivered[crowd.HONEST]) == sorted(crowd.payloads)
    assert crowd.HONEST not in crowd.blamed
    assert all(payload in crowd.payloads for found in crowd.delivered.values() for payload in found)
