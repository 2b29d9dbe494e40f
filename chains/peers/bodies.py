"""Large messages: offered by hash, fetched in chunks, from whoever has them. Pure.

A payload larger than a frame is cut into chunks of 64 KiB. The offer names the SHA-256 of each, so every chunk is
judged as it comes and a liar is known at once; the body's id is the SHA-256 of size and chunk hashes. One body is
fetched once however many offer it: from one of them at a time, from the next when that one is gone, slow or lying,
going on where it stopped. It is then received from everyone who offered it, as a small message would have been.

    offer   u32 size, little-endian | 32 bytes for each chunk (behind the number of the message's type)

Limits: MEMORY_BYTES of bodies under way at a time and as much of bodies to hand out (the oldest are forgotten); a peer
has at most MAX_OFFERS open, and at most MAX_ACTIVE are fetched from it at a time, so that one that offers and does
not deliver holds up nobody else's.
"""

from __future__ import annotations

import hashlib
import struct
from collections import OrderedDict
from dataclasses import dataclass, field

from chains.peers.core import PeerId

CHUNK_BYTES = 64 * 1024
BODY_BYTES = 32 * 2**20  # the largest body
MEMORY_BYTES = 64 * 2**20
MAX_OFFERS = 64
MAX_ACTIVE = 2
WINDOW = 4  # chunks asked for and not yet there
RETRY_MS = 4_000  # without a chunk: ask the same one again
STALLED_MS = 20_000  # without a chunk: ask another one
TURN_MS = 60_000  # then another one who has the body is asked, if there is one
KEPT_MS = 300_000  # what came of a body that nobody offers any more waits so long for another offer

STALL_POINTS = 20
LIE_POINTS = 100
UNASKED_POINTS = 5
TOO_MANY_POINTS = 10

_SIZE = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class BodyOffer:
    """A message of type `name`: its size and the hashes of its chunks."""

    name: str
    size: int
    hashes: tuple[bytes, ...]

    @property
    def body(self) -> bytes:
        return hashlib.sha256(self.encode()).digest()

    def encode(self) -> bytes:
        return _SIZE.pack(self.size) + b"".join(self.hashes)


def decode_offer(name: str, data: bytes) -> BodyOffer:
    """Raises ValueError."""
    if len(data) < 4 or (len(data) - 4) % 32:
        raise ValueError(f"{len(data)} bytes")
    size = _SIZE.unpack_from(data)[0]
    if not 1 <= size <= BODY_BYTES or (len(data) - 4) // 32 != -(-size // CHUNK_BYTES):
        raise ValueError(f"{size} bytes in {(len(data) - 4) // 32} chunks")
    return BodyOffer(name, size, tuple(data[at : at + 32] for at in range(4, len(data), 32)))


def offer_of(name: str, payload: bytes) -> BodyOffer:
    hashes = [hashlib.sha256(payload[at : at + CHUNK_BYTES]).digest() for at in range(0, len(payload), CHUNK_BYTES)]
    return BodyOffer(name, len(payload), tuple(hashes))


# --- what is to be done ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask this peer for a chunk."""

    peer: PeerId
    body: bytes
    number: int


@dataclass(frozen=True, slots=True)
class Deliver:
    """The whole message, as from this peer."""

    peer: PeerId
    name: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Blame:
    peer: PeerId
    points: int
    reason: str


Step = Ask | Deliver | Blame


@dataclass(eq=False, slots=True)
class _Fetching:
    offer: BodyOffer
    body: bytes
    sources: OrderedDict[PeerId, str] = field(default_factory=OrderedDict)  # who offers it, as which type
    source: PeerId | None = None
    asked: set[int] = field(default_factory=set)
    chunks: dict[int, bytes] = field(default_factory=dict)
    progress_ms: int = 0
    turn_ms: int = 0  # when its turn began
    asked_ms: int = 0  # when it was asked last

    def length(self, number: int) -> int:
        return min(CHUNK_BYTES, self.offer.size - number * CHUNK_BYTES)


class Bodies:
    """The bodies of all connections of a node."""

    def __init__(self, memory_bytes: int = MEMORY_BYTES) -> None:
        self._memory_bytes = memory_bytes
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()  # to hand out, the oldest first
        self._kept_bytes = 0
        self._newest: tuple[BodyOffer, bytes] | None = None
        self._fetching: OrderedDict[bytes, _Fetching] = OrderedDict()

    # -- to hand out --------------------------------------------------------------------------------------------------

    def keep(self, name: str, payload: bytes) -> BodyOffer:
        """Hold a body for those to whom it is offered."""
        if self._newest is None or self._newest[0].name != name or self._newest[1] is not payload:
            self._newest = (offer_of(name, payload), payload)  # a broadcast offers the same one to each
        offer = self._newest[0]
        self._keep(offer.body, payload)
        return offer

    def chunk(self, body: bytes, number: int) -> bytes | None:
        """None when it is not (any more) here."""
        payload = self._kept.get(body)
        if payload is None or number * CHUNK_BYTES >= len(payload):
            return None
        self._kept.move_to_end(body)
        return payload[number * CHUNK_BYTES : (number + 1) * CHUNK_BYTES]

    def _keep(self, body: bytes, payload: bytes) -> None:
        if body not in self._kept:
            self._kept_bytes += len(payload)
        self._kept[body] = payload
        self._kept.move_to_end(body)
        while self._kept_bytes > self._memory_bytes:
            self._kept_bytes -= len(self._kept.popitem(last=False)[1])

    # -- to fetch -----------------------------------------------------------------------------------------------------

    def offered(self, peer: PeerId, offer: BodyOffer, now_ms: int) -> list[Step]:
        body = offer.body
        if body in self._kept:
            return [Deliver(peer, offer.name, self._kept[body])]
        fetching = self._fetching.get(body)
        known = fetching is not None and peer in fetching.sources
        if not known and sum(peer in other.sources for other in self._fetching.values()) >= MAX_OFFERS:
            return [Blame(peer, TOO_MANY_POINTS, f"more than {MAX_OFFERS} offers open")]
        if fetching is None:
            fetching = self._fetching[body] = _Fetching(offer, body, progress_ms=now_ms)
        fetching.sources[peer] = offer.name
        return self._go_on(now_ms)

    def came(self, peer: PeerId, body: bytes, number: int, data: bytes, now_ms: int) -> list[Step]:
        """A chunk."""
        fetching = self._fetching.get(body)
        if fetching is None or peer not in fetching.sources:
            return []  # it was finished, or given up, meanwhile
        if number >= len(fetching.offer.hashes):
            return [Blame(peer, UNASKED_POINTS, "a chunk that there is not")]
        if number in fetching.chunks or fetching.source is None:
            return []  # late, after somebody else's turn began
        if hashlib.sha256(data).digest() != fetching.offer.hashes[number]:
            self._forget_source(fetching, peer)
            return [Blame(peer, LIE_POINTS, "a chunk that is not what its hash says"), *self._go_on(now_ms)]
        if len(data) != fetching.length(number):  # nobody who has the body can have offered this
            del self._fetching[body]
            liars = [Blame(who, LIE_POINTS, "an offer of chunks of wrong lengths") for who in fetching.sources]
            return [*liars, *self._go_on(now_ms)]
        fetching.chunks[number] = data
        fetching.asked.discard(number)
        fetching.progress_ms = now_ms
        if len(fetching.chunks) < len(fetching.offer.hashes):
            return self._go_on(now_ms)
        del self._fetching[body]
        payload = b"".join(fetching.chunks[at] for at in range(len(fetching.offer.hashes)))
        self._keep(body, payload)
        steps: list[Step] = [Deliver(who, name, payload) for who, name in fetching.sources.items()]
        return steps + self._go_on(now_ms)

    def gone(self, peer: PeerId, body: bytes, now_ms: int) -> list[Step]:
        """The peer has it no more."""
        fetching = self._fetching.get(body)
        if fetching is not None and peer in fetching.sources:
            self._forget_source(fetching, peer)
        return self._go_on(now_ms)

    def lost(self, peer: PeerId, now_ms: int) -> list[Step]:
        """The connection is over."""
        for fetching in list(self._fetching.values()):
            if peer in fetching.sources:
                self._forget_source(fetching, peer)
        return self._go_on(now_ms)

    def due(self, now_ms: int) -> list[Step]:
        """Look at the clock: who does not deliver is passed over."""
        steps: list[Step] = []
        for fetching in list(self._fetching.values()):
            idle_ms = now_ms - fetching.progress_ms
            if fetching.source is not None and idle_ms >= STALLED_MS:
                steps.append(Blame(fetching.source, STALL_POINTS, "offered a body and did not deliver it"))
                self._forget_source(fetching, fetching.source)
            elif fetching.source is not None and now_ms - fetching.turn_ms >= TURN_MS and len(fetching.sources) > 1:
                fetching.sources.move_to_end(fetching.source)
                fetching.source = None
                fetching.asked.clear()
            elif fetching.source is not None and now_ms - max(fetching.asked_ms, fetching.progress_ms) >= RETRY_MS:
                fetching.asked.clear()
            elif not fetching.sources and idle_ms >= KEPT_MS:
                del self._fetching[fetching.body]
        return steps + self._go_on(now_ms)

    def under_way_bytes(self) -> int:
        return sum(f.offer.size for f in self._fetching.values() if f.source is not None or f.chunks)

    def _forget_source(self, fetching: _Fetching, peer: PeerId) -> None:
        del fetching.sources[peer]
        if fetching.source == peer:
            fetching.source = None
            fetching.asked.clear()
        if not fetching.sources and not fetching.chunks:
            del self._fetching[fetching.body]

    def _go_on(self, now_ms: int) -> list[Step]:
        """Ask for what may be asked for, the oldest body first."""
        asks: list[Step] = []
        active: dict[PeerId, int] = {}
        for fetching in self._fetching.values():
            if fetching.source is not None:
                active[fetching.source] = active.get(fetching.source, 0) + 1
        under_way = self.under_way_bytes()
        for fetching in list(self._fetching.values()):
            if fetching.source is None and fetching.sources:
                more = 0 if fetching.chunks else fetching.offer.size
                free = [peer for peer in fetching.sources if active.get(peer, 0) < MAX_ACTIVE]
                if not free:
                    continue
                if under_way + more > self._memory_bytes:
                    under_way -= self._make_room()
                if under_way and under_way + more > self._memory_bytes:
                    continue
                under_way += more
                fetching.source = free[0]
                fetching.progress_ms = fetching.turn_ms = now_ms
                active[free[0]] = active.get(free[0], 0) + 1
            if fetching.source is not None:
                for number in range(len(fetching.offer.hashes)):
                    if len(fetching.asked) >= WINDOW:
                        break
                    if number not in fetching.chunks and number not in fetching.asked:
                        fetching.asked.add(number)
                        fetching.asked_ms = now_ms
                        asks.append(Ask(fetching.source, fetching.body, number))
        return asks

    def _make_room(self) -> int:
        """Give up what nobody offers any more; how many bytes that frees."""
        left = [fetching for fetching in self._fetching.values() if not fetching.sources]
        for fetching in left:
            del self._fetching[fetching.body]
        return sum(fetching.offer.size for fetching in left)
