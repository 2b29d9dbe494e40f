"""What lies between a process's share log and the books: nothing, or Redis. Knows the concrete classes of both ways."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pool.blocks.solution_store import SolutionStore
from pool.blocks.stream_entry import TransportAwayError, drain_note, encode_entry
from pool.config.configuration import Config
from pool.data_dir import StartError
from pool.services.bookkeeping import Ingest, wall_ms
from pool.services.log_ingest import LogIngest
from pool.services.share_buying import take_reserve
from pool.services.share_feed import ShareFeed
from pool.services.stream_ingest import StreamIngest
from pool.shares.log_segment import segment_numbers
from pool.shares.record import BEGINNING, Position
from pool.shares.share_log import ShareLog
from pool.shares.watermark import UNDRAINED
from pool.storage.books import SqlBooks
from pool.storage.redis_stream import RedisStream
from pool.wiring.mining import Mining

log = logging.getLogger("parapool.feed")

LAST_FEED_S = 2.0
FIRST_ANSWER_S = 5.0
INTRODUCTION_S = 30.0


class Transport:
    """One process's end. `serves` miners, `keeps_books`: what its role asks of it."""

    def __init__(self, config: Config) -> None:
        """Raises StartError when the transport's address cannot be used."""
        self._log_name = config.pool.log_name
        self.serves = config.pool.serves
        self.keeps_books = config.pool.keeps_books
        self.feed: ShareFeed | None = None
        self._stream: RedisStream | None = None
        if config.transport.kind == "redis":
            try:
                self._stream = RedisStream(config.transport.redis_url(), config.pool.name, self._log_name)
            except ValueError as error:
                raise StartError(str(error)) from error

    async def consumed(self, log_directory: Path, known: bool) -> tuple[Position, int]:
        """For a front end that has no database to ask: how far the books are with its share log.

        A front end with a share log of its own (`known`) does without the answer. One without any must know whether the
        books have a log of its name already, else it would give numbers a second time. Raises StartError.
        """
        assert self._stream is not None
        try:
            async with asyncio.timeout(FIRST_ANSWER_S):
                news = await self._stream.news(self._log_name)
        except (TransportAwayError, TimeoutError) as error:
            if not known:
                raise StartError(f"a front end's first start needs Redis: {error}") from error
            log.warning("redis is away at the start, shares wait in the share log: %s", error)
            return BEGINNING, 0
        if not known and news.consumed is None:
            await self._introduce()
        elif not known:
            raise StartError(
                f"the books have shares of {self._log_name!r} and {log_directory} has none: restore it, or give this "
                "front end another pool.front_end and write the old one off (pool ledger write-off)"
            )
        return news.consumed or BEGINNING, 0

    async def _introduce(self) -> None:
        """A new front end serves nobody before the books know it, as windows wait for those they know only."""
        assert self._stream is not None
        greeting = encode_entry(drain_note(self._log_name, BEGINNING, UNDRAINED))
        try:
            async with asyncio.timeout(INTRODUCTION_S):
                await self._stream.append([greeting])
                while (await self._stream.news(self._log_name)).consumed is None:
                    await asyncio.sleep(0.2)
        except (TransportAwayError, TimeoutError) as error:
            raise StartError("a front end's first start needs the accountant at work: start that first") from error

    def connect(
        self, share_log: ShareLog, solutions: SolutionStore, books: SqlBooks | None, mining: Mining
    ) -> Ingest | None:
        """Builds this process's side; what the bookkeeping takes in, when there is one."""
        guards = {chain: bought.guard for chain, bought in mining.schemes.bought.items()}

        def hear(reserves: Mapping[str, int]) -> None:
            for chain, guard in guards.items():
                if chain in reserves and reserves[chain] != guard.reserve:
                    take_reserve(chain, guard, reserves[chain], mining.scheme_changed)

        def tell() -> dict[str, int]:
            return {chain: guard.reserve for chain, guard in guards.items() if guard.reserve is not None}

        if self._stream is not None and self.serves:
            # Whoever has the books reads the reserves there.
            on_reserves = hear if books is None else lambda reserves: None
            self.feed = ShareFeed(
                self._log_name, share_log, solutions, self._stream, wall_ms, on_reserves=on_reserves
            )
        if books is None:
            return None
        if self._stream is None:
            return LogIngest(share_log, solutions, books, wall_ms)
        return StreamIngest(self._stream, books, self._log_name, wall_ms, tell)

    @staticmethod
    def has_log(log_directory: Path) -> bool:
        return log_directory.is_dir() and bool(segment_numbers(log_directory))

    async def feed_last(self) -> None:
        """At a stop: what is durable goes out, if there is anybody to take it. The rest waits in the log."""
        if self.feed is not None:
            try:
                with suppress(TransportAwayError, TimeoutError):
                    async with asyncio.timeout(LAST_FEED_S):
                        await self.feed.step()
            except OSError as error:  # a disk that fails must not keep the rest from being stopped
                log.error("the last of the share log is not fed, the next start feeds it: %s", error)

    async def close(self) -> None:
        if self.feed is not None:
            self.feed.close()
        if self._stream is not None:
            await self._stream.close()
