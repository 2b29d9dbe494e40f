"""A pool whose front ends and accountant meet only in Redis: real share logs, a real database, no miners."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from storage_samples import header_hash, make_route

from pool.blocks.solution_store import SolutionStore
from pool.services import share_feed, stream_ingest
from pool.services.share_feed import ShareFeed
from pool.services.stream_ingest import StreamIngest
from pool.shares.record import BEGINNING, Position, Route
from pool.shares.share_log import ShareLog
from pool.storage.books import SqlBooks
from pool.storage.database import Database
from pool.storage.redis_stream import RedisStream
from pool.storage.tables import shares

ANNA = make_route("anna", alpha="anna-alpha")
CHAINS = ("regbtc", "alpha", "beta")
_pools = itertools.count(1)
_hashes = itertools.count(1)


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


class FrontEnd:
    """A share log with its feed. `sent` are the header hashes of its shares."""

    def __init__(self, world: TransportWorld, name: str, consumed: tuple[Position, int] = (BEGINNING, 0)) -> None:
        self.name = name
        self.sent: list[bytes] = []
        folder = world.folder / name.replace("/", "-")
        self.log = ShareLog(
            folder / "shares",
            loop=asyncio.get_running_loop(),
            on_durable=lambda sequence: None,
            on_error=lambda error: None,
            interval_s=0.0,
            consumed=consumed,
        )
        self.solutions = SolutionStore(folder / "solutions")
        self.stream = RedisStream(world.redis_url, world.pool, name)
        self.reserves: dict[str, int] = {}
        self.feed = ShareFeed(
            name, self.log, self.solutions, self.stream, wall_ms, on_reserves=self.reserves.update, interval_s=0.01
        )
        self.task = asyncio.ensure_future(self.feed.run())

    def share(self, count: int = 1, route: Route = ANNA, time_ms: int | None = None, **options: Any) -> int:
        """The last one's sequence."""
        sequence = 0
        for _ in range(count):
            hash_ = header_hash(next(_hashes))
            sequence = self.log.append(
                route, "rig", wall_ms() if time_ms is None else time_ms, 10, CHAINS, hash_, **options
            )
            self.sent.append(hash_)
        return sequence

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await asyncio.to_thread(self.log.close)
        self.feed.close()
        await self.stream.close()


class Accountant:
    def __init__(self, world: TransportWorld, name: str) -> None:
        self.database = Database(world.url)
        self.books = SqlBooks(self.database, name, world.pool)
        self.stream = RedisStream(world.redis_url, world.pool, name)
        self.reserves: dict[str, int] = {}
        self.ingest = StreamIngest(self.stream, self.books, name, wall_ms, lambda: self.reserves)
        self.errors: list[BaseException] = []
        self._executor = ThreadPoolExecutor(1)
        self.task = asyncio.ensure_future(self._run())

    async def in_thread(self, call: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._executor, call, *arguments)

    async def _run(self) -> None:
        while True:
            try:
                await self.ingest.step(self.in_thread, True)
            except Exception as error:
                self.errors.append(error)
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        self._executor.shutdown()
        await self.stream.close()
        self.database.close()


class TransportWorld:
    """`pool` is a name of the test's own: tests share the Redis server."""

    def __init__(self, folder: Path, url: str, redis_url: str) -> None:
        self.folder = folder
        self.url = url
        self.redis_url = redis_url
        self.pool = f"pool{next(_pools)}"
        self.database = Database(url)
        self.front_ends: list[FrontEnd] = []
        self.accountants: list[Accountant] = []

    def front_end(self, name: str = "", **options: Any) -> FrontEnd:
        made = FrontEnd(self, f"{self.pool}/{name}" if name else self.pool, **options)
        self.front_ends.append(made)
        return made

    def accountant(self, name: str = "") -> Accountant:
        made = Accountant(self, f"{self.pool}/{name}" if name else self.pool)
        self.accountants.append(made)
        return made

    async def close(self) -> None:
        for part in (*self.front_ends, *self.accountants):
            await part.stop()
        self.database.close()

    def stored(self) -> list[bytes]:
        with self.database.read() as connection:
            return list(connection.execute(select(shares.c.header_hash)).scalars())

    def stored_count(self) -> int:
        with self.database.read() as connection:
            return connection.execute(select(func.count()).select_from(shares)).scalar_one()

    async def all_stored(self, limit_s: float = 30) -> None:
        """Until every share of every front end is in SQL, and nothing twice."""
        sent = {hash_ for front_end in self.front_ends for hash_ in front_end.sent}
        await until(lambda: self.stored_count() >= len(sent), f"{len(sent)} shares in SQL", limit_s)
        stored = self.stored()
        assert len(stored) == len(set(stored)) and set(stored) == sent


async def until(condition: Callable[[], Any], what: str, limit_s: float = 20) -> None:
    begun = time.monotonic()
    while True:
        answer = condition()
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer:
            return
        assert time.monotonic() - begun < limit_s, f"not within {limit_s:g} s: {what}"
        await asyncio.sleep(0.02)


def hasten(monkeypatch: Any) -> None:
    """Short waits, so that tests do not take as long as an operator would not notice."""
    monkeypatch.setattr(share_feed, "RETRY_S", 0.1)
    monkeypatch.setattr(share_feed, "NOTE_S", 0.1)
    monkeypatch.setattr(share_feed, "SOLUTION_AGAIN_S", 0.3)
    monkeypatch.setattr(stream_ingest, "PUBLISH_S", 0.1)
    monkeypatch.setattr(stream_ingest, "AGAIN_S", 1.0)
