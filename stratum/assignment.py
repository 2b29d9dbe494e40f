"""What a miner has in its hands: a job and the difficulty that it was told, and when it is told again.

A new difficulty travels with the next job. Waiting for that hurts when the difficulty falls, because the miner earns
nothing meanwhile, and when it rises steeply, because of the flood: then the same job is sent again under it.
"""

from __future__ import annotations

import math

from stratum import messages
from stratum.offer import JobOffer, PortPolicy
from stratum.outbox import Outbox
from stratum.terms import Terms

# A rise of the difficulty waits for the next job unless shares come this many times too fast: until then the job in
# hand is credited at its old, lower difficulty, and the miner should not lose work for a flood that does not hurt.
REOFFER_RATIO = 16.0
SETTLE_S = 2.0  # shares under way when the same job was sent again; covers a satellite link


class Assignment:
    """`sequence` is that of the newest job sent, -1 before the first; `wanted` tells that the current job should be
    sent now, though it may be the same; from `due` on check() is worth a call."""

    __slots__ = (
        "_caps", "_force_clean", "_reoffer_after", "_reoffer_interval_s", "_reoffered_job_id", "_steady_caps", "due",
        "sequence", "terms", "wanted",
    )  # fmt: skip

    def __init__(self, policy: PortPolicy, reoffer_interval_s: float, now: float) -> None:
        self.terms = Terms(policy, now)
        self.sequence = -1
        self.wanted = False
        self.due = math.inf
        self._caps: tuple[float, ...] = ()
        self._force_clean = False
        self._reoffer_interval_s = reoffer_interval_s
        self._reoffer_after = now
        self._reoffered_job_id: str | None = None
        # A job of these caps goes out under the difficulty that the miner was told: nothing has moved since it was.
        self._steady_caps: tuple[float, ...] | None = None

    @property
    def difficulty(self) -> float:
        """What the miner was last told, or will be."""
        return self.terms.target(self._caps) if self.terms.sent is None else self.terms.sent

    def ask(self, difficulty: float, now: float, typed: bool = False) -> None:
        """The miner asks for a difficulty; `typed` by a person, which holds against what firmware suggests."""
        if self.terms.ask(difficulty, now, typed):
            self.moved(now)

    def adopt(self, policy: PortPolicy, now: float) -> None:
        """The port has other terms now; the miner hears of them with its next job."""
        self.terms.adopt(policy)
        self.moved(now)

    def ask_minimum(self, difficulty: float, now: float) -> None:
        """BIP310 minimum-difficulty."""
        if self.terms.ask_minimum(difficulty, now):
            self.moved(now)

    def want_clean(self) -> None:
        """The job shall be sent again, and as a clean one."""
        self.wanted = self._force_clean = True
        self.interrupt()

    def moved(self, now: float, urgent: bool = False) -> None:
        """The difficulty may be another now: want the job again where waiting for the next one would hurt."""
        terms = self.terms
        sent = terms.sent
        if sent is None:
            return
        self.due = min(self.due, terms.vardiff.silence_at)
        target = terms.target(self._caps)
        if target == sent:
            return
        self.interrupt()
        if self.wanted:
            return
        if target < sent or target >= sent * REOFFER_RATIO or (urgent and target > sent):
            if now >= self._reoffer_after:
                self.wanted = True
            else:
                self.due = min(self.due, self._reoffer_after)

    def share(self, job_id: str, difficulty: float, now: float) -> None:
        """An accepted share, and what it is credited with. May set `wanted`."""
        terms = self.terms
        if job_id == self._reoffered_job_id and terms.sent is not None:
            difficulty = terms.sent  # what the miner filters by now, whatever it is credited with
        if terms.vardiff.share(difficulty, now):
            self.moved(now)

    def check(self, now: float) -> None:
        """Has the miner been silent for too long? May set `wanted`."""
        if self.terms.sent is not None:
            self.terms.vardiff.silent(now)
        self.due = math.inf
        self.moved(now)

    def go_on(self, job: JobOffer, clean_from: int) -> bytes | None:
        """The line of a newer job when nothing has to be said before it, as for nearly every miner at every job; it
        counts as sent. None: give() has to see to it. A broadcast comes by here 5,000 times while miners wait."""
        sequence = self.sequence
        if job.caps != self._steady_caps or job.sequence <= sequence:
            return None
        self.sequence = job.sequence
        return job.notify_clean if sequence < clean_from else job.notify

    def interrupt(self) -> None:
        """Something is to be said before the next job."""
        self._steady_caps = None

    def give(self, job: JobOffer, now: float, clean: bool | None, out: Outbox) -> bool:
        """Write a job, preceded by its difficulty where that changed; `clean` overrides the job's own word. False, and
        nothing written, when the miner has it, or a newer one."""
        again = job.sequence == self.sequence
        if job.sequence < self.sequence or (again and not self.wanted):
            return False
        terms, sent = self.terms, self.terms.sent
        self._caps = job.caps
        difficulty = terms.target(job.caps)
        terms.reach(self.sequence)
        terms.bind(job.sequence, difficulty)
        if difficulty != sent:
            out.line(messages.set_difficulty(difficulty))
            raised = again and sent is not None and difficulty > sent
            terms.vardiff.assign(difficulty, now, SETTLE_S if raised else 0.0)
            self._reoffered_job_id = job.job_id if raised else None
            self.due = min(self.due, terms.vardiff.silence_at)
        elif not again:
            self._reoffered_job_id = None
        if again:
            clean = self._force_clean
            self._reoffer_after = now + self._reoffer_interval_s
        elif self.sequence < 0 or self._force_clean:
            clean = True
        out.line(job.notify_clean if (job.clean if clean is None else clean) else job.notify)
        self.sequence = job.sequence
        self.wanted = self._force_clean = False
        self._steady_caps = job.caps if terms.is_even else None
        return True
