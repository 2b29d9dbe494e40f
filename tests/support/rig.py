"""A miner in the test's hand: it looks for hashes between two bounds and keeps what the pool answered to each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chains.primitives.hashes import displayed, sha256d
from pool.mining_client.client import Job, Refusal, Solution, StratumClient, StratumError, header_for

LIMIT_S = 60.0  # of every wait for the pool: far more than a loaded machine needs, so that only a fault reaches it
STALE = 21


@dataclass(frozen=True, slots=True)
class Found:
    """A submission before it is sent. `header_hash` is natural order, computed here and not by the pool."""

    job: Job
    solution: Solution
    header_hash: bytes

    @property
    def hash_hex(self) -> str:
        """As the parent chain shows it."""
        return self.header_hash[::-1].hex()


class Rig:
    """One connection. `accepted` has the header hash of each share answered with true, `refused` the others' errors,
    `late_solves` the header hashes of stale submissions that a parent block's target met: blocks all the same."""

    def __init__(self, host: str, port: int, login: str, password: str, **options: Any) -> None:
        self.client = StratumClient(host, port, login, password, timeout_s=LIMIT_S, **options)
        self.login = login
        self.accepted: list[bytes] = []
        self.refused: list[Refusal] = []
        self.late_solves: list[bytes] = []
        self.unanswered: list[bytes] = []
        self._job: Job | None = None
        self._next_nonce: dict[bytes, int] = {}

    async def connect(self) -> None:
        await self.client.connect()

    async def close(self) -> None:
        await self.client.close()

    async def job(self) -> Job:
        """The newest job that has arrived; the pool may know of a newer tip already."""
        while self._job is None or not self.client.jobs.empty():
            self._job = await self._next_job(LIMIT_S, "the first job")
        return self._job

    async def job_where(self, condition: Callable[[Job], bool], what: str = "such a job") -> Job:
        """The newest job as soon as it is one like that. Raises AssertionError when none comes."""
        until_s = time.monotonic() + LIMIT_S
        job = await self.job()
        while not condition(job):
            job = self._job = await self._next_job(until_s - time.monotonic(), what)
            job = await self.job()
        return job

    async def job_on(self, tip_hex: str) -> Job:
        """The newest job as soon as it stands on this block of the parent."""
        return await self.job_where(lambda job: displayed(job.previous_hash) == tip_hex, f"a job on {tip_hex}")

    async def new_tip_after(self, previous_hash: bytes) -> float:
        """Wait for the first job on another tip; the monotonic time at which it was there."""
        what = f"a job on another tip than {displayed(previous_hash)}"
        await self.job_where(lambda job: job.previous_hash != previous_hash, what)
        return time.monotonic()

    async def find(
        self, at_most: int | None = None, above: int = -1, job: Job | None = None, extranonce2: bytes | None = None
    ) -> Found:
        """The next unused nonce of a job (by default the newest) whose hash is `above` < hash <= `at_most` (by default
        the share target). Jobs that make the same header, as after a reorganisation and back, share their nonces."""
        chosen = await self.job() if job is None else job
        extranonce2 = bytes(chosen.extranonce2_size) if extranonce2 is None else extranonce2
        work = header_for(chosen, chosen.extranonce1, extranonce2, chosen.time, 0)
        while True:
            start = self._next_nonce.get(work, 0)
            solution = await self.client.solve(chosen, at_most, start, extranonce2=extranonce2)
            self._next_nonce[work] = max(self._next_nonce.get(work, 0), solution.nonce + 1)
            if int.from_bytes(solution.pow_hash, "little") > above:
                break
        header = header_for(chosen, chosen.extranonce1, solution.extranonce2, solution.ntime, solution.nonce)
        return Found(chosen, solution, sha256d(header))

    async def submit(self, found: Found) -> Refusal | None:
        """Send it; None when it was accepted. Raises StratumError when the connection ends before the answer."""
        self.unanswered.append(found.header_hash)
        solution = found.solution
        accepted, refusal = await self.client.submit(found.job, solution.extranonce2, solution.ntime, solution.nonce)
        self.unanswered.remove(found.header_hash)
        if accepted:
            self.accepted.append(found.header_hash)
        else:
            assert refusal is not None, "neither accepted nor refused"
            self.refused.append(refusal)
            if refusal.code == STALE and solution.is_block:
                self.late_solves.append(found.header_hash)
        return refusal

    async def submit_in_time(self, found: Found) -> bool:
        """Send it; false when it came too late, which it may only where the tip has moved: a job on another one must
        follow. Any other refusal fails the test."""
        refusal = await self.submit(found)
        if refusal is None:
            return True
        assert refusal.code == STALE, refusal
        await self.new_tip_after(found.job.previous_hash)
        return False

    async def share(
        self,
        at_most: int | None = None,
        above: int = -1,
        *,
        where: Callable[[Job], bool] = lambda job: True,
        extranonce2: bytes | None = None,
    ) -> Found:
        """Find and submit one share, of a job like that, that is accepted; one that comes too late, because the tip
        moves meanwhile, is followed by another."""
        while True:
            found = await self.find(at_most, above, await self.job_where(where), extranonce2)
            if await self.submit_in_time(found):
                return found

    async def stream(self, stopped: asyncio.Event | None = None) -> None:
        """Shares without a pause until `stopped` or the end of the connection. A parent block's share is followed by
        work on the next tip: whoever goes on mining on the old one is late by his own fault."""
        try:
            while stopped is None or not stopped.is_set():
                found = await self.find()
                if await self.submit_in_time(found) and found.solution.is_block:
                    await self.new_tip_after(found.job.previous_hash)
        except StratumError:
            return

    async def _next_job(self, timeout_s: float, what: str) -> Job:
        try:
            return await self.client.next_job(max(0.01, timeout_s))
        except TimeoutError:
            raise AssertionError(f"not within {LIMIT_S:g} s: {what}; the newest is {self._job}") from None
