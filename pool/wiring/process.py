"""From a configuration to a running pool, and back down in order. The package knows every concrete class.

Start: lock the data folder, bring the database up, open the share log, take up unfinished submissions, watch the
chains, then serve miners. Stop: no new miners, everything acknowledged is durable and in the books, then the rest.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from alembic.util import CommandError
from prometheus_client import CollectorRegistry
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from pool.accounting.books_away import BooksAwayError, UnusableLogError
from pool.blocks.solution_store import SolutionStore
from pool.blocks.space_reserve import RESERVE_BYTES
from pool.config.configuration import Config
from pool.config.reload import Reload, ReloadRefusedError
from pool.data_dir import StartError, claim_name, lock_data_dir
from pool.fleet_setup import slot_space
from pool.leader_keys import make_leaders
from pool.live_status import LiveStatus
from pool.metrics.certificates import CertificateCollector
from pool.metrics.collector import registry_of
from pool.metrics.job_checks import JobCheckCollector
from pool.metrics.leading import LeadingCollector
from pool.metrics.payouts import PayoutCollector
from pool.metrics.schemes import SchemeCollector
from pool.reactor import raise_open_files
from pool.services.bookkeeping import Bookkeeping, Ingest
from pool.services.share_feed import ShareFeed
from pool.shares.log_segment import CorruptShareLog
from pool.shares.record import BEGINNING, Position
from pool.shares.share_log import ShareLog
from pool.storage.database import in_short
from pool.web.absent_books import AbsentBooks
from pool.web.server import WebServer
from pool.web_setup import web_options
from pool.wiring.keeping import Books, Keeping
from pool.wiring.machines import MachineLine, Station, machine_line, mining_class, station_of
from pool.wiring.mining import Mining
from pool.wiring.next_configuration import NextConfiguration, next_configuration
from pool.wiring.operating import Operating, ReadBooks, operating
from pool.wiring.running_tasks import RunningTasks
from pool.wiring.transport import Transport
from stratum.extranonce import ExtranonceAllocator

log = logging.getLogger("parapool")


class RunningPool:
    """Everything of one pool process. `run` returns the exit code."""

    def __init__(self, config: Config, read: Callable[[], Config] | None = None) -> None:
        """`read` reads the configuration again, for a reload; without it the same one comes."""
        self.config = config
        self._read = read or (lambda: self.config)
        self._reloading = asyncio.Lock()
        self._watching: dict[str, asyncio.Task[Any]] = {}
        self.data_dir: Path = config.pool.data_dir
        self.log_directory = self.data_dir / "shares"
        self._tasks = RunningTasks(self._fail)
        self._spawn = self._tasks.spawn
        self._failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    # -- building ---------------------------------------------------------------------------------------------------

    def _open(self, consumed: tuple[Position, int]) -> None:
        """Files and database: what survives a restart. Raises StartError, OSError and whatever damaged files cause.
        `consumed` is the books' answer about the share log, for a process that cannot ask them itself.
        """
        self.books = Books(self.config, serves=self.transport.serves) if self.transport.keeps_books else None
        self.solutions = SolutionStore(self.data_dir / "solutions", reserve_bytes=RESERVE_BYTES)
        self.share_log = ShareLog(
            self.log_directory,
            loop=asyncio.get_running_loop(),
            on_durable=lambda sequence: self.mining.intake.on_durable(sequence),
            on_error=self._share_log_failed,
            consumed=consumed if self.books is None else self.books.sql_books.position(),
            keep_s=self.config.books.share_log_hours * 3600,
        )

    def _build(self) -> None:
        """The parts, each given what it needs."""
        if self.config.leads:
            make_leaders(self.config)
        mining = self.mining = mining_class(self.config)(
            self.config, self.share_log, self.solutions, self._extranonces()
        )
        self.line = machine_line(self._station, self.config, mining, self._spawn, self._fail)
        sql_books = None if self.books is None else self.books.sql_books
        ingest = self.transport.connect(self.share_log, self.solutions, sql_books, mining)
        if ingest is None or self.books is None:
            assert self.transport.feed is not None, "without books there is a transport"
            self.status = self._live_status(self.transport.feed)
            self.status.leading = mining.leading
            self.web = WebServer(self.status, AbsentBooks(), self._registry(), options=web_options(self.config))
            return
        keeping = self.keeping = Keeping(self.config, self.books)
        keeping.build(self._ingest(ingest), mining)
        self.status = self._live_status(keeping.bookkeeping)
        self.status.leading = mining.leading
        registry = self._registry()
        registry.register(PayoutCollector(keeping.payers.services))
        registry.register(SchemeCollector(mining.schemes.bought))
        self.web = WebServer(self.status, keeping.views, registry, keeping.settings, web_options(self.config))

    def _operating(self, kind: type[Operating] = Operating) -> Operating | None:
        """The operator's side, of parts that are there. Raises StartError."""
        return operating(self.config, self.mining, self._reload_for_operator, self._read_books, kind)

    @property
    def _read_books(self) -> ReadBooks | None:
        return None if self.books is None else self.keeping.views.read

    def _extranonces(self) -> ExtranonceAllocator | None:
        """This process's part of their space; None for all of it."""
        transport = self.config.transport
        if transport.jobs == "own":
            return None
        return ExtranonceAllocator(secrets.randbits(32), secrets.token_bytes(32), slot_space(0, transport.machine))

    def _ingest(self, own: Ingest) -> Ingest:
        """What the bookkeeping takes in."""
        return own

    def _registry(self) -> CollectorRegistry:
        registry = registry_of(self.status)
        registry.register(JobCheckCollector(self.mining.job_checks.results))
        registry.register(CertificateCollector(self.mining.ports.certificates))
        registry.register(LeadingCollector(self.mining.leading))
        return registry

    def _live_status(self, books: Bookkeeping | ShareFeed) -> LiveStatus:
        mining = self.mining
        return LiveStatus(
            self.config, mining.chains, mining.intake, mining.jobs, mining.blocks, self.share_log, self.log_directory,
            books, list(mining.servers.values()),
        )  # fmt: skip

    # -- another configuration ----------------------------------------------------------------------------------------

    async def reload(self) -> bool:
        """Takes over the configuration as it is on disk now, or nothing of it: whether it did."""
        return (await self.take_over())[0] is not None

    async def take_over(self) -> tuple[Reload | None, list[str]]:
        """A reload, and what it changed; or None and why it was not done, a sentence each. Nobody is disconnected. All
        that may fail comes first; an error after that is one of ours, and the pool stops rather than go on with half
        of each.
        """
        async with self._reloading:
            try:
                following = await next_configuration(self.config, self._read)
            except ReloadRefusedError as error:
                for line in error.lines:
                    log.error("configuration not taken over: %s", line)
                return None, error.lines
            await self._adopt(following)
            log.info("configuration taken over: %s", following.change)
            return following.change, []

    async def _reload_for_operator(self) -> tuple[Reload | None, list[str]]:
        """As by SIGHUP: it goes on when whoever asked for it has left."""
        found: tuple[Reload | None, list[str]] = await asyncio.shield(self._spawn(self.take_over()))
        return found

    async def _adopt(self, following: NextConfiguration) -> None:
        mining, change = self.mining, following.change
        self.config = change.new
        former = mining.adopt(change, following.fresh)
        if self.books is not None:
            self.keeping.adopt(change, mining.schemes)
        self.status.adopt(change.new)
        self.web.adopt(following.options)
        for name in (*change.removed, *change.renewed, *change.added):
            watching = self._watching.pop(name, None)
            if watching is not None:
                watching.cancel()
        for name in change.removed:
            self._watching[name] = self._spawn(mining.watch_left(name))
        await mining.ports.reroute()
        for name in (*change.renewed, *change.added):
            self._watching[name] = self._spawn(mining.watch(name))
        if following.wallets:
            await self.keeping.adopt_payers(following.wallets, self._spawn)
        for node in former:
            await node.close()
        if self.operating is not None and following.tokens is not None:
            self.operating.server.adopt(following.tokens)

    # -- running ----------------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Until cancelled or broken; 0 after a clean stop, 1 when the pool cannot go on."""
        raise_open_files()
        try:
            problem = await self._open_up()
            if problem:
                print(f"pool: {problem}", file=sys.stderr)
                return 1
            self._start()
            resumed = self.mining.blocks.resume()
            chains = ",".join(self.mining.chains)
            log.info("pool started name=%s chains=%s resumed=%d", self.config.pool.name, chains, resumed)
            reason = await self._failed
            log.critical("pool stops: %s", reason)
            return 1
        finally:
            await self._stop()

    async def _open_up(self) -> str:
        """Everything up to listening; a sentence when something is in the way that an operator can remove."""
        try:
            self.transport = Transport(self.config)
            self._lock = lock_data_dir(self.data_dir)
            claim_name(self.data_dir, self.config.pool.log_name)
            self._station = await station_of(self.config)  # before anybody else hears of this process
            consumed = (BEGINNING, 0)
            if not self.transport.keeps_books:
                consumed = await self.transport.consumed(self.log_directory, Transport.has_log(self.log_directory))
            self._open(consumed)
            self._build()
            self.operating = self._operating()
            await self._listen()
        except (StartError, UnusableLogError, OSError) as error:
            return str(error) or repr(error)
        except (SQLAlchemyError, CommandError, BooksAwayError) as error:
            return f"the database {shown_url(self.config.database_url())} cannot be used: {in_short(error)}"
        except (CorruptShareLog, msgspec.MsgspecError) as error:
            return f"the share log in {self.log_directory} cannot be used: {error}"
        return ""

    async def _listen(self) -> None:
        try:
            await self.web.start(*self.config.http.address)
        except OSError as error:
            raise StartError(f"cannot listen on {self.config.http.bind}: {error}") from error
        if self.operating is not None:
            await self.operating.start()
        if self.transport.serves:
            self._serve()

    def _serve(self) -> None:
        self.mining.ports.listen()

    def _start(self) -> None:
        if self.line is not None:
            self.line.open()
        for name in self.mining.chains:
            self._watching[name] = self._spawn(self.mining.watch(name))
        line = () if self.line is None else self.line.work()
        for work in (*self.mining.work(), *self.status.samples.work(), *line):
            self._spawn(work)
        if self.operating is not None:
            for work in self.operating.work():
                self._spawn(work)
        if self.transport.feed is not None:
            self._spawn(self.transport.feed.run())
        if self.books is not None:
            self.keeping.start(self.status, self._spawn)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, lambda: self._spawn(self.reload()))
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, lambda: self._spawn(self.begin_anew()))

    async def begin_anew(self) -> None:
        """What SIGUSR2 asks for (pool/wiring/many.py)."""
        log.warning("SIGUSR2: only a pool of several processes (stratum.processes) restarts while its miners stay")

    def _fail(self, reason: str) -> None:
        if not self._failed.done():
            self._failed.set_result(reason)

    async def _stop(self) -> None:
        """Down in order. What a failed start did not build is not there to stop."""
        for number in (signal.SIGHUP, signal.SIGUSR2):
            asyncio.get_running_loop().remove_signal_handler(number)
        operating: Operating | None = vars(self).get("operating")
        if operating is not None:
            await operating.stop()
        mining: Mining | None = vars(self).get("mining")
        keeping: Keeping | None = vars(self).get("keeping")
        transport: Transport | None = vars(self).get("transport")
        loop = asyncio.get_running_loop()
        if mining is not None:
            mining.ports.stop_listening()
        if "share_log" in vars(self):
            await loop.run_in_executor(None, self.share_log.close)  # what was taken is durable and answered
            await asyncio.sleep(0)
        if mining is not None:
            await mining.stop(loop)
        was_at_work = await self._tasks.end()
        if transport is not None and was_at_work:
            await transport.feed_last()
        if keeping is not None and was_at_work:
            await keeping.catch_up()
        if "web" in vars(self):
            await self.web.stop()
        if transport is not None:
            await transport.close()
        line: MachineLine | None = vars(self).get("line")
        if line is not None:
            await line.leave()
        station: Station | None = vars(self).get("_station")
        if station is not None:
            await station.feed.close()
        if mining is not None:
            await mining.close()
        if keeping is not None:
            await keeping.close()
        books: Books | None = vars(self).get("books")
        if books is not None:
            books.database.close()
        if "_lock" in vars(self):
            self._lock.close()
        log.info("pool stopped")

    def _share_log_failed(self, error: BaseException) -> None:
        self.status.accepting = False
        self.mining.intake.refuse_waiting()
        self._fail(f"the share log cannot be written: {error}")


def shown_url(url: str) -> str:
    """A database's URL as it may be shown; what cannot be read as one is not shown at all."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return "in pool.database_url"
