"""The jobs that may still earn something: those of the current and the previous parent tip."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from chains.primitives.share_kernel import SEEN_ROOM, SeenHashes
from pool.jobs.job import Job
from pool.jobs.tip import Tip

log = logging.getLogger("parapool.jobs")

# Enough for two hours of jobs every two seconds; past it the oldest job of the tip is forgotten (error 21).
MAX_JOBS_PER_TIP = 4096
# Accepted shares remembered per tip, in two tables of 19 MB: 83 minutes of a thousand a second, and one tip in four
# thousand lasts as long. Past it they are forgotten with the jobs that they are of, for what is no share of a known job
# is no repetition either. Only the newest two jobs stay, as shares of them are under way: such a share may be answered
# with true once more, but is never credited, for the books know the newest half a million hashes.
MAX_SEEN_PER_TIP = 2 * SEEN_ROOM
# A share of a job whose chain got a newer template counts for that chain this much longer: the time a job needs to
# reach a miner and its last shares to come back.
CHAIN_GRACE_S = 30.0


class JobTable:
    """Jobs by id. A job is stale when its tip is not the current one, whatever flags were sent."""

    __slots__ = (
        "_forget_at", "_generation", "_jobs", "_over", "_seen_before", "_superseded_at", "current", "previous_tip",
        "tip",
    )  # fmt: skip

    def __init__(self, seen: Iterable[bytes] = ()) -> None:
        """`seen` are header hashes of shares accepted before a restart: the first tip knows them as duplicates."""
        self._seen_before = SeenHashes()
        for header_hash in seen:
            self._seen_before.add(header_hash)
        self.tip: Tip | None = None
        self.previous_tip: Tip | None = None
        self.current: Job | None = None
        self._jobs: dict[str, Job] = {}
        self._superseded_at: dict[tuple[str, bytes], float] = {}
        self._generation = 0
        self._forget_at = 4 * MAX_JOBS_PER_TIP
        self._over: Tip | None = None

    def move_tip(self, previous_hash: bytes) -> Tip:
        """Start a tip; jobs older than the previous one are dropped. When the previous tip comes back (a reorganisation
        undone), its jobs are good again."""
        if self.previous_tip is not None and self.previous_tip.previous_hash == previous_hash:
            assert self.tip is not None
            self.tip, self.previous_tip = self.previous_tip, self.tip
            return self.tip
        before = (self.tip, self.previous_tip)
        if self.previous_tip is not None:
            for job_id in self.previous_tip.job_ids:
                del self._jobs[job_id]
        # Freeing a million hashes of Python's takes 50 ms; the first job of the new tip shall not wait for that.
        self._over = self.previous_tip
        self.previous_tip, self.tip = self.tip, Tip(previous_hash)
        self.tip.seen, self._seen_before = self._seen_before, SeenHashes()
        for tip in before:
            if tip is not None and tip.previous_hash == previous_hash:
                self.tip.seen = tip.seen
        return self.tip

    def add(self, job: Job, now: float) -> None:
        """Make this the current job; `now` is monotonic seconds."""
        before = self.current
        if before is not None:
            if before.tip is job.tip:
                self._over = None
            for chain, template in before.templates.aux.items():
                newer = job.templates.aux.get(chain)
                if newer is None or newer.aux_hash != template.aux_hash:
                    self._superseded_at.setdefault((chain, template.aux_hash), now)
                    self._generation += 1
        for chain, template in job.templates.aux.items():
            if self._superseded_at.pop((chain, template.aux_hash), None) is not None:
                self._generation += 1
        job_ids = job.tip.job_ids
        if len(job_ids) >= MAX_JOBS_PER_TIP:
            oldest = next(iter(job_ids))
            del job_ids[oldest], self._jobs[oldest]
        job_ids[job.job_id] = None
        self._jobs[job.job_id] = job
        self.current = job
        if len(job.tip.seen) >= MAX_SEEN_PER_TIP:
            self._forget_seen(job.tip)
        if len(self._superseded_at) > self._forget_at:
            self._forget_superseded()

    def _forget_seen(self, tip: Tip) -> None:
        """Which shares came on this tip, and all jobs but the newest two."""
        for job_id in list(tip.job_ids)[:-2]:
            del tip.job_ids[job_id], self._jobs[job_id]
        tip.seen = SeenHashes()
        log.warning("jobs forgotten, too many shares on one tip shares=%d", MAX_SEEN_PER_TIP)

    def _forget_superseded(self) -> None:
        live = {(chain, t.aux_hash) for job in self._jobs.values() for chain, t in job.templates.aux.items()}
        self._superseded_at = {key: at for key, at in self._superseded_at.items() if key in live}
        self._forget_at = max(4 * MAX_JOBS_PER_TIP, 2 * len(self._superseded_at))

    def get(self, job_id: str) -> Job | None:
        return self._jobs.get(job_id)

    def __len__(self) -> int:
        return len(self._jobs)

    def counted_chains(self, job: Job, now: float) -> tuple[str, ...]:
        """The chains that a share of this job counts for now: those it carries, until 30 s after their newer template
        was sent."""
        if job.counted_generation == self._generation and now < job.counted_until:
            return job.counted_chains
        until = float("inf")
        chains = [job.templates.parent.chain]
        for chain, template in job.templates.aux.items():
            ended = self._superseded_at.get((chain, template.aux_hash))
            if ended is None:
                chains.append(chain)
            elif now < ended + CHAIN_GRACE_S:
                chains.append(chain)
                until = min(until, ended + CHAIN_GRACE_S)
        job.counted_chains, job.counted_generation, job.counted_until = tuple(chains), self._generation, until
        return job.counted_chains
