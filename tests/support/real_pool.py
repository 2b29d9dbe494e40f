"""The pool as an operator runs it: `pool run` in a process of its own, with a data folder and ports of its own, watched
through nothing but its Stratum port, its HTTP API and its log."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from chains.primitives.hashes import displayed, sha256d
from pool.devnet.demo.children import Child, pool_command, stop
from pool.mining_client.client import Job, Refusal, StratumClient, header_for

log = logging.getLogger("tests.real_pool")

START_S = 90.0
WAIT_S = 60.0  # of every wait: far more than a loaded machine needs, so that only a fault reaches it
PAUSE_S = 0.1
FEE_PPM = 10_000
# Some hundred hashes a share: nothing to a miner, and beyond every regtest target, so that each share is a block.
SHARE_DIFFICULTY = {"sha256d": 2.0**-24, "scrypt": 2.0**-12}
TRACEBACK = "Traceback (most recent call last)"

T = TypeVar("T")


async def until(probe: Callable[[], Awaitable[T | None]], what: str, timeout_s: float = WAIT_S) -> T:
    """The probe's first answer that is neither None nor False. Raises AssertionError with `what` was waited for."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        answer = await probe()
        if answer is not None and answer is not False:
            return answer
        assert time.monotonic() < deadline_s, f"after {timeout_s:g} s still not so: {what}"
        await asyncio.sleep(PAUSE_S)


class RealPool:
    """One pool. `chains` is the `chains` section of its configuration, `pow_hash` the parent's proof of work; ports are
    the caller's choice. Usable as an asynchronous context manager, which starts and stops it."""

    def __init__(
        self,
        directory: Path,
        chains: Mapping[str, Mapping[str, Any]],
        *,
        parent: str,
        pow_hash: str,
        stratum_port: int,
        http_port: int,
    ) -> None:
        self.directory = directory
        self.parent = parent
        self.pow_hash = pow_hash
        self.stratum_port = stratum_port
        self.url = f"http://127.0.0.1:{http_port}"
        self.config_path = directory / "pool.yaml"
        self.child: Child | None = None
        self._miners: list[Miner] = []
        self._session: aiohttp.ClientSession | None = None
        difficulty = SHARE_DIFFICULTY[pow_hash]
        port = {"bind": f"127.0.0.1:{stratum_port}", "start_difficulty": difficulty, "minimum_difficulty": difficulty}
        config = {
            "pool": {"name": "nodes", "data_dir": str(directory / "data"), "fee_ppm": FEE_PPM},
            "stratum": {"ports": [{**port, "vardiff": False}], "limits": {"exempt_loopback": True}},
            "http": {"bind": f"127.0.0.1:{http_port}"},
            "parent": parent,
            "chains": chains,
        }
        directory.mkdir(parents=True, exist_ok=True)
        self.config_path.write_text(json.dumps(config, indent=1))  # which is YAML too

    async def __aenter__(self) -> RealPool:
        await self.start()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.stop()

    # -- the process ----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Until it takes shares (GET /healthz)."""
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WAIT_S))
        self.child = Child("pool", pool_command("run", "-c", str(self.config_path)), self.directory / "pool.log")
        try:
            await until(self._healthy, "the pool is healthy", START_S)
        except BaseException:
            log.error("the pool did not start: %s", self.log_text()[-3000:])
            await self.stop()
            raise

    async def stop(self) -> None:
        """As an operator does (SIGTERM), which must end in order and without anything having gone wrong unseen."""
        for miner in self._miners:
            await miner.client.close()
        if self._session is not None:
            await self._session.close()
        assert self.child is not None
        killed = await asyncio.to_thread(stop, [self.child])
        text = self.log_text()
        assert not killed, f"the pool did not stop by itself: {text[-3000:]}"
        assert self.child.exit_code() == 0, f"the pool ended with {self.child.exit_code()}: {text[-3000:]}"
        assert TRACEBACK not in text, text[-5000:]

    async def kill(self) -> None:
        """kill -9; it may be started again."""
        for miner in self._miners:
            await miner.client.close()
        self._miners.clear()
        assert self.child is not None and self._session is not None
        await self._session.close()
        self.child.process.kill()
        await asyncio.to_thread(self.child.process.wait)

    async def _healthy(self) -> bool:
        assert self.child is not None and self._session is not None
        assert self.child.exit_code() is None, f"the pool ended: {self.log_text()[-3000:]}"
        try:
            async with self._session.get(f"{self.url}/healthz") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    def log_text(self) -> str:
        return self.child.log_text() if self.child is not None else ""

    def log_lines(self, *parts: str) -> list[str]:
        """The lines of its log that hold all of these."""
        return [line for line in self.log_text().splitlines() if all(part in line for part in parts)]

    # -- the API --------------------------------------------------------------------------------------------------

    async def get(self, path: str) -> Any:
        """The JSON answer of an endpoint below /api/v1, None for 404."""
        assert self._session is not None
        async with self._session.get(f"{self.url}/api/v1/{path}") as answer:
            if answer.status == 404:
                return None
            assert answer.status == 200, f"{path}: {answer.status} {await answer.text()}"
            return await answer.json()

    async def in_tree(self, names: Iterable[str]) -> None:
        """Wait until these chains are mined."""
        wanted = set(names)

        async def mined() -> bool:
            items = (await self.get("chains"))["items"]
            return wanted <= {chain["name"] for chain in items if chain["in_tree"] and chain["state"] == "ok"}

        await until(mined, f"{', '.join(sorted(wanted))} are mined")

    async def block(self, chain: str, hash_hex: str, state: str, timeout_s: float = WAIT_S) -> dict[str, Any]:
        """A block with its credits, once it is in this state."""
        seen: list[Any] = []

        async def wanted() -> dict[str, Any] | None:
            found = await self.get(f"blocks/{chain}/{hash_hex}")
            seen[:] = [found]
            return found if found is not None and found["state"] == state else None

        try:
            return await until(wanted, f"{chain} block {hash_hex} is {state}", timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {seen}\n{self.log_text()[-3000:]}") from None

    async def immature(self, address: str, chain: str) -> int:
        """What an address has earned on a chain and may still lose."""
        found = await self.get(f"miners/{address}")
        sums = {} if found is None else found["balances"].get(chain, {})
        amount: int = sums.get("immature", 0)
        return amount

    # -- mining ---------------------------------------------------------------------------------------------------

    async def miner(self, user: str, password: str = "x") -> Miner:
        """A connected miner, closed with the pool."""
        client = StratumClient(
            "127.0.0.1", self.stratum_port, user, password, algorithm=self.pow_hash, timeout_s=WAIT_S
        )
        miner = Miner(client)
        self._miners.append(miner)
        await miner.client.connect()
        return miner


@dataclass(frozen=True, slots=True)
class Submitted:
    """A solved header as it was sent: its hash as the parent shows it, and the pool's error if there was one."""

    hash_hex: str
    error: Refusal | None


class Miner:
    """One connection that mines in this process, and the newest job it has seen."""

    def __init__(self, client: StratumClient) -> None:
        self.client = client
        self._job: Job | None = None
        self._tried: tuple[str, int] = ("", 0)  # a job, and where its next nonce is looked for

    async def job(self, wanted: Callable[[Job], bool] = lambda job: True) -> Job:
        """The newest job, once that is one like this. Raises AssertionError."""
        try:
            async with asyncio.timeout(WAIT_S):
                while self._job is None or not self.client.jobs.empty() or not wanted(self._job):
                    self._job = await self.client.next_job()
        except TimeoutError:
            raise AssertionError(f"after {WAIT_S:g} s still no such job, the newest is {self._job}") from None
        return self._job

    async def send(self, job: Job) -> Submitted:
        """A share of this job, which on regtest is a block of every chain in it; each time another one."""
        job_id, start = self._tried
        solution = await self.client.solve(job, None, start if job_id == job.job_id else 0)
        self._tried = (job.job_id, solution.nonce + 1)
        header = header_for(job, job.extranonce1, solution.extranonce2, solution.ntime, solution.nonce)
        _, error = await self.client.submit(job, solution.extranonce2, solution.ntime, solution.nonce)
        return Submitted(displayed(sha256d(header)), error)
