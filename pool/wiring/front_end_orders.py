"""What the mother says to a front end, done by its parts: jobs, drains, bans, messages, another configuration."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from pool.chain_setup import watched_chains
from pool.config.configuration import Config
from pool.config.reload import reload_between
from pool.fleet_setup import slot_config
from pool.live_status import LiveStatus
from pool.services.ban_book import BanBook, BanRefusedError
from pool.services.block_messages import BlockAnswered
from pool.services.block_relay import Spawn
from pool.services.bookkeeping import wall_ms
from pool.services.connection_list import ConnectionList
from pool.services.drain import Drain
from pool.services.front_end_answers import connections_found, miners_told
from pool.services.front_end_messages import (
    Announcement,
    BanNews,
    ConnectionsWanted,
    Consumed,
    DrainOver,
    FromMother,
    JobNews,
    MinerPaces,
    MinersToTell,
    NewValues,
    ParentNews,
)
from pool.services.job_feed import FollowedJobs
from pool.services.pace_telling import PaceTelling, remember
from pool.shares.record import Position
from pool.shares.share_log import ShareLog
from pool.wiring.following_mining import FollowingMining
from stratum.connection import LEAVE_S

log = logging.getLogger("parapool.frontends")

LAST_LEAVE_S = LEAVE_S + 5.0  # who is hung up on at the end of a drain has been asked so long before
TRIM_S = 60.0


class ToldBooks:
    """What the mother says of this front end's shares in the books: for the metrics, and for the share log, which may
    forget what is there. Without a `share_log` a feed sees to that."""

    def __init__(self, share_log: ShareLog | None, spawn: Spawn) -> None:
        self.consumed_through = -1
        self.lag_ms = 0
        self._share_log = share_log
        self._spawn = spawn
        self._trimmed_at = 0.0

    def heard(self, message: Consumed) -> None:
        self.consumed_through, self.lag_ms = message.sequence, message.lag_ms
        now = asyncio.get_running_loop().time()
        if self._share_log is not None and now - self._trimmed_at >= TRIM_S:
            self._trimmed_at = now
            position = Position(message.segment, message.offset)
            self._spawn(asyncio.to_thread(self._share_log.trim, position))


class FrontEndOrders:
    """`tell` says something to the mother, `end` ends this process."""

    def __init__(
        self,
        slot: int,
        mining: FollowingMining,
        status: LiveStatus,
        books: ToldBooks,
        paces: PaceTelling,
        tell: Callable[[Any], None],
        spawn: Spawn,
        end: Callable[[], None],
    ) -> None:
        self._slot = slot
        self._mining = mining
        self._servers = mining.servers.values()
        self._status = status
        self._books = books
        self._paces = paces
        self._tell = tell
        self._spawn = spawn
        self._end = end
        self._jobs = FollowedJobs(mining.table)
        self._drain = Drain(self._servers)
        self._connections = ConnectionList(self._servers, mining.intake.pow_name)
        self._bans = BanBook(self._servers, mining.config.pool.data_dir / "bans.json")
        self._failure = ""

    def work(self) -> Iterator[Coroutine[Any, Any, Any]]:
        """What goes on for as long as the process runs."""
        yield self._drain.run()
        yield self._paces.run()

    def act(self, message: FromMother) -> None:
        """At once, or begun; what is no order is not heeded."""
        if isinstance(message, ParentNews):
            self._jobs.take_parent(message)
        elif isinstance(message, JobNews):
            self._take_job(message)
        elif isinstance(message, Announcement):
            for server in self._servers:
                server.announce(message.text, set(message.realms))
        elif isinstance(message, ConnectionsWanted):
            now, now_ms = time.monotonic(), wall_ms()
            self._tell(connections_found(self._connections, message, self._slot, now, now_ms))
        elif isinstance(message, MinersToTell):
            self._spawn(self._tell_miners(message))
        elif isinstance(message, NewValues):
            self._adopt(message)
        elif isinstance(message, Consumed):
            self._books.heard(message)
        elif isinstance(message, BlockAnswered) and self._mining.relay is not None:
            self._mining.relay.heard(message)
        elif isinstance(message, DrainOver):
            self._drain_over(message)
        elif isinstance(message, BanNews):
            self._spawn(self._ban(message))
        elif isinstance(message, MinerPaces):
            remember(self._paces.memory, message, time.monotonic())

    def _take_job(self, message: JobNews) -> None:
        try:
            job = self._jobs.take_job(message, self._mining.jobs.settings)
        except (ValueError, KeyError) as error:  # of a configuration that this front end, about to go, has not
            if repr(error) != self._failure:
                log.error("a job of the mother's cannot be made here, miners stay on the last one: %r", error)
            self._failure = repr(error)
            return
        if job is not None:
            self._mining.jobs.deliver(job)

    async def _tell_miners(self, message: MinersToTell) -> None:
        self._tell(await miners_told(self._servers, message))

    async def _ban(self, message: BanNews) -> None:
        try:
            if message.seconds is None:
                await self._bans.remove(message.network)
            else:
                await self._bans.add(message.network, message.seconds, message.reason)
        except (BanRefusedError, OSError) as error:
            log.error("a ban is not in force in this front end network=%s: %s", message.network, error)

    def _adopt(self, message: NewValues) -> None:
        """Another configuration, which the mother has taken over already. At once: the next message is a job of it."""
        new = slot_config(Config.made_of(message.values), self._slot)
        change = reload_between(self._mining.config, new)
        fresh = watched_chains(new, (*change.added, *change.renewed))
        former = self._mining.adopt(change, fresh)
        self._status.adopt(new)
        self._spawn(self._adopted(former))

    async def _adopted(self, former: list[Any]) -> None:
        await self._mining.ports.reroute()
        for node in former:
            await node.close()

    def _drain_over(self, message: DrainOver) -> None:
        if message.over_s < 0:
            self._drain.end()
            return
        for server in self._servers:
            server.take_waiting()  # who is in the queue of a port that closes would be refused
        self._paces.look_now()
        self._drain.begin(message.over_s)
        if message.ends:
            self._spawn(self._end_when_drained(message.over_s))

    async def _end_when_drained(self, over_s: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + over_s + LAST_LEAVE_S
        while loop.time() < until and any(server.connections for server in self._servers):
            await asyncio.sleep(0.2)
        log.info("front end is drained, it ends slot=%d", self._slot)
        self._end()
