"""All connections of a node: which are let in, which of two with one node stays, who is banned, who gets what. Pure.

A wire is what the edge (sockets.py) gives for a connection: bytes out and an end. The hub gives the process what its
core is told: Connected, Received, Disconnected, each peer's in this order.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from chains.peers.bodies import Ask, Blame, Bodies, Deliver, Step
from chains.peers.core import Connected, Disconnected, MessageType, PeerHello, PeerId, Received
from chains.peers.hello import Hello, Role, node_key_of
from chains.peers.pacing import Pacing
from chains.peers.scores import BanPolicy, Scores, is_loopback
from chains.peers.session import (
    INLINE_BYTES,
    Chunk,
    Fetch,
    Gone,
    Message,
    Offence,
    Offered,
    Over,
    Proven,
    Session,
    SessionEvent,
)

log = logging.getLogger("parapool.peers")

MAX_INBOUND = 64
MAX_INBOUND_PER_ADDRESS = 8
TOLD_POINTS = 20  # fewer are no line of log
MAX_UNPROVEN = 16  # inbound, whose hello has not been proven


@dataclass(frozen=True, slots=True)
class PeerLimits:
    """Of one node. `exempt_loopback` belongs to devnets, where every node is 127.0.0.1: no limit for that address, and
    it is never banned (keys are)."""

    inbound: int = MAX_INBOUND
    inbound_per_address: int = MAX_INBOUND_PER_ADDRESS
    unproven: int = MAX_UNPROVEN
    ban_ms: int = BanPolicy().ban_ms
    exempt_loopback: bool = False


class Wire(Protocol):
    """A connection's edge. After `close` nothing more is written; `left` is called on the hub in any case."""

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


@dataclass(eq=False, slots=True)
class Peer:
    """One connection. `dialled` is the address that we dialled, None for inbound ones."""

    id: PeerId
    wire: Wire
    session: Session
    pacing: Pacing
    host: str
    dialled: str | None
    since_ms: int
    hello: Hello | None = None
    told: bool = False  # the core knows it
    dropped: bool = False  # by us
    scored: list[tuple[int, str]] = field(default_factory=list)
    sent: int = 0
    received: int = 0

    @property
    def inbound(self) -> bool:
        return self.dialled is None

    @property
    def key(self) -> bytes | None:
        return None if self.hello is None else self.hello.node_key


HubEvent = Connected | Received | Disconnected


class Hub:
    """`tell` is called with what the core is to know; it must not call back into the hub before it returns."""

    def __init__(
        self,
        own: Callable[[], Hello],
        secret: bytes,
        messages: Sequence[MessageType],
        tell: Callable[[HubEvent], None],
        now_ms: Callable[[], int],
        limits: PeerLimits | None = None,
    ) -> None:
        self._own = own  # a fresh nonce each time
        self._secret = secret
        self._key = node_key_of(secret)
        self._messages = {message.name: message for message in messages}
        self._tell = tell
        self._now_ms = now_ms
        self.limits = PeerLimits() if limits is None else limits
        self.scores = Scores(BanPolicy(self.limits.ban_ms, self.limits.exempt_loopback))
        self.bodies = Bodies()
        self.peers: dict[PeerId, Peer] = {}
        self.proven_keys: dict[str, bytes] = {}  # dialled address -> whose it was the last time
        self.on_ban: Callable[[list[str], int], None] = lambda names, until_ms: None
        self.on_backlog: Callable[[], None] = lambda: None  # something waits: call drain() soon
        self._next = 1
        self._stopping = False

    # -- connections come and go --------------------------------------------------------------------------------------

    def admits(self, host: str) -> str | None:
        """Why an inbound connection from there is not taken; None when it is."""
        if self._stopping:
            return "stopping"
        if self.scores.is_banned(self.scores.names(None, host), self._now_ms()):
            return "banned"
        inbound = [peer for peer in self.peers.values() if peer.inbound]
        if len(inbound) >= self.limits.inbound or sum(p.hello is None for p in inbound) >= self.limits.unproven:
            return "full"
        exempt = self.limits.exempt_loopback and is_loopback(host)
        if not exempt and sum(peer.host == host for peer in inbound) >= self.limits.inbound_per_address:
            return "too many from this address"
        return None

    def joined(self, wire: Wire, host: str, dialled: str | None) -> Peer:
        """A connection is open; the hello goes out."""
        now_ms = self._now_ms()
        role = Role.LISTENED if dialled is None else Role.DIALLED
        session = Session(self._own(), self._secret, tuple(self._messages.values()), role, now_ms)
        pacing = Pacing(self._messages.values(), now_ms)
        peer = Peer(PeerId(self._next), wire, session, pacing, host, dialled, now_ms)
        self._next += 1
        self.peers[peer.id] = peer
        self._flush(peer)
        return peer

    def received(self, peer: Peer, data: bytes) -> None:
        """Bytes came."""
        if peer.id not in self.peers:
            return
        now_ms = self._now_ms()
        peer.received += len(data)
        self._take_in(peer, peer.session.receive(data, now_ms), now_ms)
        self._flush(peer)

    def left(self, peer: Peer) -> None:
        """The connection is gone, whoever ended it."""
        if self.peers.pop(peer.id, None) is None:
            return
        reason = peer.session.closed or "connection lost"
        if peer.hello is not None:
            log.info("peer left peer=%d key=%s: %s", peer.id, peer.hello.node_key[:6].hex(), reason)
        if peer.told:
            self._tell(Disconnected(peer.id))
        self._do(self.bodies.lost(peer.id, self._now_ms()))

    def drop(self, peer_id: PeerId, reason: str) -> None:
        """End a connection, with a word."""
        peer = self.peers.get(peer_id)
        if peer is not None:
            peer.dropped = True
            peer.session.close(reason)
            self._flush(peer)

    def stop(self) -> None:
        """End all, and take none any more."""
        self._stopping = True
        for peer in list(self.peers.values()):
            self.drop(peer.id, "stopping")

    def sweep(self) -> None:
        """Look at the clock, once a second."""
        now_ms = self._now_ms()
        for peer in list(self.peers.values()):
            self._take_in(peer, peer.session.due(now_ms), now_ms)
            self._flush(peer)
        self._do(self.bodies.due(now_ms))
        self.scores.sweep(now_ms)

    # -- out ----------------------------------------------------------------------------------------------------------

    def send(self, peer_id: PeerId, name: str, payload: bytes) -> None:
        """To one peer; nothing happens when it has left or does not speak this type."""
        self._send((peer_id,), name, payload)

    def broadcast(self, name: str, payload: bytes, besides: Sequence[PeerId] = ()) -> None:
        self._send([peer_id for peer_id in self.peers if peer_id not in besides], name, payload)

    def _send(self, peer_ids: Sequence[PeerId], name: str, payload: bytes) -> None:
        if len(payload) > self._messages[name].limit_bytes:
            log.error("a message is too large to be sent type=%s bytes=%d", name, len(payload))
            return
        now_ms = self._now_ms()
        for peer_id in peer_ids:
            peer = self.peers.get(peer_id)
            if peer is None or not peer.told or not peer.session.speaks(name):
                continue
            if peer.pacing.may_send(name, payload, now_ms):
                self._put(peer, name, payload)
                self._flush(peer)
            elif peer.pacing.waits:
                self.on_backlog()

    def _put(self, peer: Peer, name: str, payload: bytes) -> None:
        if len(payload) <= INLINE_BYTES:
            peer.session.send(name, payload)
        else:
            peer.session.send_offer(self.bodies.keep(name, payload))

    def drain(self) -> bool:
        """Send what had to wait for its rate; whether more of it waits."""
        now_ms = self._now_ms()
        waiting = False
        for peer in list(self.peers.values()):
            if peer.pacing.waits:
                for name, payload in peer.pacing.due(now_ms):
                    self._put(peer, name, payload)
                self._flush(peer)
                waiting = waiting or peer.pacing.waits
        return waiting

    def score(self, peer_id: PeerId, points: int, reason: str) -> None:
        """Misbehaviour; at 100 points the peer is dropped and its key and address banned."""
        peer = self.peers.get(peer_id)
        if peer is None:
            return
        now_ms = self._now_ms()
        names = self.scores.names(peer.key, peer.host)
        peer.scored.append((points, reason))
        del peer.scored[:-10]
        level = logging.INFO if points >= TOLD_POINTS else logging.DEBUG  # a flood must not flood the log
        log.log(level, "peer scored peer=%d host=%s points=%d: %s", peer.id, peer.host, points, reason)
        if self.scores.add(names, points, now_ms):
            self.ban(names, now_ms + self.limits.ban_ms, reason)

    def ban(self, names: list[str], until_ms: int, reason: str) -> None:
        """Ban these names and drop whoever has one of them."""
        log.warning("peer banned names=%s: %s", ",".join(names), reason)
        for name in names:
            self.scores.ban(name, until_ms)
        self.on_ban(names, until_ms)
        for peer in list(self.peers.values()):
            if set(names) & set(self.scores.names(peer.key, peer.host)):
                self.drop(peer.id, "banned")

    # -- in -----------------------------------------------------------------------------------------------------------

    def _take_in(self, peer: Peer, events: Sequence[SessionEvent], now_ms: int) -> None:
        for event in events:
            if peer.dropped and not isinstance(event, Over):
                continue  # for an earlier one of these
            match event:
                case Proven(hello):
                    self._proven(peer, hello, now_ms)
                case Message(name, payload):
                    self._tell(Received(peer.id, name, payload))
                case Offered(offer):
                    self._do(self.bodies.offered(peer.id, offer, now_ms))
                case Chunk(body, number, data):
                    self._do(self.bodies.came(peer.id, body, number, data, now_ms))
                case Gone(body):
                    self._do(self.bodies.gone(peer.id, body, now_ms))
                case Fetch(body, number):
                    data_or_none = self.bodies.chunk(body, number)
                    if data_or_none is None:
                        peer.session.send_gone(body)
                    else:
                        peer.session.send_chunk(body, number, data_or_none)
                case Offence(points, reason):
                    self.score(peer.id, points, reason)
                case Over(reason):
                    if peer.hello is None:  # strangers come as often as they like
                        level = logging.DEBUG if peer.inbound else logging.INFO
                        log.log(level, "no peer host=%s dialled=%s: %s", peer.host, peer.dialled or "no", reason)

    def _proven(self, peer: Peer, hello: Hello, now_ms: int) -> None:
        peer.hello = hello
        if peer.dialled is not None:
            self.proven_keys[peer.dialled] = hello.node_key
        if self.scores.is_banned(self.scores.names(hello.node_key, peer.host), now_ms):
            self.drop(peer.id, "banned")
            return
        for other in list(self.peers.values()):
            if other is not peer and other.told and other.key == hello.node_key and other.session.closed is None:
                if self._stays(other, peer):
                    other.session.probe(now_ms)  # it may be a connection that only we think is there
                    self._flush(other)
                    self.drop(peer.id, "connected already")
                    return
                self.drop(other.id, "connected anew")
        peer.told = True
        log.info(
            "peer joined peer=%d host=%s dialled=%s key=%s", peer.id, peer.host, peer.dialled or "no",
            hello.node_key[:6].hex(),
        )  # fmt: skip
        self._tell(
            Connected(
                peer.id,
                PeerHello(
                    hello.node_key, hello.network, hello.genesis, hello.version, hello.features, inbound=peer.inbound
                ),
            )
        )

    def _stays(self, former: Peer, newer: Peer) -> bool:
        """Of two connections with one node the one dialled by the smaller key stays, so that both nodes decide alike;
        of two dialled by the same node the newer."""
        if former.inbound == newer.inbound:
            return False
        assert newer.hello is not None
        own_is_smaller = self._key < newer.hello.node_key
        return former.inbound != own_is_smaller

    def _do(self, steps: Sequence[Step]) -> None:
        for step in steps:
            peer = self.peers.get(step.peer)
            if peer is None or not peer.told:
                continue
            match step:
                case Ask(_, body, number):
                    peer.session.send_fetch(body, number)
                    self._flush(peer)
                case Deliver(peer_id, name, payload):
                    self._tell(Received(peer_id, name, payload))
                case Blame(peer_id, points, reason):
                    self.score(peer_id, points, reason)

    def _flush(self, peer: Peer) -> None:
        data = peer.session.take()
        if data:
            peer.sent += len(data)
            peer.wire.write(data)
        if peer.session.closed is not None:
            peer.wire.close()
