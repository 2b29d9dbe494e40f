"""What the Stratum edge asks of the pool: who a login is, and what becomes of a submission.

An accepted share is answered when it is durable: it waits here between its append to the share log and the group commit
that covers it. A port with `ack: memory` does not wait; the share goes the same way. A solve is sent out before
anything else is asked.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import islice

from chains.kind import Network
from chains.primitives.share_kernel import NATIVE, target_bytes
from chains.primitives.target import difficulty_to_target, work_of
from pool.blocks.solution_store import SolvingShare
from pool.jobs.job import Job
from pool.jobs.job_table import JobTable
from pool.services.block_submission import BlockSubmission
from pool.services.scheme_board import SchemeBoard
from pool.services.share_lanes import make_desk
from pool.services.work_tally import WorkTally
from pool.shares.record import Route
from pool.shares.route import LoginRefusedError, RoutedLogin, route_login
from pool.shares.share_log import ShareLog, ShareLogStopped
from pool.shares.validation import Verdict, validate
from stratum import errors
from stratum.buckets import Buckets
from stratum.events import Submit
from stratum.offer import Authorized, JobOffer, Refused
from stratum.server import Connection
from stratum.words import Login, LoginError, parse_login, parse_password

log = logging.getLogger("parapool.shares")

# One share at a time is timed: the sync of a good disk takes a millisecond, the promise is 20 ms for 99 % of them.
ANSWER_BOUNDS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0)

MAX_TARGETS_CACHED = 10_000
# Checking an address costs as much as ten shares, and a rack of machines comes back with the same ones.
MAX_ROUTES_CACHED = 4096

# Words of a login's password that are kept, with the login, for chains that a reload brings.
REMEMBERED_WORDS = 8

# Met by no hash that will ever be: what a worker that never logged in sends is no share, and not remembered as one.
NO_TARGET = 0

DROPPED = "connection dropped by an error of ours"
NOT_DURABLE = errors.StratumError(20, "The pool cannot store shares now, please fail over", "not_durable", penalty=0.0)


class ShareIntake:
    """Judges logins and submissions; `facing` gives the ports of one extranonce2 size their side of it. Counters are
    plain integers, read by the metrics collector."""

    def __init__(
        self,
        table: JobTable,
        log: ShareLog,
        blocks: BlockSubmission,
        networks: Mapping[str, Network],
        parent: str,
        pow_name: str,
        pow_hash: Callable[[bytes], bytes] | None,
        schemes: SchemeBoard | None = None,
    ) -> None:
        self.table = table
        self.log = log
        self.blocks = blocks
        self.networks = networks
        self.parent = parent
        self.pow_name = pow_name
        self.pow_hash = pow_hash
        self.schemes = SchemeBoard() if schemes is None else schemes
        self.accepted = 0
        self.rejected: dict[str, int] = {}
        self.accepted_work = 0
        self.tally = WorkTally()
        self.answer_s = Buckets(ANSWER_BOUNDS_S)
        self._timed_sequence = 0  # of the share whose answer is timed, 0 for none
        self._timed_at = 0.0
        self.seen_solves: dict[str, int] = {}
        self.expected_solves: dict[str, float] = {}
        self._targets: dict[float, tuple[int, int, bytes]] = {}  # the last for the lanes
        self._routes: OrderedDict[tuple[object, ...], tuple[Route, tuple[str, ...]]] = OrderedDict()
        self._waiting: deque[tuple[int, Connection, Submit, float]] = deque()
        self.desk = make_desk(self)
        _tell_kernel()

    def facing(self, extranonce2_size: int) -> IntakePort:
        return IntakePort(self, extranonce2_size)

    def authorize(self, login_text: str, password_text: str) -> Authorized | Refused:
        try:
            login = parse_login(login_text)
            password = parse_password(password_text)
            routed = self._route(login, password.values)
        except (LoginError, LoginRefusedError) as error:
            return Refused(str(error))
        return Authorized(routed, password.difficulty, "; ".join(routed.remarks) or None)

    def adopt(self, networks: Mapping[str, Network]) -> None:
        """Other chains from now on; logins have to be routed anew."""
        self.networks = networks
        self._routes.clear()

    def reroute(self, login_text: str, user: RoutedLogin) -> RoutedLogin:
        """A login that was taken before, for the chains as they are now."""
        return self._route(parse_login(login_text), user.values)

    def transactions(self, job_id: str) -> list[str] | None:
        job = self.table.get(job_id)
        return None if job is None else [t.data.hex() for t in job.templates.parent.transactions]

    def submit(self, connection: Connection, submit: Submit, user: RoutedLogin | None, extranonce2_size: int) -> None:
        job = self.table.get(submit.job_id)
        if user is None:
            if job is not None:
                self._send_solves_of_nobody(connection, submit, job, extranonce2_size)
            self._reject(connection, submit, errors.UNAUTHORIZED)
            return
        if job is None:
            self._reject(connection, submit, errors.UNKNOWN_JOB)
            return
        difficulty = connection.difficulty_for(job.sequence)
        target, weight, _ = self._targets.get(difficulty) or self._target_of(difficulty)
        now = time.monotonic()
        verdict = self._judge(connection, submit, job, extranonce2_size, target)
        solves = self.blocks.new_solves(job, verdict) if verdict.solved else ()
        error = verdict.error
        sequence = 0
        if error is None or solves:
            if error is None:
                chains = self.table.counted_chains(job, now)
            else:
                # No share, but its work counts if its block does: a late or low solve is credited in that block.
                chains = job.templates.chains()
                weight = min(weight, *(work_of(t) for chain, t in job.targets if chain in verdict.solved))
            chains = self.schemes.words(connection.realm, job, chains)
            try:
                sequence = self.log.append(
                    user.route,
                    user.worker,
                    time.time_ns() // 1_000_000,
                    weight,
                    chains,
                    verdict.header_hash,
                    error is not None,
                    solves,
                )
            except ShareLogStopped:
                error = NOT_DURABLE
                if verdict.error is None:
                    job.tip.seen.discard(verdict.header_hash)  # not taken: sent again, it is no duplicate
        if solves:
            share = SolvingShare(user.route, user.worker, time.time_ns() // 1_000_000, chains, verdict.header_hash)
            self.blocks.send(
                job, verdict, solves, sequence, weight, share, conditional=verdict.error is not None,
                scheme_of=partial(self.schemes.scheme, connection.realm, job),
            )  # fmt: skip
        if error is not None:
            self._reject(connection, submit, error)
            return
        if target < job.easiest_target:
            self._count_unseen(job.targets, target, verdict.solved, weight)
        self.tally.add(job, weight, verdict.value)
        if connection.answers_at_once:
            self.accepted += 1
            self.accepted_work += weight
            connection.accept(submit, difficulty)
        else:
            self._waiting.append((sequence, connection, submit, difficulty))
            if not self._timed_sequence:
                self._timed_sequence, self._timed_at = sequence, now

    # -- durability ---------------------------------------------------------------------------------------------

    def on_durable(self, sequence: int) -> None:
        """Everything up to this share is on disk: answer those miners, each connection with one write. Shares of lanes
        may be answered before, and are only credited here."""
        waiting = self._waiting
        answered: dict[Connection, None] = {}
        while waiting and waiting[0][0] <= sequence:
            _, connection, submit, difficulty = waiting.popleft()
            self.accepted += 1
            self.accepted_work += self._targets[difficulty][1]
            try:
                connection.accept(submit, difficulty)
            except Exception:
                _failed(connection)
            answered[connection] = None
        _flush(answered)
        if self.desk is not None:
            accepted, work = self.desk.answer(sequence)
            self.accepted += accepted
            self.accepted_work += work
        if self._timed_sequence and self._timed_sequence <= sequence:
            self.answer_s.observe(max(0.0, (self.log.answered_at_s or time.monotonic()) - self._timed_at))
            self._timed_sequence = 0

    def refuse_waiting(self) -> None:
        """The share log failed: what waits for it cannot be made durable and is refused. Solves still go out."""
        refused: dict[Connection, None] = {}
        while self._waiting:
            _, connection, submit, _ = self._waiting.popleft()
            self._reject(connection, submit, NOT_DURABLE)
            refused[connection] = None
        for connection, request_id in self.desk.refuse() if self.desk is not None else ():
            self.rejected[NOT_DURABLE.reason] = self.rejected.get(NOT_DURABLE.reason, 0) + 1
            if connection is not None:
                connection.refuse(request_id, NOT_DURABLE)
                refused[connection] = None
        _flush(refused)

    # -- inside -------------------------------------------------------------------------------------------------

    def _send_solves_of_nobody(
        self, connection: Connection, submit: Submit, job: Job, extranonce2_size: int
    ) -> None:
        """The blocks in a submission of a worker that never logged in. There is no share to log and nobody to credit
        for it: the reward goes to the shares that were in the window when it came. But a block of a port where shares
        are bought is the operator's all the same, or its miner could choose who gets it."""
        verdict = self._judge(connection, submit, job, extranonce2_size, NO_TARGET)
        solves = self.blocks.new_solves(job, verdict) if verdict.solved else ()
        if solves:
            scheme_of = partial(self.schemes.scheme, connection.realm, job)
            self.blocks.send(job, verdict, solves, 0, 0, None, conditional=True, scheme_of=scheme_of)

    def _judge(self, connection: Connection, submit: Submit, job: Job, extranonce2_size: int, target: int) -> Verdict:
        """The verdict; worthless under the connection's extranonce1, it may be good under the one it had before."""
        layout, mask, tip = job.layouts[extranonce2_size], connection.version_mask, self.table.tip
        verdict = validate(job, layout, submit, connection.extranonce1, mask, target, tip, self.pow_hash)
        if verdict.error is not None and not verdict.solved:
            former = connection.former_extranonce1(job.sequence)
            if former is not None:
                earlier = validate(job, layout, submit, former, mask, target, tip, self.pow_hash)
                if earlier.error is None or earlier.solved:
                    return earlier
        return verdict

    def _route(self, login: Login, values: Mapping[str, str]) -> RoutedLogin:
        """Where the login's credits go. Logins that differ by their worker only share one route."""
        own = {chain: text for chain, text in values.items() if chain in self.networks}
        key = (login.parent, login.extra, *own.items())
        known = self._routes.get(key)
        if known is None:
            routed = route_login(login, own, self.networks, self.parent)
            known = self._routes[key] = routed.route, routed.remarks
            if len(self._routes) > MAX_ROUTES_CACHED:
                self._routes.popitem(last=False)
        else:
            self._routes.move_to_end(key)
        return RoutedLogin(known[0], login.worker, known[1], dict(islice(values.items(), REMEMBERED_WORDS)))

    def _target_of(self, difficulty: float) -> tuple[int, int, bytes]:
        if len(self._targets) >= MAX_TARGETS_CACHED:
            self._targets = {d: self._targets[d] for _, _, _, d in self._waiting}
        target = difficulty_to_target(difficulty, self.pow_name)
        self._targets[difficulty] = target, work_of(target), target_bytes(target)
        return self._targets[difficulty]

    def _reject(self, connection: Connection, submit: Submit, error: errors.StratumError) -> None:
        self.rejected[error.reason] = self.rejected.get(error.reason, 0) + 1
        connection.reject(submit, error)

    def _failed(self, connection: Connection, error: BaseException) -> None:
        """An error of ours on a lane."""
        log.error("%s address=%s", DROPPED, connection.remote_address, exc_info=error)
        connection.abort("internal")

    def _count_unseen(
        self, targets: tuple[tuple[str, int], ...], target: int, solved: tuple[str, ...], weight: int
    ) -> None:
        """For chains easier than the share target: how many solves this work should hold and how many it showed."""
        for chain, chain_target in targets:
            if chain_target > target:
                expected = weight / work_of(chain_target)
                self.expected_solves[chain] = self.expected_solves.get(chain, 0.0) + expected
                self.seen_solves[chain] = self.seen_solves.get(chain, 0) + (chain in solved)


def _tell_kernel() -> None:
    log.info("shares are hashed in %s", "C" if NATIVE else "Python: the package was installed without a C compiler")


def _flush(connections: Iterable[Connection]) -> None:
    for connection in connections:
        try:
            connection.flush()
        except Exception:
            _failed(connection)


def _failed(connection: Connection) -> None:
    """An error of ours costs one connection, never the answers of all."""
    log.exception("%s address=%s", DROPPED, connection.remote_address)
    connection.abort("internal")


class IntakePort:
    """The intake as the ports of one extranonce2 size see it: implements stratum.server.Pool."""

    def __init__(self, intake: ShareIntake, extranonce2_size: int) -> None:
        self.intake = intake
        self.extranonce2_size = extranonce2_size

    def authorize(self, connection: Connection, login_text: str, password_text: str) -> Authorized | Refused:
        return self.intake.authorize(login_text, password_text)

    def submit(self, connection: Connection, submit: Submit, user: object | None) -> None:
        assert user is None or isinstance(user, RoutedLogin)
        self.intake.submit(connection, submit, user, self.extranonce2_size)

    def current_job(self) -> JobOffer | None:
        job = self.intake.table.current
        return None if job is None else job.layouts[self.extranonce2_size].offer

    def transactions(self, job_id: str) -> list[str] | None:
        return self.intake.transactions(job_id)
