"""One connection as a value: bytes and the time in, events and bytes out. Pure.

hello and proof both ways, then messages in any order. Silence is answered by a ping, longer silence by the end.
Sockets are in sockets.py, what belongs to several connections (bans, bodies, two connections of one node) in hub.py.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from chains.peers.bodies import CHUNK_BYTES, BodyOffer, decode_offer
from chains.peers.core import MessageType
from chains.peers.frames import BODY_LIMIT_BYTES, HELLO_LIMIT_BYTES, FrameError, FrameReader, frame
from chains.peers.hello import Hello, HelloError, Role, check_hello, check_proof, decode_hello, sign_proof
from chains.peers.rates import PeerRates, TokenBucket

HANDSHAKE_MS = 10_000
PING_AFTER_MS = 30_000
SILENT_MS = 90_000
PROBE_MS = 10_000
INLINE_BYTES = 128 * 1024  # larger payloads travel in chunks
MAX_REASON_BYTES = 100

FRAME_POINTS = 50
PROTOCOL_POINTS = 20
OVER_SIZE_POINTS = 50
OVER_RATE_POINTS = 1


class Kind(IntEnum):
    """Types of frames that are the connection's own; a kind's messages begin at FIRST_NAMED."""

    HELLO = 0
    PROOF = 1
    PING = 2
    PONG = 3
    BYE = 4
    OFFER = 5
    FETCH = 6
    CHUNK = 7
    GONE = 8


FIRST_NAMED = 16
PIECE = struct.Struct("<32sH")  # body id and number of the chunk


@dataclass(frozen=True, slots=True)
class Proven:
    """The peer is who its hello says; messages may flow."""

    hello: Hello


@dataclass(frozen=True, slots=True)
class Message:
    name: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Offered:
    """A large message is there to be fetched."""

    offer: BodyOffer


@dataclass(frozen=True, slots=True)
class Fetch:
    body: bytes
    number: int


@dataclass(frozen=True, slots=True)
class Chunk:
    body: bytes
    number: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Gone:
    body: bytes


@dataclass(frozen=True, slots=True)
class Offence:
    points: int
    reason: str


@dataclass(frozen=True, slots=True)
class Over:
    """The last event: hang up."""

    reason: str


SessionEvent = Proven | Message | Offered | Fetch | Chunk | Gone | Offence | Over


class ProtocolError(Exception):
    """The peer broke a rule of the connection; the message says which."""


class Session:
    """`role` is ours. `messages` are what we understand; the hello's types are their names in this order."""

    def __init__(self, own: Hello, secret: bytes, messages: Sequence[MessageType], role: Role, now_ms: int) -> None:
        self._own = own
        self._own_bytes = own.encode()
        self._secret = secret
        self._types = {message.name: message for message in messages}
        self._role = role
        self._reader = FrameReader(HELLO_LIMIT_BYTES)
        self._out: list[bytes] = [frame(Kind.HELLO, self._own_bytes)]
        self._hello: Hello | None = None
        self._hello_bytes = b""
        self._numbers = {name: FIRST_NAMED + at for at, name in enumerate(own.types)}
        self._rates = PeerRates(messages, now_ms)
        self._spare_rate = TokenBucket(2, 100, now_ms)  # pings, pongs and what is ignored
        self._piece_rate = TokenBucket(400, 800, now_ms)
        self._begun_ms = now_ms
        self._heard_ms = now_ms
        self._pinged_ms: int | None = None
        self._probe_until_ms: int | None = None
        self.proven: Hello | None = None
        self.closed: str | None = None
        self.ping_ms: int | None = None  # the newest round trip
        self.over_rate = 0

    # -- out ----------------------------------------------------------------------------------------------------------

    def take(self) -> bytes:
        """What is to be written to the socket."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def speaks(self, name: str) -> bool:
        return self.proven is not None and name in self.proven.types

    def send(self, name: str, payload: bytes) -> None:
        """A message of at most INLINE_BYTES, to a peer that speaks its type."""
        self._write(self._numbers[name], payload)

    def send_offer(self, offer: BodyOffer) -> None:
        self._write(Kind.OFFER, bytes((self._numbers[offer.name],)) + offer.encode())

    def send_fetch(self, body: bytes, number: int) -> None:
        self._write(Kind.FETCH, PIECE.pack(body, number))

    def send_chunk(self, body: bytes, number: int, data: bytes) -> None:
        self._write(Kind.CHUNK, PIECE.pack(body, number) + data)

    def send_gone(self, body: bytes) -> None:
        self._write(Kind.GONE, body)

    def close(self, reason: str) -> None:
        """Say why, and take nothing more."""
        if self.closed is None:
            self._write(Kind.BYE, reason.encode("ascii", "replace")[:MAX_REASON_BYTES])
            self.closed = reason

    def probe(self, now_ms: int) -> None:
        """Ask whether the peer is still there, and give it PROBE_MS to say anything."""
        if self._probe_until_ms is None:
            self._probe_until_ms = now_ms + PROBE_MS
            self._ping(now_ms)

    def _write(self, kind: int, payload: bytes) -> None:
        if self.closed is None:
            self._out.append(frame(kind, payload))

    def _ping(self, now_ms: int) -> None:
        self._pinged_ms = now_ms
        self._write(Kind.PING, struct.pack("<Q", now_ms))

    # -- time ---------------------------------------------------------------------------------------------------------

    def due(self, now_ms: int) -> list[SessionEvent]:
        """Look at the clock: ping, or give up. To be called about once a second."""
        if self.closed is not None:
            return []
        if self.proven is None:
            return self._over("no hello in time") if now_ms - self._begun_ms >= HANDSHAKE_MS else []
        if self._probe_until_ms is not None and now_ms >= self._probe_until_ms:
            return self._over("does not answer")
        silent_ms = now_ms - self._heard_ms
        if silent_ms >= SILENT_MS:
            return self._over("silent")
        if silent_ms >= PING_AFTER_MS and (self._pinged_ms is None or self._pinged_ms < self._heard_ms):
            self._ping(now_ms)
        return []

    # -- in -----------------------------------------------------------------------------------------------------------

    def receive(self, data: bytes, now_ms: int) -> list[SessionEvent]:
        """What these bytes bring, in order. After `Over` nothing more comes."""
        events: list[SessionEvent] = []
        self._reader.feed(data)
        while self.closed is None:
            try:
                found = self._reader.next()
                if found is None:
                    break
                self._heard_ms, self._probe_until_ms = now_ms, None
                events += self._take_in(*found, now_ms)
            except FrameError as error:
                events += [Offence(FRAME_POINTS, str(error)), *self._over(str(error))]
            except ProtocolError as error:
                events += [Offence(PROTOCOL_POINTS, str(error)), *self._over(str(error))]
            except HelloError as error:
                events += self._over(str(error))
        return events

    def _over(self, reason: str) -> list[SessionEvent]:
        self.close(reason)
        return [Over(reason)]

    def _take_in(self, kind: int, payload: bytes, now_ms: int) -> list[SessionEvent]:
        if self._hello is None or self.proven is None:
            return self._greet(kind, payload)
        if kind >= FIRST_NAMED:
            return self._named(self._name(kind), payload, now_ms)
        match kind:
            case Kind.PING:
                if len(payload) != 8:
                    raise ProtocolError(f"ping of {len(payload)} bytes")
                offences = self._spare(now_ms)
                if not offences:
                    self._write(Kind.PONG, payload)
                return offences
            case Kind.PONG:
                if self._pinged_ms is not None and payload == struct.pack("<Q", self._pinged_ms):
                    self.ping_ms = now_ms - self._pinged_ms
                return self._spare(now_ms)
            case Kind.BYE:
                text = payload[:MAX_REASON_BYTES].decode("ascii", "replace")
                reason = "".join(c if c.isprintable() else "?" for c in text)
                self.closed = f"peer says: {reason}"
                return [Over(self.closed)]
            case Kind.OFFER:
                return self._offered(payload, now_ms)
            case Kind.FETCH | Kind.CHUNK | Kind.GONE:
                return self._piece(kind, payload, now_ms)
            case Kind.HELLO | Kind.PROOF:
                raise ProtocolError("a second hello")
        return self._spare(now_ms)  # a frame of a later version

    def _greet(self, kind: int, payload: bytes) -> list[SessionEvent]:
        if self._hello is None and kind == Kind.HELLO:
            hello = decode_hello(payload)
            required = [name for name, message in self._types.items() if message.required]
            check_hello(self._own, hello, required)
            self._hello, self._hello_bytes = hello, payload
            self._write(Kind.PROOF, sign_proof(self._secret, self._role, self._own_bytes, payload))
            return []
        if self._hello is not None and kind == Kind.PROOF:
            check_proof(self._hello.node_key, payload, self._role.other, self._hello_bytes, self._own_bytes)
            self.proven = self._hello
            self._reader.limit_bytes = BODY_LIMIT_BYTES
            return [Proven(self._hello)]
        if kind == Kind.BYE:
            return self._over(f"peer says: {payload[:MAX_REASON_BYTES].decode('ascii', 'replace')!a}")
        raise ProtocolError(f"a frame of type {kind} where a hello or its proof was expected")

    def _name(self, number: int) -> str:
        assert self.proven is not None
        if not 0 <= number - FIRST_NAMED < len(self.proven.types):
            raise ProtocolError(f"message number {number}, which its hello does not name")
        return self.proven.types[number - FIRST_NAMED]

    def _named(self, name: str, payload: bytes, now_ms: int) -> list[SessionEvent]:
        refused = self._refused(name, len(payload), now_ms)
        return [Message(name, payload)] if refused is None else refused

    def _refused(self, name: str, size: int, now_ms: int) -> list[SessionEvent] | None:
        """Why a message is not taken, perhaps without a word; None when it is."""
        message = self._types.get(name)
        if message is None:
            return self._spare(now_ms)  # optional to its sender, unknown to us
        if size > message.limit_bytes:
            return [Offence(OVER_SIZE_POINTS, f"{name} of {size} bytes, limit {message.limit_bytes}")]
        if not self._rates.take(name, now_ms):
            self.over_rate += 1
            return [Offence(OVER_RATE_POINTS, f"too many {name}")]
        return None

    def _spare(self, now_ms: int) -> list[SessionEvent]:
        """What is neither a message nor a piece has a rate too: ignoring costs time."""
        if self._spare_rate.take(now_ms):
            return []
        self.over_rate += 1
        return [Offence(OVER_RATE_POINTS, "too many pings or frames that are ignored")]

    def _offered(self, payload: bytes, now_ms: int) -> list[SessionEvent]:
        if not payload:
            raise ProtocolError("an empty offer")
        name = self._name(payload[0])
        try:
            offer = decode_offer(name, payload[1:])
        except ValueError as error:
            raise ProtocolError(f"offer of {name}: {error}") from None
        refused = self._refused(name, offer.size, now_ms)
        return [Offered(offer)] if refused is None else refused

    def _piece(self, kind: int, payload: bytes, now_ms: int) -> list[SessionEvent]:
        if not self._piece_rate.take(now_ms):
            self.over_rate += 1
            return [Offence(OVER_RATE_POINTS, "too many pieces")]
        if kind == Kind.GONE and len(payload) == 32:
            return [Gone(payload)]
        if kind == Kind.FETCH and len(payload) == PIECE.size:
            return [Fetch(*PIECE.unpack(payload))]
        if kind == Kind.CHUNK and PIECE.size < len(payload) <= PIECE.size + CHUNK_BYTES:
            body, number = PIECE.unpack_from(payload)
            return [Chunk(body, number, payload[PIECE.size :])]
        raise ProtocolError(f"a piece of {len(payload)} bytes")
