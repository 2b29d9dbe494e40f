"""Every new form of a job is tried once: solved at the easiest target, its proofs given to two verifiers.

Mining merged chains fails silently: shares are accepted for weeks, and only the first block shows that a chain refuses
what we make. So each shape (pool/jobs/proof_trial.py) that goes out to miners is checked soon after, in a thread of its
own and never before it: a job waits for nothing here. Jobs repeat their shapes, so this is some checks an hour. A trial
that fails stops nothing either, the other chains of the job being good; it is an alarm and a metric.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from pool.jobs.job import Job
from pool.jobs.proof_trial import ProofShape, Trial, TrialTerms, proof_shape, try_job

log = logging.getLogger("parapool.jobs")

BEGIN_S = 1.0
"""After a job was sent: its shares come first."""

PAUSE_S = 0.02
"""Between the parts of a trial, whose Python would keep the loop waiting for the interpreter's lock."""

MOST_WAITING = 16
MOST_REMEMBERED = 4096
"""Shapes. Chains that come and go make many in the end; what is forgotten is checked once more."""

HOLDS, FAILS, BROKEN = "holds", "fails", "broken"


class JobChecks:
    """`results` counts trials by chain and result: `holds`, `fails`, `broken` for one that could not be made. A chain
    that was tried has all three, so that Prometheus sees the first failure as an increase."""

    def __init__(
        self,
        terms: TrialTerms,
        *,
        begin_s: float = BEGIN_S,
        trial: Callable[[Job, TrialTerms, Callable[[], None]], Sequence[Trial]] = try_job,
    ) -> None:
        self.results: Counter[tuple[str, str]] = Counter()
        self._terms = terms
        self._begin_s = begin_s
        self._trial = trial
        self._seen: set[ProofShape] = set()
        self._waiting: dict[ProofShape, tuple[Job, TrialTerms]] = {}
        self._arrived = asyncio.Event()

    @property
    def terms(self) -> TrialTerms:
        """What the next jobs are tried with; those that wait keep the terms they were made under. Under new ones every
        shape is new."""
        return self._terms

    @terms.setter
    def terms(self, terms: TrialTerms) -> None:
        self._terms = terms
        self._seen.clear()

    def saw(self, job: Job) -> None:
        """A job was sent to miners. Of several that wait with one shape the newest is tried."""
        shape = proof_shape(job)
        if shape in self._seen:
            return
        if shape not in self._waiting and len(self._waiting) >= MOST_WAITING:
            del self._waiting[next(iter(self._waiting))]  # a shape that is in use comes again with its next job
        self._waiting[shape] = job, self._terms
        self._arrived.set()

    async def run(self) -> None:
        """Check what comes, for ever."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, thread_name_prefix="job-checks") as thread:
            while True:
                await self._arrived.wait()
                await asyncio.sleep(self._begin_s)
                while self._waiting:
                    shape = next(iter(self._waiting))
                    job, terms = self._waiting.pop(shape)
                    await self._check(loop, thread, job, terms)
                    if terms is self._terms:
                        self._remember(shape)
                self._arrived.clear()

    async def _check(
        self, loop: asyncio.AbstractEventLoop, thread: ThreadPoolExecutor, job: Job, terms: TrialTerms
    ) -> None:
        for chain in job.templates.chains():
            self.results.update({(chain, result): 0 for result in (HOLDS, FAILS, BROKEN)})
        try:
            trials = await loop.run_in_executor(thread, self._trial, job, terms, _pause)
        except Exception:  # a fault of the check itself must not end the pool
            log.exception("alarm: a job's proofs could not be tried job=%s", job.job_id)
            self.results.update((chain, BROKEN) for chain in job.templates.chains())
            return
        for chain, problem in trials:
            self.results[chain, FAILS if problem else HOLDS] += 1
            if problem:
                log.error("alarm: a proof of this job would be refused: %s chain=%s job=%s", problem, chain, job.job_id)

    def _remember(self, shape: ProofShape) -> None:
        if len(self._seen) >= MOST_REMEMBERED:
            self._seen.clear()
        self._seen.add(shape)


def _pause() -> None:
    time.sleep(PAUSE_S)
