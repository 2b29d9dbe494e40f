"""The books as the HTTP API and the metrics read them: on a connection that cannot write, in a thread of their own.

The bookkeeping's thread makes every write. A reader that shared it would let strangers delay credits by asking; beside
it, SQLite's write-ahead log lets both work at the same time, and a view sees the books as of its first statement.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from pool.storage import miner_views, views
from pool.storage.database import Database
from pool.storage.pool_hashrates import PoolHashrates
from pool.storage.recent_shares import RecentShares

T = TypeVar("T")


class BooksViews:
    """Implements pool.web.api.Books and pool.web.miner_api.MinerBooks; one view at a time."""

    def __init__(self, url: str) -> None:
        self._database = Database(url, read_only=True)
        self._recent = RecentShares()
        self._hashrates = PoolHashrates(self._recent)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="books-views")

    async def pool_overview(self, now_ms: int, started_ms: int) -> Mapping[str, Any]:
        return await self.read(views.pool_overview, now_ms, started_ms, self._recent)

    async def pool_hashrates(self, now_ms: int) -> Mapping[str, Any]:
        return await self.read(self._hashrates.series, now_ms)

    async def chain_blocks(
        self, chain: str | None, cursor: str | None, limit: int, among: Collection[str] | None = None
    ) -> Mapping[str, Any]:
        return await self.read(views.chain_blocks, chain, cursor, limit, among)

    async def block_with_credits(
        self, chain: str, hash_hex: str, cursor: str | None, limit: int
    ) -> Mapping[str, Any] | None:
        return await self.read(views.block_with_credits, chain, hash_hex, cursor, limit)

    async def miner(self, address: str, now_ms: int, started_ms: int) -> Mapping[str, Any] | None:
        return await self.read(views.miner, address, now_ms, started_ms)

    async def seen(self, address: str, now_ms: int) -> Mapping[str, Any]:
        return await self.read(miner_views.seen, address, now_ms)

    async def hashrates(self, address: str, now_ms: int) -> Mapping[str, Any] | None:
        return await self.read(miner_views.hashrates, address, now_ms)

    async def payments(self, address: str, cursor: str | None, limit: int) -> Mapping[str, Any] | None:
        return await self.read(miner_views.payments, address, cursor, limit)

    async def payout_facts(self, address: str, now_ms: int) -> Mapping[str, Any]:
        return await self.read(miner_views.payout_facts, address, now_ms)

    async def block_counts(self) -> dict[tuple[str, str], int]:
        return await self.read(views.block_counts)

    def close(self) -> None:
        """Waits for the view under way; those that wait are dropped."""
        self._executor.shutdown(cancel_futures=True)
        self._database.close()

    async def read(self, view: Callable[..., T], *arguments: Any) -> T:
        """What a function finds that takes a connection first."""

        def read() -> T:
            with self._database.read() as connection:
                return view(connection, *arguments)

        return await asyncio.get_running_loop().run_in_executor(self._executor, read)
