"""The bundled miner: keeps a connection, hands its jobs to the hashing processes, submits what they find.

Stops after a number of shares, blocks or seconds, or when told to; ends with 1 when the pool refuses the login or a
goal was not reached in the time given.
"""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chains.primitives.hashes import POW_HASHES
from pool.mining_client.client import LoginRefusedError, StratumClient, StratumError
from pool.mining_client.status import StatusLine, Tally
from pool.mining_client.work import Job, header_for, spread_bits
from pool.mining_client.workers import Report, Unit, Worker

FIRST_BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 30.0
REMEMBERED_UNITS = 64  # units whose finds may still arrive after newer work went out


@dataclass(frozen=True, slots=True)
class MinerSettings:
    """Where and how to mine, and when to stop: after that many accepted shares, parent blocks, or seconds."""

    host: str
    port: int
    user: str
    password: str = "x"
    algorithm: str = "sha256d"
    threads: int = 1
    shares: int | None = None
    blocks: int | None = None
    duration_s: float | None = None
    first_nonce: int = 0  # where each unit begins; tests begin next to a known solution


@dataclass(frozen=True, slots=True)
class _Assigned:
    """What a unit was made of, to submit what is found in it."""

    client: StratumClient
    job: Job
    extranonce2: bytes
    version_bits: int | None


class Miner:
    """One miner. `run` returns the exit code; `stop` ends it from outside."""

    def __init__(self, settings: MinerSettings, say: Callable[[str], None], status: StatusLine | None = None) -> None:
        self.settings = settings
        self.tally = Tally()
        self._say = say
        self._status = status
        self._workers: list[Worker] = []
        self._units: dict[int, _Assigned] = {}
        self._unit_ids = itertools.count(1)
        self._counter = itertools.count()  # extranonce2 and rolled version of the next unit
        self._client: StratumClient | None = None
        self._job: Job | None = None
        self._submissions: set[asyncio.Task[None]] = set()
        self._done: asyncio.Future[int] | None = None
        self._logged_in = False

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        self._done = loop.create_future()
        timer = None
        if self.settings.duration_s is not None:
            timer = loop.call_later(self.settings.duration_s, self._time_over)
        tasks: set[asyncio.Future[None]] = set()
        try:
            for _ in range(self.settings.threads):
                worker = Worker(self.settings.algorithm)
                self._workers.append(worker)
                loop.add_reader(worker.connection.fileno(), self._take_reports, worker)
            tasks.add(asyncio.ensure_future(self._stay_connected()))
            if self._status is not None:
                tasks.add(asyncio.ensure_future(self._status.keep_printing(self.tally)))
            waited: set[asyncio.Future[Any]] = {self._done, *tasks}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()  # a task ends only after stop(), or by an error to be raised here
            return await self._done
        finally:
            if timer is not None:
                timer.cancel()
            await self._shut_down(tasks)

    def stop(self, exit_code: int = 0) -> None:
        """End the run with this exit code; the first call counts."""
        if self._done is not None and not self._done.done():
            self._done.set_result(exit_code)

    async def _shut_down(self, tasks: set[asyncio.Future[None]]) -> None:
        loop = asyncio.get_running_loop()
        for task in (*tasks, *self._submissions):
            task.cancel()
        await asyncio.gather(*tasks, *self._submissions, return_exceptions=True)
        for worker in self._workers:
            loop.remove_reader(worker.connection.fileno())
            worker.close()
        if self._client is not None:
            await self._client.close()
        if self._status is not None:
            self._status.print(self.tally, last=True)

    def _time_over(self) -> None:
        has_goal = self.settings.shares is not None or self.settings.blocks is not None
        self.stop(1 if has_goal or not self._logged_in else 0)

    async def _stay_connected(self) -> None:
        """Connect, mine, and come back after every end of the connection, waiting longer after each failure."""
        settings, backoff_s, port = self.settings, FIRST_BACKOFF_S, self.settings.port
        while True:
            client = StratumClient(
                settings.host, port, settings.user, settings.password, algorithm=settings.algorithm, say=self._say
            )
            try:
                await client.connect()
                self._client, self._logged_in, backoff_s = client, True, FIRST_BACKOFF_S
                self._say(f"connected to {settings.host}:{port} as {settings.user}")
                await self._mine(client)
            except LoginRefusedError as error:
                self._say(f"the pool refuses the login: {error}")
                self.stop(1)
                return
            except (OSError, StratumError) as error:
                self._rest()
                wait_s, port = backoff_s, settings.port
                if client.reconnect_wanted is not None:
                    port, wait_s = client.reconnect_wanted[0], max(client.reconnect_wanted[1], FIRST_BACKOFF_S)
                self._say(f"no pool: {error}; next try in {wait_s:g} s")
                await asyncio.sleep(wait_s)
                backoff_s = min(2 * backoff_s, LONGEST_BACKOFF_S)
            finally:
                await client.close()

    async def _mine(self, client: StratumClient) -> None:
        while True:
            job = await client.next_job()
            while not client.jobs.empty():
                job = client.jobs.get_nowait()
            self._job = job
            self.tally.difficulty = job.difficulty
            for worker in self._workers:
                self._assign(worker)

    def _rest(self) -> None:
        self._job = None
        for worker in self._workers:
            self._give(worker, None)

    def _assign(self, worker: Worker) -> None:
        """Fresh work of the present job: an extranonce2 of its own, and a rolled version where the pool allows."""
        job, client = self._job, self._client
        if job is None or client is None:
            return
        number, unit_id = next(self._counter), next(self._unit_ids)
        extranonce2 = (number % 256**job.extranonce2_size).to_bytes(job.extranonce2_size, "big")
        version_bits = spread_bits(number, job.version_mask) if job.version_mask else None
        self._units[unit_id] = _Assigned(client, job, extranonce2, version_bits)
        for old in [known for known in self._units if known <= unit_id - REMEMBERED_UNITS * len(self._workers)]:
            del self._units[old]
        head = header_for(job, job.extranonce1, extranonce2, job.time, 0, version_bits)[:76]
        self._give(worker, Unit(unit_id, head, job.share_target(self.settings.algorithm), self.settings.first_nonce))

    def _give(self, worker: Worker, unit: Unit | None) -> None:
        try:
            worker.assign(unit)
        except OSError:
            self._lose(worker)

    def _lose(self, worker: Worker) -> None:
        asyncio.get_running_loop().remove_reader(worker.connection.fileno())
        self._say("a hashing process ended")
        self.stop(1)

    def _take_reports(self, worker: Worker) -> None:
        try:
            reports = worker.reports()
        except (EOFError, OSError):
            self._lose(worker)
            return
        for report in reports:
            self.tally.hashes += report.hashes
            self._submit_finds(report)
            if report.exhausted:
                self._assign(worker)

    def _submit_finds(self, report: Report) -> None:
        assigned = self._units.get(report.unit_id)
        if assigned is None or assigned.client.closed.is_set():
            return
        for nonce in report.nonces:
            task = asyncio.ensure_future(self._submit(assigned, nonce))
            self._submissions.add(task)
            task.add_done_callback(self._submissions.discard)

    async def _submit(self, assigned: _Assigned, nonce: int) -> None:
        job, bits = assigned.job, assigned.version_bits
        header = header_for(job, job.extranonce1, assigned.extranonce2, job.time, nonce, bits)
        is_block = int.from_bytes(POW_HASHES[self.settings.algorithm](header), "little") <= job.block_target()
        try:
            accepted, error = await assigned.client.submit(job, assigned.extranonce2, job.time, nonce, bits)
        except StratumError:
            self.tally.unanswered += 1  # the connection's end is told by whoever keeps it
            return
        if not accepted:
            self.tally.refuse(error.message if error is not None else "no reason given")
            return
        self.tally.accepted += 1
        if is_block:
            self.tally.blocks += 1
            self._say(f"found a block of the parent chain with nonce {nonce:08x}")
        goals = (self.settings.shares, self.tally.accepted), (self.settings.blocks, self.tally.blocks)
        if any(goal is not None and reached >= goal for goal, reached in goals):
            self.stop(0)


def run_miner(settings: MinerSettings) -> int:
    """Mine until a goal, SIGINT or SIGTERM; the exit code."""

    async def main() -> int:
        status = StatusLine()
        miner = Miner(settings, status.say, status)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, miner.stop, 0)
        return await miner.run()

    return asyncio.run(main())
