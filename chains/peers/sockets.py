"""The Twisted edge: TCP connections to the hub, one port to listen on, addresses to dial.

What a peer does not read waits here, up to a limit; then the connection is cut.
"""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.protocol import ClientFactory, Factory, Protocol

from chains.peers.hub import Hub, Peer
from chains.peers.sources import Dialler, PeerSource, split_address

log = logging.getLogger("parapool.peers")

UNREAD_BYTES = 8 * 2**20  # of one peer: half a gigabyte, should nobody read
CLOSE_S = 5.0  # for the last words to be read
DIAL_S = 5.0
SWEEP_S = 1.0
DRAIN_S = 0.1


class Connection(Protocol):
    """One TCP connection: a wire to the hub, a push producer to its transport."""

    def __init__(self, sockets: Sockets, dialled: str | None) -> None:
        self._sockets = sockets
        self._dialled = dialled
        self._peer: Peer | None = None
        self._unread: deque[bytes] = deque()
        self._unread_bytes = 0
        self._paused = False
        self._closing = False

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.setTcpNoDelay(True)
        transport.setTcpKeepAlive(True)
        transport.registerProducer(self, True)
        self._peer = self._sockets.hub.joined(self, transport.getPeer().host, self._dialled)

    def dataReceived(self, data: bytes) -> None:
        if self._closing or self._peer is None:
            return
        try:
            self._sockets.hub.received(self._peer, data)
        except Exception:  # costs this connection, never the node
            log.exception("connection dropped by an error of ours address=%s", self._peer.host)
            self._peer.session.closed = self._peer.session.closed or "an error of ours"
            transport: Any = self.transport
            transport.abortConnection()

    def connectionLost(self, reason: Any = None) -> None:
        self._closing = True
        self._unread.clear()
        if self._peer is not None:
            self._sockets.gone(self._peer)

    # -- the hub's wire -----------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        transport: Any = self.transport
        if self._closing:
            return
        if not self._paused:
            transport.write(data)
            return
        self._unread.append(data)
        self._unread_bytes += len(data)
        if self._unread_bytes > self._sockets.unread_bytes and self._peer is not None:
            self._peer.session.closed = self._peer.session.closed or "does not read"
            log.warning("peer cut, it does not read peer=%d host=%s", self._peer.id, self._peer.host)
            self._closing = True
            transport.abortConnection()

    def close(self) -> None:
        """Once what was written is out, or after CLOSE_S."""
        transport: Any = self.transport
        if self._closing:
            return
        self._closing = True
        transport.unregisterProducer()
        for data in self._unread:
            transport.write(data)
        self._unread.clear()
        transport.loseConnection()
        self._sockets.reactor.callLater(CLOSE_S, self._abort)

    def _abort(self) -> None:
        transport: Any = self.transport
        if transport is not None and self._peer is not None and self._peer.id in self._sockets.hub.peers:
            transport.abortConnection()

    # -- the transport's producer -------------------------------------------------------------------------------------

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        transport: Any = self.transport
        while self._unread and not self._paused:
            data = self._unread.popleft()
            self._unread_bytes -= len(data)
            transport.write(data)

    def stopProducing(self) -> None:
        self._paused = True


class _Listening(Factory):
    noisy = False

    def __init__(self, sockets: Sockets) -> None:
        self._sockets = sockets

    def buildProtocol(self, addr: Any) -> Connection | None:
        reason = self._sockets.hub.admits(addr.host)
        if reason is not None:
            log.debug("connection not taken host=%s: %s", addr.host, reason)
            return None
        return Connection(self._sockets, None)


class _Dialling(ClientFactory):
    noisy = False

    def __init__(self, sockets: Sockets, address: str) -> None:
        self._sockets = sockets
        self._address = address

    def buildProtocol(self, addr: Any) -> Connection:
        return Connection(self._sockets, self._address)

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        self._sockets.not_reached(self._address, reason.getErrorMessage())


class Sockets:
    """The connections of one node. Raises OSError from `listen` when the port is taken."""

    def __init__(
        self,
        reactor: Any,
        hub: Hub,
        sources: Sequence[PeerSource],
        now_ms: Callable[[], int],
        chance: random.Random,
        unread_bytes: int = UNREAD_BYTES,
    ) -> None:
        self.reactor = reactor
        self.hub = hub
        self.unread_bytes = unread_bytes
        self.dialler = Dialler(sources, chance)
        self._now_ms = now_ms
        self._listening: Any = None
        self._sweeping: Any = None
        self._dialled: dict[str, Any] = {}  # address -> its connector, from the first attempt to the end
        self._draining: Any = None
        hub.on_backlog = self._drain_soon
        self._told: set[str] = set()  # addresses of which it was said that nobody answers

    def listen(self, host: str, port: int) -> int:
        """The port it became (0: any)."""
        try:
            self._listening = self.reactor.listenTCP(port, _Listening(self), backlog=128, interface=host)
        except CannotListenError as error:
            raise OSError(f"cannot listen on {host}:{port}: {error.socketError}") from error
        return int(self._listening.getHost().port)

    def start(self) -> None:
        """Dial, and look at the clock once a second."""
        self._sweep()

    def stop(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        if self._draining is not None:
            self._draining.cancel()
            self._draining = None
        if self._listening is not None:
            self._listening.stopListening()
            self._listening = None
        for connector in list(self._dialled.values()):
            if connector.state == "connecting":
                connector.stopConnecting()
        self.hub.stop()

    def dial(self, address: str) -> None:
        """Nothing happens when this address is dialled or connected already."""
        if address in self._dialled:
            return
        host, port = split_address(address)
        self._dialled[address] = None
        connector = self.reactor.connectTCP(host, port, _Dialling(self, address), timeout=DIAL_S)
        if address in self._dialled:
            self._dialled[address] = connector

    def not_reached(self, address: str, why: str) -> None:
        self._dialled.pop(address, None)
        self.dialler.failed(address, self._now_ms())
        if address not in self._told:
            self._told.add(address)
            log.info("nobody answers at address=%s, dialling on: %s", address, why)

    def gone(self, peer: Peer) -> None:
        self.hub.left(peer)
        if peer.dialled is None:
            return
        self._dialled.pop(peer.dialled, None)
        if peer.told:
            self._told.discard(peer.dialled)
            self.dialler.ended(peer.dialled, self._now_ms())
        elif peer.session.closed == "connected to itself":
            self.dialler.is_own(peer.dialled, self._now_ms())
        else:
            self.dialler.failed(peer.dialled, self._now_ms())

    def _sweep(self) -> None:
        self._sweeping = self.reactor.callLater(SWEEP_S, self._sweep)
        try:
            self.hub.sweep()
        except Exception:  # the next look may go well, and dialling goes on
            log.exception("looking after the connections failed")
        connected = {peer.key for peer in self.hub.peers.values() if peer.told}
        known = {address for address, key in self.hub.proven_keys.items() if key in connected}
        for address in self.dialler.due(self._now_ms(), {*self._dialled, *known}, len(self._dialled)):
            self.dial(address)

    def _drain_soon(self) -> None:
        if self._draining is None and self._sweeping is not None:
            self._draining = self.reactor.callLater(DRAIN_S, self._drain)

    def _drain(self) -> None:
        self._draining = None
        if self.hub.drain():
            self._drain_soon()
