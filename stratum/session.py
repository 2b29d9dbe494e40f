"""One miner connection as a value: bytes and the time go in, events and bytes come out. No clock, no socket.

    receive_data(data, now) → events        the owner acts on them: judges logins, validates shares
    answer_authorize / accept / reject / …  the owner's answers
    offer_job(job, now)                     a job, preceded by its difficulty where that changed
    check_timeouts(now) → events            due at `deadline`
    data_to_send() → bytes                  everything to write, in order

The order a miner sees (veriumMiner drops a notify that precedes the subscribe reply): the replies to what it sent in
one packet, then set_difficulty, then notify, once it is subscribed and one worker is authorized. While a login waits
for its answer nothing further is read, so that answers keep the order of the questions.
"""

from __future__ import annotations

import math

from stratum import errors, messages
from stratum.assignment import Assignment
from stratum.counters import Counters
from stratum.deadlines import Deadlines
from stratum.errors import StratumError
from stratum.events import AuthorizeRequest, Closed, Event, Submit, TransactionsRequest, WantsJob
from stratum.extranonce import ExtranonceAllocator
from stratum.foreign import foreign_protocol, is_tls
from stratum.framing import LineBuffer, LineTooLong
from stratum.handshake import REQUESTS, take_response
from stratum.invalid_run import InvalidRun
from stratum.jsonrpc import Malformed, Request, decode
from stratum.limits import Limits
from stratum.message_rate import MessageRate
from stratum.offer import Authorized, JobOffer, PortPolicy, Refused
from stratum.outbox import Outbox
from stratum.rate_memory import Pace
from stratum.standing import Standing
from stratum.submission import read_submit, scan

_WANTS_JOB = WantsJob()

MOVED_S = 30.0
"""Of a miner that was given another extranonce1 than it had: what it had under way is told stale for so long."""


class Session:
    """Public state to read: subscribed, users, extranonce1, version_mask, assignment, closed (reason or None)."""

    __slots__ = (
        "_allocator", "_authorizing", "_budget", "_former_extranonce1", "_former_through", "_invalid_run", "_limits",
        "_lines", "_moved_until", "_rate", "_resent_after", "_submit_digits", "assignment", "closed", "counters",
        "deadlines", "extranonce1", "extranonce_subscribed", "out", "pending", "policy", "standing", "subscribed",
        "user_agent", "users", "version_asked", "version_mask",
    )  # fmt: skip

    def __init__(
        self,
        policy: PortPolicy,
        limits: Limits,
        extranonces: ExtranonceAllocator,
        now: float,
        standing: Standing | None = None,
        counters: Counters | None = None,
    ) -> None:
        self.policy = policy
        self._limits = limits
        self._allocator = extranonces
        self.standing = Standing(limits) if standing is None else standing
        self.counters = Counters() if counters is None else counters
        self._lines = LineBuffer(limits.line_bytes)
        self.out = Outbox()
        self._budget = limits.messages_per_read
        self._rate = MessageRate(limits, policy, self.standing.address.exempt, now)
        self._authorizing: AuthorizeRequest | None = None
        self._submit_digits = 2 * policy.extranonce2_size
        self.assignment = Assignment(policy, limits.reoffer_interval_s, now)
        self._invalid_run = InvalidRun(limits)
        self._resent_after = now  # mining.get_transactions
        self.users: dict[str, object] = {}
        self.subscribed = self.extranonce_subscribed = False
        self.extranonce1 = b""
        self._former_extranonce1: bytes | None = None
        self._former_through = -1  # the newest job sent under it
        self._moved_until = -math.inf  # shares may still be made with an extranonce1 that could not be given back
        self.version_mask = 0
        self.user_agent = ""
        self.version_asked = False  # client.get_version is under way
        self.pending = False  # lines wait that this turn's budget did not reach
        self.closed: str | None = None
        self.deadlines = Deadlines(limits, now)

    # What comes in.

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """A read's worth of bytes, or b"" to go on with lines left `pending`, on a fresh budget of messages."""
        rate, messages_per_read = self._rate, self._limits.messages_per_read
        rate.count += messages_per_read - self._budget
        self._budget = messages_per_read
        if self.closed is not None:
            return []
        step = rate.look(now) if now >= rate.due else None
        if step == "retarget":
            self.assignment.moved(now, urgent=True)
        if data:
            if not self.deadlines.spoke and not len(self._lines) and is_tls(data):
                return self._close_now("tls")
            self._lines.feed(data)
        events = self.resume(now)
        if step == "flood" and self.closed is None:  # this read is answered still: there may be a block in it
            events += self._close_now("flood")
        return events

    def resume(self, now: float) -> list[Event]:
        """Go on after answer_authorize()."""
        events: list[Event] = []
        drained = False
        try:
            while self._budget and self.closed is None and self._authorizing is None:
                line = self._lines.next_line()
                if line is None:
                    drained = True
                    break
                self._budget -= 1
                if line:
                    self._line(line, now, events)
        except LineTooLong:
            self._malformed(Malformed("line_too_long", "The line is too long"), b"", now)
            self._close("line_too_long")
        if self.closed is None and len(self._lines) > self._limits.unparsed_bytes:
            self._close("unparsed_bytes")
        if self.closed is not None:
            self._lines.clear()
            self.pending = False
            events.append(Closed(self.closed))
            return events
        self.pending = not drained and self._authorizing is None and self._lines.has_line()
        if self.assignment.wanted and not self.pending and self._authorizing is None:
            events.append(_WANTS_JOB)
        return events

    def _line(self, line: bytes, now: float, events: list[Event]) -> None:
        self.counters.messages += 1
        if scan is not None and self.subscribed:
            plain = scan(line, self._submit_digits, Submit)
            if plain is not None:
                deadlines = self.deadlines
                deadlines.last_line = now
                deadlines.spoke = True
                events.append(plain)
                return
        request = decode(line)
        if type(request) is Malformed:
            self._malformed(request, line, now)
            return
        assert isinstance(request, Request)
        self.deadlines.last_line = now
        method = request.method
        if method is None:
            take_response(self, request, line)
            return
        self.deadlines.spoke = True
        if method == "mining.submit":
            if not self.subscribed:
                self.reject(request.id or b"null", errors.NOT_SUBSCRIBED, now)
                return
            submit = read_submit(request, self.users, self._submit_digits)
            if type(submit) is Submit:
                events.append(submit)
            else:
                assert isinstance(submit, StratumError)
                self.reject(request.id or b"null", submit, now)
            return
        answer = REQUESTS.get(method)
        if answer is None:
            self.out.error(request.id or b"null", errors.METHOD_NOT_FOUND)
            return
        answer(self, request, now, events)

    def _malformed(self, what: Malformed, line: bytes, now: float) -> None:
        """Before the first valid line a stranger who speaks something else is left without a word."""
        if not self.deadlines.spoke:
            reason = foreign_protocol(line)
            self.counters.parse_errors[reason] += 1
            self._close(reason)
            return
        self.counters.parse_errors[what.kind] += 1
        self.out.error(what.id, errors.other(what.text))
        self.deadlines.last_line = now
        if self.standing.malformed():
            self._close("malformed")

    def data_to_send(self) -> bytes:
        """Everything to write, in order."""
        return self.out.take()

    def adopt(self, policy: PortPolicy, now: float) -> None:
        """The port has other terms now; the extranonce2 size stays what it is."""
        self.policy = policy
        self._rate = MessageRate(self._limits, policy, self.standing.address.exempt, now)
        self.assignment.adopt(policy, now)

    # Logins.

    @property
    def ready(self) -> bool:
        """Subscribed and at least one worker authorized: may have jobs."""
        return self.subscribed and bool(self.users)

    def wait_for_answer(self, request: AuthorizeRequest) -> None:
        self._authorizing = request

    def answer_authorize(self, request: AuthorizeRequest, answer: Authorized | Refused, now: float) -> None:
        """The pool's word on a login; call resume() afterwards."""
        if self._authorizing is request:
            self._authorizing = None
        if self.closed is not None:
            return
        if isinstance(answer, Refused):
            self.standing.login_refused(now)
            self.out.error(request.id, errors.unauthorized(answer.message))
            return
        if not self.users:
            self.deadlines.logged_in = self.deadlines.last_valid_share = now
        if request.login_text not in self.users:
            self.standing.joined()
        self.users[request.login_text] = answer.user
        self.out.true(request.id)
        if answer.message:
            self.out.message(answer.message)
        if answer.difficulty is not None and answer.difficulty > 0.0:
            self.assignment.ask(answer.difficulty, now, typed=True)
        self.want_first_job()

    def ask_to_leave(self) -> None:
        """The miner shall go on elsewhere: where the port says, or where it came in."""
        place = self.policy.drain_to
        self.out.line(messages.RECONNECT if place is None else messages.reconnect_to(*place))

    def want_first_job(self) -> None:
        if self.assignment.sequence < 0 and self.ready:
            self.assignment.wanted = True

    def answer_transactions(self, request: TransactionsRequest, transactions: list[str] | None) -> None:
        if transactions is None:
            self.out.error(request.id, errors.UNKNOWN_JOB)
        elif sum(map(len, transactions)) + 3 * len(transactions) > self._limits.transactions_bytes:
            self.out.error(request.id, errors.other("The job's transactions are too large to send", 0.0))
        else:
            self.out.result(request.id, transactions)

    def transactions_allowed(self, now: float) -> bool:
        """An answer so much larger than its question is given only now and then."""
        if not self.ready or now < self._resent_after:
            return False
        self._resent_after = now + self._limits.transactions_interval_s
        return True

    def subscribe(self, session_id: str | None, now: float) -> str:
        """Take an extranonce1 (once per connection); the new session id."""
        if not self.subscribed:
            allocator, realm = self._allocator, self.policy.realm
            former = allocator.proven(session_id, realm) if session_id else None
            pace = None if former is None else allocator.pace(former, now)
            self.extranonce1 = allocator.acquire(session_id, self, realm)
            self.subscribed = True
            if pace is not None:
                self.assignment.terms.go_on(pace, now)
            if former is not None and former != self.extranonce1:
                self._moved_until = now + MOVED_S
                self._former_extranonce1 = b""  # none to judge by, but a lane leaves refusals to reject()
        return self._allocator.session_id(self.extranonce1, self.policy.realm)

    def leave_extranonce(self) -> bool:
        """The miner shows this connection's session id on another one, which takes over the extranonce1: move to a new
        one with a clean job. False for who did not subscribe to that, or was moved before (shares under way need
        the former one, and one is kept)."""
        if self.closed is None and (not self.extranonce_subscribed or self._former_extranonce1):
            return False
        self._former_extranonce1, self._former_through = self.extranonce1, self.assignment.sequence
        self.extranonce1 = self._allocator.acquire(holder=self)
        if self.closed is None:
            self.out.line(messages.set_extranonce(self.extranonce1, self.policy.extranonce2_size))
            self.assignment.want_clean()
            self.assignment.due = -math.inf  # sent at the next sweep: this is another connection's turn
        return True

    def former_extranonce1(self, job_sequence: int) -> bytes | None:
        """The extranonce1 that a share of this job may have been made with besides the present one."""
        return self._former_extranonce1 if job_sequence <= self._former_through else None

    def login_limit(self, login_text: str, now: float) -> str | None:
        """Why this login is refused without asking the pool, or None."""
        if len(login_text.encode()) > self._limits.login_bytes:
            return f"the login is longer than {self._limits.login_bytes} bytes"
        if login_text not in self.users and len(self.users) >= self._limits.workers_per_connection:
            return "too many workers on one connection"
        return self.standing.login_limit(now)

    # Jobs.

    def offer_job(self, job: JobOffer, now: float, clean: bool | None = None) -> bool:
        """Send a job if the miner may have one; `clean` overrides the job's own word. False when nothing was sent."""
        if self.closed is not None or not self.subscribed or not self.users:
            return False
        first = self.assignment.sequence < 0
        told = self.assignment.terms.sent
        if not self.assignment.give(job, now, clean, self.out):
            return False
        tells = self.assignment.terms.sent
        if told is not None and tells is not None and told != tells:
            self.counters.retargets["up" if tells > told else "down"] += 1
        if first and not self.user_agent:
            self.out.line(messages.GET_VERSION)
            self.version_asked = True
        return True

    def announce(self, text: str) -> None:
        """A sentence for the person at the miner, before the next job."""
        self.out.message(text)
        self.assignment.interrupt()

    # Shares.

    def accept(self, submit: Submit, difficulty: float, now: float) -> None:
        """A share is in the log: answer it and let vardiff know. May want a job."""
        self.out.true(submit.id)
        self.deadlines.last_valid_share = now
        self._invalid_run.valid()
        self.standing.valid()
        self.assignment.share(submit.job_id, difficulty, now)

    def reject(self, request_id: bytes, error: StratumError, now: float) -> None:
        """Answer a submission with an error and climb the ladder. May want a job, or set `closed`."""
        if self._former_extranonce1 == b"":
            if now >= self._moved_until:
                self._former_extranonce1 = None
            elif error is errors.LOW_DIFFICULTY:
                error = errors.STALE  # work of before, not worthless work
        self.out.error(request_id, error)
        self.counters.rejected[error.reason] += 1
        if error.penalty <= 0.0:
            return
        if self.standing.invalid(error.penalty, now):
            self.counters.bans += 1
            self._close("banned")
            return
        match self._invalid_run.invalid(error.penalty, now):
            case "fresh_job":
                self.assignment.want_clean()
            case "reconnect":
                self.out.line(messages.RECONNECT)
            case "drop":
                self._close("invalid_shares")

    # Time.

    @property
    def deadline(self) -> float:
        """When check_timeouts() should be called next."""
        return min(self.deadlines.due, self.assignment.due)

    def check_timeouts(self, now: float) -> list[Event]:
        """What is due at `deadline`: a close, or a job under a lower difficulty for a silent miner."""
        if self.closed is not None:
            return []
        reason = self.deadlines.passed(now, bool(self.users))
        if reason is not None:
            return self._close_now(reason)
        self.assignment.check(now)
        return [_WANTS_JOB] if self.assignment.wanted and self.ready else []

    def end(self, reason: str) -> None:
        """The owner's decision to close; what data_to_send() has may still be sent."""
        self._close(reason)

    def pace(self) -> Pace | None:
        """How fast the miner is, of one that mines."""
        return self.assignment.terms.pace if self.ready else None

    def close(self, reason: str, now: float) -> None:
        """The connection is gone: give the extranonce1 back. Idempotent."""
        self._close(reason)
        self.standing.left()
        if self.subscribed:
            pace = self.pace()
            if pace is not None:
                self._allocator.memory.left(self.extranonce1, pace, now)
            self.subscribed = False
            self._allocator.release(self.extranonce1)

    def _close(self, reason: str) -> None:
        if self.closed is None:
            self.closed = reason

    def _close_now(self, reason: str) -> list[Event]:
        self._close(reason)
        self._lines.clear()
        self.pending = False
        return [Closed(reason)]
