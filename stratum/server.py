"""The Twisted edge: sockets to sessions, sessions to the pool, one clock and one sweep for all.

Ports let connections in by address and rate; a broadcast of a job runs in slices, between which shares are answered;
once a second every connection's deadline is looked at. connection.py is one connection, transport.py its socket.
"""

from __future__ import annotations

import logging
import resource
import secrets
import time
from collections.abc import Callable, Container
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall

from stratum import rounds
from stratum.addresses import AddressBook
from stratum.connection import Connection, Lane, Pool
from stratum.counters import Counters
from stratum.entrance import Entrance, ProxiedConnection
from stratum.extranonce import ExtranonceAllocator
from stratum.limits import Limits
from stratum.offer import Authorized, JobOffer, PortPolicy, Refused
from stratum.tls import TlsConnection
from stratum.transport import DirectPort, DirectServer

__all__ = ["Authorized", "Connection", "JobOffer", "Pool", "PortPolicy", "Refused", "StratumServer"]

log = logging.getLogger("parapool.stratum")

BROADCAST_SLICE = 400  # connections per reactor turn: some 2 ms, 4 without C
RANK_S = 15.0  # so old may the order be in which miners hear of a job: their difficulties move slowly
SWEEP_S = 1.0
PROXY_HEADERS_WAITING = 1024  # connections of proxies whose header has not come; it is the first thing a proxy sends
PROXY_TOLD_S = 60.0
QUEUE_ROUNDS = 11  # a port takes a hundred connections at a time, of a queue of 1024
OPEN_FILES_FRACTION = 0.9  # of the process's limit for miners; nodes, database and log need the rest


class _Port(Factory):
    """Lets connections in to one listening port."""

    noisy = False

    def __init__(self, server: StratumServer, policy: PortPolicy, entrance: Entrance) -> None:
        self._server = server
        self.policy = policy
        self._entrance = entrance

    def buildProtocol(self, addr: Any) -> Connection | TlsConnection | ProxiedConnection | None:
        if self._entrance.is_proxy(addr.host):
            return self._server.await_header(addr.host, self._come_in)
        return self._come_in(addr.host)

    def _come_in(self, host: str) -> Connection | TlsConnection | None:
        connection = self._server.admit(host, self.policy)
        certificate = self._entrance.certificate
        return connection if connection is None or certificate is None else TlsConnection(certificate, connection)


class StratumServer:
    """The ports of one pool, their connections and limits.

    `policy` is for ports that listen() names none for; several servers of one process share `extranonces` and
    `addresses` (made from the same limits and clock).
    """

    def __init__(
        self,
        pool: Pool,
        policy: PortPolicy,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
        extranonces: ExtranonceAllocator | None = None,
        addresses: AddressBook | None = None,
    ) -> None:
        self.pool = pool
        self.policy = policy
        self.limits = Limits() if limits is None else limits
        self.clock = clock
        if extranonces is None:
            extranonces = ExtranonceAllocator(secrets.randbits(32), secrets.token_bytes(32))
        self.extranonces = extranonces
        self.counters = Counters()
        # In the order in which they came, which is about that in which they lie in memory: going through them in any
        # other one costs half as much again.
        self.connections: dict[Connection, None] = {}
        self.reactor: Any = None
        self.addresses = AddressBook(self.limits, clock()) if addresses is None else addresses
        self.lanes: Callable[[Connection], Lane | None] | None = None
        """Whoever reads connections in our stead, asked for each that comes in."""
        self._listening: list[Any] = []
        self._ports: dict[tuple[str, int], _Port] = {}
        self.closed_to_new = False  # the ports are shut for a while, and nobody comes in who was on the way
        self._awaited: dict[ProxiedConnection, float] = {}  # whose PROXY header has not come, and until when
        self._proxy_told_at = float("-inf")
        self._sweeper: LoopingCall | None = None
        self._broadcast: list[Connection] = []
        self._ranked: dict[Connection, None] = {}  # who may have jobs, the smallest difficulty first
        self._ranked_at = 0.0
        self._job: JobOffer | None = None
        self._clean_sequence = -1
        self._broadcast_at = 0.0
        self._slice_due = False
        self._stopped: Deferred[None] | None = None
        self._connections_total = self.limits.connections_total
        open_files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if open_files != resource.RLIM_INFINITY:
            self._connections_total = min(self._connections_total, int(open_files * OPEN_FILES_FRACTION))

    def listen(
        self, reactor: Any, host: str, port: int, policy: PortPolicy | None = None, entrance: Entrance | None = None
    ) -> Any:
        """Listen on one more port (0: any free one); the result's getHost().port tells which."""
        self.reactor = reactor
        factory = _Port(self, policy or self.policy, entrance or Entrance())
        listening = self._open(port, factory, host)
        self._ports[host, port] = factory
        if self._sweeper is None:
            self._sweeper = LoopingCall(self._sweep)
            self._sweeper.clock = reactor
            self._sweeper.start(SWEEP_S, now=False)
        return listening

    def _open(self, port: int, factory: _Port, host: str) -> Any:
        listening = DirectPort(port, factory, host, self.reactor)
        listening.startListening()
        self._listening.append(listening)
        log.info("listening host=%s port=%d", host, listening.getHost().port)
        return listening

    def shut(self) -> None:
        """Nobody new comes in; who is here stays, and who waits in a port's queue is here. The ports are closed, so
        another process may have them."""
        self.take_waiting()
        self.closed_to_new = True
        self.stop_listening()
        for awaited in list(self._awaited):
            awaited.hang_up()

    def reopen(self) -> None:
        """The ports as they were before shut(). Raises CannotListenError when one cannot be had (those before it are
        open then); may be called again."""
        open_already = {listening.factory for listening in self._listening}
        for (host, port), factory in self._ports.items():
            if factory not in open_already:
                self._open(port, factory, host)
        self.closed_to_new = False

    def adopt(self, host: str, port: int, policy: PortPolicy) -> None:
        """Other terms for a port that is open, and for everybody who came in by it; their extranonce2 size and when
        they are answered stay. They hear of it with their next job."""
        factory = self._ports.get((host, port))
        if factory is None or factory.policy == policy:  # an accountant opens no ports
            return
        former, factory.policy = factory.policy, policy
        now = self.clock()
        for connection in self.connections:
            if connection.session.policy is former:
                connection.realm = policy.realm
                connection.session.adopt(policy, now)

    def take_waiting(self) -> None:
        """Lets in who waits in the queues of the ports, as a port that closes would refuse them."""
        for listening in self._listening:
            for _ in range(QUEUE_ROUNDS):
                listening.doRead()

    def stop_listening(self) -> None:
        """Close the ports; connections stay. May be called twice."""
        for listening in self._listening:
            listening.stopListening()
        self._listening.clear()

    def stop(self) -> Deferred[None]:
        """Close the ports and all connections; fires when they are gone."""
        if self._stopped is None:
            self._stopped = Deferred()
            self.stop_listening()
            for awaited in list(self._awaited):
                awaited.hang_up()
            for connection in list(self.connections):
                connection.close("stopping")
            if self.connections:
                self.reactor.callLater(1.0, self._abort_all)
            else:
                self._gone()
        return self._stopped

    def _abort_all(self) -> None:
        for connection in list(self.connections):
            connection.abort("stopping")

    def _gone(self) -> None:
        if self._sweeper is not None and self._sweeper.running:
            self._sweeper.stop()
        if self._stopped is not None and not self._stopped.called:
            if self.reactor is None:
                self._stopped.callback(None)
            else:  # one turn later the listening sockets are closed as well
                self.reactor.callLater(0, self._stopped.callback, None)

    # Connections.

    def admit(self, host: str, policy: PortPolicy) -> Connection | None:
        """A connection arrived: its protocol, or None to hang up on it."""
        if self._stopped is not None or self.closed_to_new:
            return None
        full = self.addresses.connections >= self._connections_total
        record = "too_many" if full else self.addresses.admit(host, self.clock())
        if isinstance(record, str):
            self.counters.connections[record] += 1
            return None
        self.counters.connections["accepted"] += 1
        return Connection(self, policy, record, host)

    def await_header(self, proxy: str, come_in: Callable[[str], Any]) -> ProxiedConnection | None:
        """A proxy's connection arrived; who is behind it says its header."""
        if self._stopped is not None or self.closed_to_new:
            return None
        if len(self._awaited) >= PROXY_HEADERS_WAITING:
            self.counters.connections["too_many"] += 1
            return None

        def ended(connection: ProxiedConnection, problem: str | None) -> None:
            if self._awaited.pop(connection, None) is None or problem is None:
                return
            self.counters.connections["proxy_header"] += 1
            if self.clock() - self._proxy_told_at >= PROXY_TOLD_S:
                self._proxy_told_at = self.clock()
                log.warning("a proxy's connection has no good PROXY header proxy=%s: %s", proxy, problem)

        connection = ProxiedConnection(proxy, come_in, ended)
        self._awaited[connection] = self.clock() + self.limits.first_line_s
        return connection

    def joined(self, connection: Connection) -> None:
        self.connections[connection] = None

    def left(self, connection: Connection) -> None:
        session = connection.session
        session.close("disconnected", self.clock())
        self.counters.closed[session.closed or "disconnected"] += 1
        if session.closed == "banned":
            log.warning(
                "banned address=%s seconds=%d agent=%r",
                connection.remote_address, int(self.limits.ban_s), session.user_agent,
            )  # fmt: skip
        elif session.closed == "flood" and connection._address.worth_telling(self.clock()):
            log.warning("flooding address=%s agent=%r", connection.remote_address, session.user_agent)
        self.connections.pop(connection, None)
        self._ranked.pop(connection, None)
        self.addresses.leave(connection._address, self.clock())
        if self._stopped is not None and not self.connections:
            self._gone()

    def announce(self, text: str, realms: Container[str]) -> None:
        """A sentence for the people at the miners of these realms. It goes out with what is sent to each next: send a
        job after it."""
        for connection in self.connections:
            if connection.realm in realms and connection.session.ready:
                connection.session.announce(text)

    # Jobs.

    def broadcast(self, job: JobOffer) -> None:
        """Offer a job to everyone, the biggest difficulty first. A newer one takes over from an unfinished one, with
        whom that had not reached: where jobs come faster than they can be sent, nobody is left without any."""
        self._job = job
        self._broadcast_at = self.clock()
        if job.clean:
            self._clean_sequence = max(self._clean_sequence, job.sequence)
        unreached = frozenset(self._broadcast)
        # Popped from the end, so the biggest difficulty last, and those who wait already behind it.
        self._broadcast = self._in_order()
        if unreached:
            self._broadcast.sort(key=unreached.__contains__)
        if not self._slice_due:
            self._slice()

    def _in_order(self) -> list[Connection]:
        """Who may have a job, the biggest difficulty last. They were ranked when nobody waited; those who came since
        are the first in the list."""
        new = self.connections.keys() - self._ranked.keys()
        if len(new) > len(self._ranked):
            self._rank()
            return list(self._ranked)
        return [*rounds.by_difficulty(new), *self._ranked]

    def _rank(self) -> None:
        self._ranked = dict.fromkeys(rounds.by_difficulty(self.connections))
        self._ranked_at = self.clock()

    def _slice(self) -> None:
        self._slice_due = False
        waiting, job, now = self._broadcast, self._job, self.clock()
        assert job is not None
        clean_from = self._clean_sequence  # a clean job that a slice never reached makes the next one clean
        part = waiting[: -BROADCAST_SLICE - 1 : -1]
        del waiting[-BROADCAST_SLICE:]
        for connection, rest in rounds.send_job(DirectServer, part, job, clean_from):
            try:
                if rest is None:
                    connection.offer(job, clean_from, now)
                else:
                    connection.offer_rest(rest)
            except Exception:
                self._failed(connection)
        if waiting:
            self._slice_due = True
            self.reactor.callLater(0, self._slice)
        else:
            over = self.clock()
            self.counters.broadcast_s.observe(over - self._broadcast_at)
            if over - self._ranked_at >= RANK_S:
                self._rank()

    # Time.

    def _sweep(self) -> None:
        now = self.clock()
        for connection in rounds.due(DirectServer, self.connections, now):
            try:
                connection.sweep(now)
            except Exception:
                self._failed(connection)
        for awaited in [awaited for awaited, until in self._awaited.items() if now >= until]:
            awaited.expire()
        self.addresses.sweep(now)

    def _failed(self, connection: Connection) -> None:
        """An error of ours costs one connection, never the sweep or the broadcast of all."""
        log.exception("connection dropped by an error of ours address=%s", connection.remote_address)
        connection.abort("internal")
