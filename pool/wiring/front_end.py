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
from pool.config.configuration import Config
from pool.data_dir import StartError, claim_name, lock_data_dir
from pool.fleet_figures import figures_of
from pool.fleet_setup import slot_config
from pool.live_status import LiveStatus
from pool.log_setup import set_up_log
from pool.notifications import notifying
from pool.reactor import raise_open_files
from pool.reactor import run as run_reactor
from pool.services.block_relay import BlockRelay
from pool.services.bookkeeping import wall_ms
from pool.services.front_end_messages import (
    VERSION,
    Drained,
    FromMother,
    Hello,
    Present,
    Serving,
    Stop,
    Welcome,
    WorkWanted,
)
from pool.services.log_ingest import DrainClock
from pool.services.mother_link import MotherLink
from pool.services.pace_telling import PaceTelling
from pool.shares.log_segment import CorruptShareLog
from pool.shares.record import Position
from pool.shares.share_log import ShareLog
from pool.ticks import next_tick
from pool.wiring.following_mining import FollowingMining
from pool.wiring.front_end_orders import FrontEndOrders, ToldBooks
from pool.wiring.miner_ports import owner_of
from pool.wiring.running_tasks import RunningTasks
from pool.wiring.transport import Transport
from stratum.extranonce import ExtranonceAllocator, ExtranonceSpace
from stratum.port_claim import PortClaim
from stratum.transport import ReadGate

log = logging.getLogger("parapool.frontends")

TELL_S = 0.5
FIGURES_ROUNDS = 4  # every two seconds: reading all metrics costs as much as ten shares
WELCOME_S = 30.0
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
        elif not isinstance(message, Present):
            self._orders.act(message)
        elif self._listens:
            self._link.tell(Serving())
            self._paces.begin_anew()

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
                self._orders.act(message)
            self.mining.ports.listen()
        except (StartError, UnusableLogError, OSError) as error:
            return str(error) or repr(error)
        except (CorruptShareLog, msgspec.MsgspecError) as error:
            return f"the share log in {self.config.pool.data_dir} cannot be used: {error}"
        for work in (self._tell(), *self._orders.work(), *self.status.samples.work()):
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
        self._paces = PaceTelling(mining.servers.values(), extranonces.memory, self._link.tell, time.monotonic)
        self._transport.connect(self.share_log, self.solutions, None, mining)
        books = ToldBooks(self.share_log if self._transport.feed is None else None, self._spawn)
        self.status = LiveStatus(
            self.config, mining.chains, mining.intake, mining.jobs, mining.blocks, self.share_log,
            self.config.pool.data_dir / "shares", cast(Any, self._transport.feed or books),
            list(mining.servers.values()),
        )  # fmt: skip
        self._orders = FrontEndOrders(
            self._slot, mining, self.status, books, self._paces, self._link.tell, self._spawn, lambda: self._end(0)
        )

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
