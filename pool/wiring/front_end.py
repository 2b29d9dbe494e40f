"""One front end of several: miners, shares and found blocks, with jobs that its mother makes; nothing else.

It asks no node for work and opens no database. What it finds it submits itself, at once; its share log it tells the
mother about, or feeds to Redis. A mother that is away is waited for (pool/services/mother_link.py).
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import sys
import time
from asyncio import AbstractEventLoop
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, cast

import msgspec

from pool.accounting.books_away import UnusableLogError
from pool.blocks.solution_store import SolutionStore
from pool.blocks.space_reserve import RESERVE_BYTES
from pool.chain_setup import watched_chains
from pool.config import Config
from pool.config_reload import reload_between
from pool.data_dir import StartError, claim_name, lock_data_dir
from pool.fleet_figures import figures_of
from pool.fleet_setup import slot_config
from pool.live_status import LiveStatus
from pool.log_setup import set_up_log
from pool.notifications import notifying
from pool.reactor import raise_open_files
from pool.reactor import run as run_reactor
from pool.services.ban_book import BanBook, BanRefusedError
from pool.services.block_messages import BlockAnswered
from pool.services.block_relay import BlockRelay
from pool.services.bookkeeping import wall_ms
from pool.services.connection_list import ConnectionList
from pool.services.drain import Drain
from pool.services.front_end_answers import connections_found, miners_told
from pool.services.front_end_messages import (
    VERSION,
    Announcement,
    BanNews,
    ConnectionsWanted,
    Consumed,
    Drained,
    DrainOver,
    FromMother,
    Hello,
    JobNews,
    MinerPaces,
    MinersToTell,
    NewValues,
    ParentNews,
    Present,
    Serving,
    Stop,
    Welcome,
    WorkWanted,
)
from pool.services.job_feed import FollowedJobs
from pool.services.log_ingest import DrainClock
from pool.services.mother_link import MotherLink
from pool.services.pace_telling import PaceTelling, remember
from pool.shares.log_segment import CorruptShareLog
from pool.shares.record import Position
from pool.shares.share_log import ShareLog
from pool.ticks import next_tick
from pool.wiring.following_mining import FollowingMining, ToldBooks
from pool.wiring.miner_ports import owner_of
from pool.wiring.running_tasks import RunningTasks
from pool.wiring.transport import Transport
from stratum.connection import LEAVE_S
from stratum.extranonce import ExtranonceAllocator, ExtranonceSpace
from stratum.port_claim import PortClaim
from stratum.transport import ReadGate

log = logging.getLogger("parapool.frontends")

TELL_S = 0.5
FIGURES_ROUNDS = 4  # every two seconds: reading all metrics costs as much as ten shares
WELCOME_S = 30.0
LAST_LEAVE_S = LEAVE_S + 5.0  # who is hung up on at the end of a drain has been asked so long before
TRIM_S = 60.0
LONELY_S = 0.016
"""Shares of few miners are waited for twice as long as by a process that has all of them: two processes would take half
as much processor again for the same shares as one. Where there are many, nothing waits longer."""


class RunningFrontEnd:
    """`run` returns the exit code."""

    config: Config
    mining: FollowingMining
    status: LiveStatus
    share_log: ShareLog
    solutions: SolutionStore

    def __init__(self, socket: Path, slot: int) -> None:
        self._slot = slot
        self._link = MotherLink(socket, self._hello, self._hear)
        self._welcome: asyncio.Future[Welcome] = asyncio.get_running_loop().create_future()
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._tasks = RunningTasks(lambda reason: self._end(1))
        self._spawn = self._tasks.spawn
        self._opened = ExitStack()
        self._early: list[FromMother] = []  # what is heard before there is anything to do it with
        self._books = ToldBooks()
        self._trimmed_at = 0.0
        self._failure = ""
        self._serves = self._listens = False

    # -- the mother ------------------------------------------------------------------------------------------------

    def _hello(self) -> Hello:
        return Hello(VERSION, self._slot, os.getpid(), self._serves)

    def _hear(self, message: FromMother) -> None:
        if isinstance(message, Stop):
            self._end(0)
        elif isinstance(message, Welcome):
            if not self._welcome.done():
                self._welcome.set_result(message)
        elif not self._serves:
            self._early.append(message)
        else:
            self._act(message)

    def _act(self, message: FromMother) -> None:
        if isinstance(message, ParentNews):
            self._jobs.take_parent(message)
        elif isinstance(message, JobNews):
            self._take_job(message)
        elif isinstance(message, Announcement):
            for server in self.mining.servers.values():
                server.announce(message.text, set(message.realms))
        elif isinstance(message, ConnectionsWanted):
            now, now_ms = time.monotonic(), wall_ms()
            self._link.tell(connections_found(self._connections, message, self._slot, now, now_ms))
        elif isinstance(message, MinersToTell):
            self._spawn(self._tell_miners(message))
        elif isinstance(message, NewValues):
            self._adopt(message)
        elif isinstance(message, Consumed):
            self._books.consumed_through, self._books.lag_ms = message.sequence, message.lag_ms
            self._trim(Position(message.segment, message.offset))
        elif isinstance(message, BlockAnswered) and self.mining.relay is not None:
            self.mining.relay.heard(message)
        elif isinstance(message, DrainOver):
            self._drain(message)
        elif isinstance(message, BanNews):
            self._spawn(self._ban(message))
        elif isinstance(message, MinerPaces):
            remember(self._paces.memory, message, time.monotonic())
        elif isinstance(message, Present) and self._listens:
            self._link.tell(Serving())
            self._paces.begin_anew()

    def _trim(self, position: Position) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._trimmed_at >= TRIM_S and self._transport.feed is None:
            self._trimmed_at = now
            self._spawn(asyncio.to_thread(self.share_log.trim, position))

    async def _tell(self) -> None:
        """For ever: how far the share log is durable, and this process's figures."""
        clock = DrainClock(self.share_log, wall_ms)
        for rounds in count():
            watermark = clock.before_reading()
            position = self.share_log.durable_position  # written before the sequence, so never behind it
            if watermark.time_ms:
                self._link.tell(Drained(position.segment, position.offset, watermark.sequence, watermark.time_ms))
            if rounds % FIGURES_ROUNDS == 0:
                self._link.tell(figures_of(self.status))
            await next_tick(TELL_S)

    async def _tell_miners(self, message: MinersToTell) -> None:
        self._link.tell(await miners_told(self.mining.servers.values(), message))

    async def _ban(self, message: BanNews) -> None:
        try:
            if message.seconds is None:
                await self._bans.remove(message.network)
            else:
                await self._bans.add(message.network, message.seconds, message.reason)
        except (BanRefusedError, OSError) as error:
            log.error("a ban is not in force in this front end network=%s: %s", message.network, error)

    def _take_job(self, message: JobNews) -> None:
        try:
            job = self._jobs.take_job(message, self.mining.jobs.settings)
        except (ValueError, KeyError) as error:  # of a configuration that this front end, about to go, has not
            if repr(error) != self._failure:
                log.error("a job of the mother's cannot be made here, miners stay on the last one: %r", error)
            self._failure = repr(error)
            return
        if job is not None:
            self.mining.jobs.deliver(job)

    def _adopt(self, message: NewValues) -> None:
        """Another configuration, which the mother has taken over already. At once: the next message is a job of it."""
        new = slot_config(Config.made_of(message.values), self._slot)
        change = reload_between(self.config, new)
        fresh = watched_chains(new, (*change.added, *change.renewed))
        self.config = new
        former = self.mining.adopt(change, fresh)
        self.status.adopt(new)
        self._spawn(self._adopted(former))

    async def _adopted(self, former: list[Any]) -> None:
        await self.mining.ports.reroute()
        for node in former:
            await node.close()

    # -- from start to end ------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Until told to stop, or broken; 0 after a clean stop."""
        loop = asyncio.get_running_loop()
        self._spawn(self._link.run())
        try:
            async with asyncio.timeout(WELCOME_S):
                heard: set[asyncio.Future[Any]] = {self._welcome, self._ended}
                done, _ = await asyncio.wait(heard, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            print(f"pool: front end {self._slot}: the mother process gives no answer", file=sys.stderr)
            return 1
        if self._welcome not in done:
            return 0
        welcome = self._welcome.result()
        whole = Config.made_of(welcome.values)
        set_up_log(whole.log.format, whole.log.level)
        with notifying(whole.notifications, whole.pool.name):
            try:
                problem = await self._open_up(welcome, whole)
                if problem:
                    print(f"pool: front end {self._slot}: {problem}", file=sys.stderr)
                    return 1
                log.info("front end serves slot=%d pid=%d", self._slot, os.getpid())
                return await self._ended
            finally:
                await self._stop(loop)

    async def _open_up(self, welcome: Welcome, whole: Config) -> str:
        """Everything up to listening; a sentence when something is in the way."""
        try:
            self.config = slot_config(whole, self._slot)
            await self._open(welcome)
            self._build(welcome, whole)
            early, self._early, self._serves = self._early, [], True
            for message in early:  # the present state: the first miner finds a job
                self._act(message)
            self.mining.ports.listen()
        except (StartError, UnusableLogError, OSError) as error:
            return str(error) or repr(error)
        except (CorruptShareLog, msgspec.MsgspecError) as error:
            return f"the share log in {self.config.pool.data_dir} cannot be used: {error}"
        for work in (self._tell(), self._drains.run(), self._paces.run(), *self.status.samples.work()):
            self._spawn(work)
        if self._transport.feed is not None:
            self._spawn(self._transport.feed.run())
        self._listens = True
        self._link.tell(Serving())
        return ""

    async def _open(self, welcome: Welcome) -> None:
        data_dir = self.config.pool.data_dir
        self._opened.enter_context(lock_data_dir(data_dir))
        (data_dir / "pid").write_text(f"{os.getpid()}\n")
        claim_name(data_dir, self.config.pool.log_name)
        self._transport = Transport(self.config)
        directory = data_dir / "shares"
        consumed = (Position(welcome.segment, welcome.offset), welcome.sequence)
        if self.config.transport.kind == "redis":
            consumed = await self._transport.consumed(directory, Transport.has_log(directory))
        self.solutions = SolutionStore(data_dir / "solutions", reserve_bytes=RESERVE_BYTES)
        self.share_log = ShareLog(
            directory,
            loop=asyncio.get_running_loop(),
            on_durable=lambda sequence: self.mining.intake.on_durable(sequence),
            on_error=self._share_log_failed,
            consumed=consumed,
            keep_s=self.config.books.share_log_hours * 3600,
        )

    def _build(self, welcome: Welcome, whole: Config) -> None:
        from twisted.internet import reactor

        gate = ReadGate.of(reactor)
        if gate is not None:
            gate.lonely_s = LONELY_S
        space = ExtranonceSpace(welcome.first, welcome.count)
        extranonces = ExtranonceAllocator(secrets.randbits(32), welcome.secret, space)
        mining = self.mining = FollowingMining(self.config, self.share_log, self.solutions, extranonces)
        mining.ask = lambda chain: self._link.tell(WorkWanted(chain))
        if whole.transport.jobs == "follow":
            mining.relay_through(BlockRelay(self._link.tell))
        mining.ports.claim = PortClaim(owner_of(whole))
        self._jobs = FollowedJobs(mining.table)
        self._drains = Drain(list(mining.servers.values()))
        self._paces = PaceTelling(mining.servers.values(), extranonces.memory, self._link.tell, time.monotonic)
        self._connections = ConnectionList(mining.servers.values(), mining.intake.pow_name)
        self._bans = BanBook(list(mining.servers.values()), self.config.pool.data_dir / "bans.json")
        self._transport.connect(self.share_log, self.solutions, None, mining)
        self.status = LiveStatus(
            self.config, mining.chains, mining.intake, mining.jobs, mining.blocks, self.share_log,
            self.config.pool.data_dir / "shares", cast(Any, self._transport.feed or self._books),
            list(mining.servers.values()),
        )  # fmt: skip

    def _drain(self, message: DrainOver) -> None:
        if message.over_s < 0:
            self._drains.end()
            return
        for server in self.mining.servers.values():
            server.take_waiting()  # who is in the queue of a port that closes would be refused
        self._paces.look_now()
        self._drains.begin(message.over_s)
        if message.ends:
            self._spawn(self._end_when_drained(message.over_s))

    async def _end_when_drained(self, over_s: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + over_s + LAST_LEAVE_S
        while loop.time() < until and any(server.connections for server in self.mining.servers.values()):
            await asyncio.sleep(0.2)
        log.info("front end is drained, it ends slot=%d", self._slot)
        self._end(0)

    async def _stop(self, loop: AbstractEventLoop) -> None:
        """Down in order, as pool/wiring/process.py."""
        mining: FollowingMining | None = vars(self).get("mining")
        if mining is not None:
            mining.ports.stop_listening()
        if "share_log" in vars(self):
            await loop.run_in_executor(None, self.share_log.close)  # what was taken is durable and answered
            await asyncio.sleep(0)
        if mining is not None:
            await mining.stop(loop)
        await self._tasks.end()
        if "_transport" in vars(self):
            if self._serves:
                await self._transport.feed_last()
            await self._transport.close()
        if mining is not None:
            await mining.close()
        self._opened.close()
        log.info("front end stopped slot=%d", self._slot)

    def _end(self, code: int) -> None:
        if not self._ended.done():
            self._ended.set_result(code)

    def _share_log_failed(self, error: BaseException) -> None:
        self.mining.intake.refuse_waiting()
        log.critical("pool stops: %s", f"the share log cannot be written: {error}")
        self._end(1)


def run_front_end(socket: Path, slot: int) -> int:
    """What the mother starts. SIGINT and SIGTERM end it as Stop does; SIGHUP is the mother's."""
    set_up_log("human", "info")
    raise_open_files()
    for number in (signal.SIGHUP, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)

    async def main() -> int:
        from twisted.python.log import PythonLoggingObserver

        PythonLoggingObserver("twisted").start()
        return await RunningFrontEnd(socket, slot).run()

    return run_reactor(main())
