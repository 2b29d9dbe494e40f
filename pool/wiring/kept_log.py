"""The share log and solutions of a front end that is not running: its mother brings what is left into the books.

A window waits for every front end that the pool ever had. One that rests (its slot is not needed now, or its successor
has another) receives nothing any more, so all it ever answered is in the books once its log is read to the end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from pool.blocks.solution_store import SolutionStore
from pool.config.configuration import Config
from pool.data_dir import claim_name, lock_data_dir
from pool.services.bookkeeping import wall_ms
from pool.services.log_ingest import LogIngest
from pool.shares.record import Position
from pool.shares.share_log import ShareLog
from pool.storage.books import SqlBooks
from pool.wiring.mining import Mining
from pool.wiring.transport import Transport

log = logging.getLogger("parapool.frontends")

Spawn = Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]]


class KeptLog:
    """Holds the slot's folder until `close`."""

    def __init__(self, config: Config) -> None:
        """`config` is the slot's. Raises StartError when a process has the folder."""
        self.config = config
        self.ingest: LogIngest | None = None
        self._lock = lock_data_dir(config.pool.data_dir)
        self._transport: Transport | None = None
        self._share_log: ShareLog | None = None
        self._feeding: asyncio.Task[Any] | None = None

    async def open(
        self, books: SqlBooks | None, consumed: tuple[Position, int], mining: Mining, spawn: Spawn
    ) -> None:
        """`books` takes shares in directly; without it they are fed to Redis. Raises StartError, OSError and whatever
        damaged files cause."""
        data_dir = self.config.pool.data_dir
        claim_name(data_dir, self.config.pool.log_name)
        directory = data_dir / "shares"
        if books is None:
            self._transport = Transport(self.config)
            consumed = await self._transport.consumed(directory, Transport.has_log(directory))
        solutions = SolutionStore(data_dir / "solutions", is_guest=True)
        self._share_log = ShareLog(
            directory,
            loop=asyncio.get_running_loop(),
            on_durable=lambda sequence: None,
            on_error=lambda error: None,  # told by the log itself; nothing is written to it
            consumed=consumed,
            keep_s=self.config.books.share_log_hours * 3600,
        )
        if books is not None:
            self.ingest = LogIngest(self._share_log, solutions, books.of_log(self.config.pool.log_name), wall_ms)
        elif self._transport is not None:
            self._transport.connect(self._share_log, solutions, None, mining)
            assert self._transport.feed is not None
            self._feeding = spawn(self._transport.feed.run())

    async def close(self) -> None:
        """The folder is free for a process then."""
        if self._feeding is not None:
            self._feeding.cancel()
            await asyncio.gather(self._feeding, return_exceptions=True)
        if self._share_log is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._share_log.close)
        if self._transport is not None:
            await self._transport.close()
        self._lock.close()
