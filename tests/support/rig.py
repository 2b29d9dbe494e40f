"""A miner in the test's hand: it looks for hashes between two bounds and keeps what the pool answered to each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chains.primitives.hashes import sha256d
from pool.mining_client.client import Job, Refusal, Solution, StratumClient, header_for


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
    """One connection. `accepted` has the header hash of each share answered with true, `refused` the others' errors."""

    def __init__(self, host: str, port: int, login: str, password: str, **options: Any) -> None:
        self.client = StratumClient(host, port, login, password, **options)
        self.login = login
        self.accepted: list[bytes] = []
        self.refused: list[Refusal] = []
        self.unanswered: list[bytes] = []
        self._job: Job | None = None
        self._next_nonce: dict[str, int] = {}

    async def connect(self) -> None:
        await self.client.connect()

    async def close(self) -> None:
        await self.client.close()

    async def job(self, timeout_s: float = 10) -> Job:
        """The newest job."""
        while self._job is None or not self.client.jobs.empty():
            self._job = await self.client.next_job(timeout_s)
        return self._job

    async def job_where(self, condition: Callable[[Job], bool], timeout_s: float = 10) -> Job:
        """The newest job as soon as it is one like that."""
        async with asyncio.timeout(timeout_s):
            job = await self.job()
            while not condition(job):
                job = self._job = await self.client.next_job(timeout_s)
        return job

    async def new_tip_after(self, previous_hash: bytes, timeout_s: float = 10) -> float:
        """Wait for the first job on another tip; the monotonic time at which it was there."""
        await self.job_where(lambda job: job.previous_hash != previous_hash, timeout_s)
        return time.monotonic()

    async def find(self, at_most: int | None = None, above: int = -1, job: Job | None = None) -> Found:
        """The next unused nonce of a job (by default the newest) whose hash is `above` < hash <= `at_most` (by default
        the share target)."""
        chosen = await self.job() if job is None else job
        while True:
            start = self._next_nonce.get(chosen.job_id, 0)
            solution = await self.client.solve(chosen, at_most, start)
            self._next_nonce[chosen.job_id] = solution.nonce + 1
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
        return refusal

    async def share(self, at_most: int | None = None, above: int = -1) -> Found:
        """Find and submit one share that is accepted."""
        found = await self.find(at_most, above)
        refusal = await self.submit(found)
        assert refusal is None, refusal
        return found
