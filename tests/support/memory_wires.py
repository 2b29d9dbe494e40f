"""Hubs of one process joined by memory instead of sockets: bytes wait in a queue until `Wires.run`."""

from __future__ import annotations

from chains.peers.core import MessageType
from chains.peers.hello import Hello, node_key_of
from chains.peers.hub import Hub, Peer, PeerLimits


class Wire:
    """One end; `other` is the far one."""

    def __init__(self, wires: Wires, hub: Hub) -> None:
        self.wires = wires
        self.hub = hub
        self.other: Wire | None = None
        self.peer: Peer | None = None
        self.closed = False
        self.deaf = False  # takes bytes and gives none on: a link that was cut

    def write(self, data: bytes) -> None:
        if not self.closed and self.other is not None and not self.deaf:
            self.wires.queue.append((self.other, data))

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.wires.queue.append((self, b""))
            if self.other is not None and not self.other.closed:
                self.wires.queue.append((self.other, b""))


class Wires:
    def __init__(self, limits: PeerLimits | None = None) -> None:
        self.limits = PeerLimits(exempt_loopback=True) if limits is None else limits
        self.now_ms = 1_000_000
        self.queue: list[tuple[Wire, bytes]] = []
        self.told: dict[int, list] = {}
        self.hubs: list[Hub] = []

    def hub(self, messages: tuple[MessageType, ...]) -> Hub:
        number = len(self.hubs) + 1
        secret = bytes([number]) * 32
        told = self.told[number - 1] = []
        types = tuple(message.name for message in messages)

        def own() -> Hello:
            self.nonce = getattr(self, "nonce", 0) + 1
            return Hello(b"N" * 32, b"G" * 32, node_key_of(secret), self.nonce.to_bytes(32, "big"), types)

        hub = Hub(own, secret, messages, told.append, lambda: self.now_ms, self.limits)
        self.hubs.append(hub)
        return hub

    def join(self, dialler: Hub, listener: Hub, host: str = "192.0.2.1", address: str = "far:1") -> tuple[Wire, Wire]:
        """Connect; nothing is read yet."""
        ends = Wire(self, dialler), Wire(self, listener)
        ends[0].other, ends[1].other = ends[1], ends[0]
        ends[0].peer = dialler.joined(ends[0], "192.0.2.99", address)
        ends[1].peer = listener.joined(ends[1], host, None)
        return ends

    def run(self) -> None:
        while self.queue:
            wire, data = self.queue.pop(0)
            assert wire.peer is not None
            if data and not wire.closed:
                wire.hub.received(wire.peer, data)
            elif not data:
                wire.closed = True
                wire.hub.left(wire.peer)

    def pass_ms(self, duration_ms: int, step_ms: int = 1000) -> None:
        """Let time go by, sweeping each second."""
        until_ms = self.now_ms + duration_ms
        while self.now_ms < until_ms:
            self.now_ms += step_ms
            for hub in self.hubs:
                hub.sweep()
            self.run()
