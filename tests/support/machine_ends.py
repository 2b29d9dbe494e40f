"""A maker of jobs and machines that follow it, with little around it (support/machine_line.py lies between)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from pool.blocks.solution_store import SolutionRecord
from pool.services.block_messages import BlockAnswered
from pool.services.block_relay import BlockRelay
from pool.services.front_end_messages import JobNews
from pool.services.job_following import JobFollower
from pool.services.job_publishing import JobPublisher
from pool.services.maker_messages import FromMaker
from pool.services.submission_ending import Ending
from support.job_factory import JobFactory, parent_template
from support.machine_line import MemoryLine

POOL, KEY = "devnet", b"k" * 32
LIMIT_S = 10.0
RECORD = SolutionRecord(
    chain="regbtc", block_hash_hex="ab" * 32, height=7, payload={"block": "00"}, nodes=["regbtc[0]"], share_sequence=1,
    found_ms=1, reward_hint=5, stale=False, target_hex="ff" * 32, share_weight=1,
)  # fmt: skip


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.005)


class Blocks:
    """The parts of BlockSubmission and its BlockNodes that are asked. `open` holds answers back."""

    def __init__(self) -> None:
        self.nodes = self
        self.asked: list[tuple[SolutionRecord, bool]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.outcomes: list[str] = []

    def any_of(self, chain: str) -> bool:
        return chain == "regbtc"

    async def ask(self, record: SolutionRecord, until: float, *, again: bool = False) -> Ending:
        self.asked.append((record, again))
        await self.open.wait()
        return Ending("accepted", "accepted")

    def on_outcome(self, chain: str) -> None:
        self.outcomes.append(chain)


class Maker:
    def __init__(self, line: MemoryLine, owner: str, wall_ms: Callable[[], int]) -> None:
        self.blocks: Any = Blocks()
        self.factory = JobFactory()
        spawn = asyncio.ensure_future
        self.publisher = JobPublisher(line, POOL, KEY, owner, self.blocks, spawn, wall_ms)
        self.parent = parent_template()

    def job(self, height: int = 101) -> str:
        """Publishes one; its id."""
        if height != self.parent.height:
            self.parent = parent_template(height, bytes([height]) * 32)
        job = self.factory.make(self.parent)
        self.publisher.job(job, self.parent, frozenset())
        return str(job.job_id)


class Machine:
    def __init__(self, line: MemoryLine, owner: str = "family eu@here 1", number: int = 1) -> None:
        self.heard: list[FromMaker] = []
        self.lost: list[str] = []
        self.follower = JobFollower(line, POOL, KEY, number, owner, self._hear, self.lost.append, wall_ms)
        self.relay = BlockRelay(self.follower.tell, again_s=0.05)

    def _hear(self, message: FromMaker) -> None:
        self.heard.append(message)
        if isinstance(message, BlockAnswered):
            self.relay.heard(message)

    @property
    def jobs(self) -> list[str]:
        return [message.job_id for message in self.heard if isinstance(message, JobNews)]


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def running(*work: Any) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(part.run()) for part in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [one for one in ended if not isinstance(one, asyncio.CancelledError)] == []
