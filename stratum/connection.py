"""One connection at the edge: its socket, its session, and the pool it talks to.

A turn: bytes of one read go to the session, the events go to the pool, and everything there is to say goes out in one
write. Lines beyond the turn's budget wait for a later reactor turn with reading paused, so that one talkative peer
delays nobody.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.protocol import Protocol as TwistedProtocol

from stratum.addresses import AddressRecord
from stratum.counters import rtt_class
from stratum.errors import StratumError
from stratum.events import AuthorizeRequest, Submit, TransactionsRequest
from stratum.offer import Authorized, JobOffer, PortPolicy, Refused
from stratum.session import Session
from stratum.standing import Standing
from stratum.transport import Reader

if TYPE_CHECKING:
    from stratum.server import StratumServer


LEAVE_S = 10.0
"""From being asked to go until being hung up on: shares under way are answered, and firmware that knows no
client.reconnect is moved all the same."""

_numbers = count(1)


class Pool(Protocol):
    """What the edge needs of the pool."""

    def authorize(self, connection: Connection, login_text: str, password_text: str) -> Authorized | Refused:
        """Judge a login."""

    def submit(self, connection: Connection, submit: Submit, user: object | None) -> None:
        """Judge a share; connection.accept() or reject() must follow, now or later, and then flush(). Without a user no
        such worker logged in: the answer is UNAUTHORIZED whatever the share is, but it may be a block."""

    def current_job(self) -> JobOffer | None:
        """The job a miner should have now; None while no node has given a template."""

    def transactions(self, job_id: str) -> list[str] | None:
        """The job's transactions but the coinbase, hex; None for an unknown job."""


class Lane(Reader, Protocol):
    """Reads a connection's socket and keeps what it can deal with; the rest goes to the transport's take()."""

    def close(self) -> None:
        """The connection is gone."""


class Connection(TwistedProtocol):
    """One miner: what the pool holds in its hands to answer."""

    transport: Any

    def __init__(self, server: StratumServer, policy: PortPolicy, address: AddressRecord, remote_address: str) -> None:
        self._server = server
        self._clock = server.clock
        self._pool = server.pool
        self.number = next(_numbers)  # its own in this process, later ones greater
        self.remote_address = remote_address
        self.answers_at_once = policy.answers_at_once
        self.realm = policy.realm
        self.rtt_class = 0  # index in counters.RTT_CLASSES, as last measured
        self._address = address
        self._continuing = False
        self._closing_since: float | None = None
        self._leaving_since: float | None = None
        self._stalled_since: float | None = None
        self._drained = 0
        self._lane: Lane | None = None
        self.session = Session(
            policy,
            server.limits,
            server.extranonces,
            self._clock(),
            Standing(server.limits, address),
            server.counters,
        )

    @property
    def extranonce1(self) -> bytes:
        return self.session.extranonce1

    def former_extranonce1(self, job_sequence: int) -> bytes | None:
        """What the miner may have made a share of that job with before mining.set_extranonce; None for most."""
        return self.session.former_extranonce1(job_sequence)

    @property
    def version_mask(self) -> int:
        """The negotiated mask, 0 if none."""
        return self.session.version_mask

    def difficulty_for(self, job_sequence: int) -> float:
        """What a share of that job is judged and credited at on this connection."""
        return self.session.assignment.terms.for_job(job_sequence)

    def accept(self, submit: Submit, difficulty: float) -> None:
        """The share is in the log; `difficulty` is what it is credited with. Sent at the next flush()."""
        if self.session.closed is None:
            self.session.accept(submit, difficulty, self._clock())
            counters = self._server.counters
            counters.accepted += 1
            counters.accepted_by_rtt[self.rtt_class] += 1

    def reject(self, submit: Submit, error: StratumError) -> None:
        """The share is worth nothing. Sent at the next flush()."""
        self.refuse(submit.id, error)

    def refuse(self, request_id: bytes, error: StratumError) -> None:
        """As reject(), by the id of the submission."""
        if self.session.closed is None:
            self.session.reject(request_id, error, self._clock())
            if error.reason == "stale":
                self._server.counters.stale_by_rtt[self.rtt_class] += 1

    def flush(self) -> None:
        """Write what there is to say, in one write; ends the connection when its session has ended."""
        session = self.session
        if session.assignment.wanted and session.closed is None:
            job = self._pool.current_job()
            if job is not None:
                session.offer_job(job, self._clock())
        data = session.data_to_send()
        if data:
            self._write(data)
        if session.closed is not None:
            self._end()

    def catch_up(self) -> None:
        """There are answers that the lane could not send."""
        self.transport.catch_up()
        self._look_at_unsent()

    def _write(self, data: bytes) -> None:
        self.transport.write(data)
        self._look_at_unsent()

    def _look_at_unsent(self) -> None:
        if self.transport.unsent_bytes > self._server.limits.unsent_bytes:
            self.abort("slow_reader")

    def _end(self) -> None:
        if self._closing_since is None:
            self._closing_since = self._clock()
            self.transport.loseConnection()

    # Called by Twisted.

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(True)
        self._server.joined(self)
        if self._server.lanes is not None:
            self._lane = self._server.lanes(self)
            if self._lane is not None:
                self.transport.read_through(self._lane)

    def dataReceived(self, data: bytes) -> None:
        self._turn(data)

    def connectionLost(self, reason: Any = None) -> None:
        if self._lane is not None:
            self._lane.close()
        self._server.left(self)

    # Turns.

    def _turn(self, data: bytes) -> None:
        session = self.session
        events = session.receive_data(data, self._clock())
        while events:
            answered = False
            for event in events:
                if type(event) is Submit:
                    self._pool.submit(self, event, session.users.get(event.worker))
                elif type(event) is AuthorizeRequest:
                    answer = self._pool.authorize(self, event.login_text, event.password_text)
                    session.answer_authorize(event, answer, self._clock())
                    answered = True
                elif type(event) is TransactionsRequest:
                    session.answer_transactions(event, self._pool.transactions(event.job_id))
            events = session.resume(self._clock()) if answered else []
        self.flush()
        if session.pending and not self._continuing and session.closed is None:
            self._continuing = True
            self.transport.pauseProducing()
            self._server.reactor.callLater(0, self._continue)

    def _continue(self) -> None:
        self._continuing = False
        if self.session.closed is None:
            self._turn(b"")
            if not self._continuing and self.session.closed is None:
                self.transport.resumeProducing()

    def offer(self, job: JobOffer, clean_from: int, now: float) -> None:
        """A broadcast reaches this connection; the job is a clean one to a miner whose last is older than that."""
        session = self.session
        if session.closed is None:
            line = session.assignment.go_on(job, clean_from)
            if line is not None:
                self._write(line)
            elif session.offer_job(job, now, session.assignment.sequence < clean_from):
                self._write(session.data_to_send())

    def offer_rest(self, rest: bytes) -> None:
        """The connection has taken the beginning of a broadcast's line, and counts as having it. Nothing: its lane has
        kept the rest."""
        if self.session.closed is not None:
            return
        if rest:
            self._write(rest)
        else:
            self.catch_up()

    def sweep(self, now: float) -> None:
        """Once a second: timers, and readers too slow to keep."""
        session = self.session
        if self._leaving_since is not None and now - self._leaving_since >= LEAVE_S and session.closed is None:
            self.close("drained")
        if session.closed is None and now >= session.deadline and session.check_timeouts(now):
            self.flush()
        unsent = self.transport.unsent_bytes
        if unsent == 0:
            self._stalled_since = None
        else:
            drained = self.transport.drained_bytes
            if self._stalled_since is None or drained != self._drained:
                self._stalled_since, self._drained = now, drained
            if now - self._stalled_since >= self._server.limits.unsent_progress_s:
                self.abort("slow_reader")
                return
        if self._closing_since is not None and now - self._closing_since >= self._server.limits.closing_s:
            self.transport.abortConnection()

    def measure(self) -> None:
        """How far away the miner is; asked every quarter of a minute, for the metrics."""
        self.rtt_class = rtt_class(self.transport.round_trip_s)

    @property
    def stays(self) -> bool:
        """Whether nobody has asked it to go, nor ended it."""
        return self._leaving_since is None and self.session.closed is None

    def leave(self) -> None:
        """Ask the miner to go on elsewhere, and hang up after LEAVE_S; at once on one that has not begun to speak."""
        if not self.stays:
            return
        self._leaving_since = self._clock()
        if self.session.subscribed:
            self.session.ask_to_leave()
            self.flush()
        else:
            self.close("drained")

    def tell(self, text: str) -> bool:
        """A sentence for the person at the miner; False to one that is in no state to hear it."""
        if self.session.closed is not None or not self.session.ready:
            return False
        self.session.out.message(text)
        self.flush()
        return True

    def close(self, reason: str) -> None:
        """Say what is left to say and hang up."""
        self.session.end(reason)
        self.flush()

    def abort(self, reason: str) -> None:
        """Hang up at once; what is unsent is lost."""
        self.session.end(reason)
        self._closing_since = self._clock()
        self.transport.abortConnection()
