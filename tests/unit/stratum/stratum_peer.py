"""A miner and a pool around one session, for tests: lines in, checked messages out, the time in the test's hands."""

from __future__ import annotations

import json
from typing import Any

from server_schema import check_server_bytes

from stratum import messages
from stratum.addresses import AddressRecord
from stratum.events import AuthorizeRequest, Event, Submit, TransactionsRequest, WantsJob
from stratum.extranonce import ExtranonceAllocator
from stratum.limits import Limits
from stratum.offer import Authorized, JobOffer, PortPolicy, Refused
from stratum.session import Session
from stratum.standing import Standing

POLICY = PortPolicy(start_difficulty=1, minimum_difficulty=0.001, maximum_difficulty=1_000_000)


def make_job(sequence: int = 1, clean: bool = False, caps: tuple[float, ...] = (), filler: int = 100) -> JobOffer:
    def line(clean_jobs: bool) -> bytes:
        return messages.notify(
            f"{sequence:x}", bytes(range(32)), b"\x01" * filler, b"\0\0\0\0", [b"\x11" * 32], 0x20000000, 0x207FFFFF,
            1_700_000_000, clean_jobs,
        )  # fmt: skip

    return JobOffer(sequence, f"{sequence:x}", line(False), line(True), clean, caps)


class Peer:
    """Acts as the edge does: answers logins, hands out the current job, keeps submits for the test to judge."""

    def __init__(
        self,
        policy: PortPolicy = POLICY,
        limits: Limits | None = None,
        allocator: ExtranonceAllocator | None = None,
        now: float = 1000.0,
        address: AddressRecord | None = None,
    ) -> None:
        self.now = now
        self.allocator = ExtranonceAllocator(0, b"secret") if allocator is None else allocator
        limits = limits or Limits()
        self.session = Session(policy, limits, self.allocator, now, Standing(limits, address))
        self.job: JobOffer | None = make_job()
        self.answer: Authorized | Refused = Authorized("user")
        self.logins: list[tuple[str, str]] = []
        self.submits: list[Submit] = []
        self.events: list[Event] = []
        self._id = 0

    def raw(self, data: bytes) -> list[dict[str, Any]]:
        """Send bytes as one read and give what comes back."""
        events = self.session.receive_data(data, self.now)
        while True:
            while events:
                events = self.act(events)
            if not self.session.pending:
                return self.read()
            events = self.session.receive_data(b"", self.now)

    def act(self, events: list[Event]) -> list[Event]:
        self.events += events
        answered = False
        for event in events:
            if isinstance(event, Submit):
                self.submits.append(event)
            elif isinstance(event, AuthorizeRequest):
                self.logins.append((event.login_text, event.password_text))
                self.session.answer_authorize(event, self.answer, self.now)
                answered = True
            elif isinstance(event, TransactionsRequest):
                self.session.answer_transactions(event, ["00ff"] if event.job_id == "1" else None)
            elif isinstance(event, WantsJob) and self.job is not None:
                self.session.offer_job(self.job, self.now)
        return self.session.resume(self.now) if answered else []

    def read(self) -> list[dict[str, Any]]:
        if self.session.assignment.wanted and self.job is not None and self.session.closed is None:
            self.session.offer_job(self.job, self.now)
        return check_server_bytes(self.session.data_to_send())

    def send(self, *requests: dict[str, Any]) -> list[dict[str, Any]]:
        """All requests in one packet."""
        return self.raw(b"".join(json.dumps(request).encode() + b"\n" for request in requests))

    def call(self, method: str, *params: Any) -> dict[str, Any]:
        """One request; its answer."""
        self._id += 1
        answers = [m for m in self.send(request(self._id, method, *params)) if m.get("id") == self._id]
        assert len(answers) == 1, answers
        return answers[0]

    def start(self, worker: str = "addr.w") -> list[dict[str, Any]]:
        """Subscribe and authorize."""
        return self.send(
            request(1, "mining.subscribe", "cpuminer/2.5"), request(2, "mining.authorize", worker, "x")
        )

    def mine(self, credit: float | None = None, worker: str = "addr.w", job: str = "1") -> list[dict[str, Any]]:
        """Submit one share and have it accepted."""
        said = self.send(submit_request(worker, job))
        submit = self.submits.pop()
        if credit is None:
            credit = self.session.assignment.terms.for_job(int(job, 16))
        self.session.accept(submit, credit, self.now)
        return said + self.read()

    def timeouts(self) -> list[dict[str, Any]]:
        self.act(self.session.check_timeouts(self.now))
        return self.read()

    @property
    def closed(self) -> str | None:
        return self.session.closed


def request(id: Any, method: str, *params: Any) -> dict[str, Any]:
    return {"id": id, "method": method, "params": list(params)}


def submit_request(worker: str = "addr.w", job: str = "1", id: Any = 9, **changes: Any) -> dict[str, Any]:
    fields = {"extranonce2": "00000000", "ntime": "6553f100", "nonce": "deadbeef"} | changes
    params = [worker, job, fields.pop("extranonce2"), fields.pop("ntime"), fields.pop("nonce"), *fields.values()]
    return request(id, "mining.submit", *params)


def methods(messages_: list[dict[str, Any]]) -> list[str]:
    """Names of calls, `#id` for answers: the order of a conversation at a glance."""
    return [m["method"].removeprefix("mining.") if "method" in m else f"#{m['id']}" for m in messages_]
