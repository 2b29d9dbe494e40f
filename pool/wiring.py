"""The one file that knows every concrete class: from a configuration to a running pool, and back down in order.

Start: lock the data folder, bring the database up, open the share log, take up unfinished submissions, watch the
chains, then serve miners. Stop: no new miners, everything acknowledged is durable and in the books, then the rest.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import secrets
import sys
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from alembic.util import CommandError
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from chains.bitcoin.zmq_hint import ZmqHint
from chains.kind import AuxTemplate, ParentTemplate
from chains.primitives.hashes import POW_HASHES
from chains.primitives.target import target_to_difficulty
from chains.registry import AUX_KINDS, PARENT_KINDS
from pool.accounting.books_away import BooksAwayError, UnusableLogError
from pool.accounting.found_block import ChainTerms
from pool.accounting.reserve import Change
from pool.blocks.solution_store import SolutionStore
from pool.chain_setup import strict_chains, watched_chains
from pool.config import Config, PortSection
from pool.data_dir import StartError, claim_name, lock_data_dir
from pool.jobs.job import ROLLING_MASK, Job
from pool.jobs.job_table import JobTable
from pool.jobs.template_board import TemplateBoard
from pool.jobs.version_bits import FixedVersionBits
from pool.live_status import LiveStatus
from pool.metrics import registry_of
from pool.payout_metrics import PayoutCollector
from pool.payout_setup import open_wallet, paying_chains, payout_service
from pool.retention_setup import share_retention
from pool.scheme_metrics import SchemeCollector
from pool.scheme_setup import announcement, realm_of, scheme_board, share_buying
from pool.services.block_submission import BlockSubmission
from pool.services.bookkeeping import Bookkeeping, wall_ms
from pool.services.chain_view import ChainNodesView
from pool.services.chain_watch import TemplateWatch, WatchedChain
from pool.services.job_broadcast import JobBroadcast, JobSettings
from pool.services.payout_service import PayoutService
from pool.services.share_buying import ShareBuying
from pool.services.share_feed import ShareFeed
from pool.services.share_intake import ShareIntake
from pool.settings_rules import settings_rules
from pool.shares.log_segment import CorruptShareLog
from pool.shares.record import BEGINNING, Position
from pool.shares.share_log import ShareLog
from pool.storage.books import SqlBooks
from pool.storage.books_views import BooksViews
from pool.storage.database import Database, in_short, upgrade
from pool.storage.ledger_links import link_first
from pool.storage.settings_books import SettingsBooks
from pool.web.absent_books import AbsentBooks
from pool.web.server import WebServer
from pool.wiring_transport import Transport
from stratum.addresses import AddressBook
from stratum.extranonce import ExtranonceAllocator
from stratum.limits import Limits
from stratum.offer import PortPolicy
from stratum.server import StratumServer

log = logging.getLogger("parapool")

# Shares of the last minutes are remembered across a restart, so that a miner's repetition stays a duplicate.
REMEMBER_SHARES_S = 600
STOP_SUBMISSIONS_S = 3.0
BLOCK_COUNTS_S = 5.0


class RunningPool:
    """Everything of one pool process. `run` returns the exit code."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.data_dir: Path = config.pool.data_dir
        self.log_directory = self.data_dir / "shares"
        self.payers: list[PayoutService] = []
        self.watches: dict[str, TemplateWatch] = {}
        self.buying: ShareBuying | None = None
        self._tasks: list[asyncio.Task[Any]] = []
        self._failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    # -- building ---------------------------------------------------------------------------------------------------

    def _open(self, consumed: tuple[Position, int]) -> None:
        """Files and database: what survives a restart. Raises StartError, OSError and whatever damaged files cause.
        `consumed` is the books' answer about the share log, for a process that cannot ask them itself.
        """
        self._lock = lock_data_dir(self.data_dir)
        claim_name(self.data_dir, self.config.pool.log_name)
        self.books = self._open_books() if self.transport.keeps_books else None
        self.solutions = SolutionStore(self.data_dir / "solutions")
        self.share_log = ShareLog(
            self.log_directory,
            loop=asyncio.get_running_loop(),
            on_durable=lambda sequence: self.intake.on_durable(sequence),
            on_error=self._share_log_failed,
            consumed=consumed if self.books is None else self.books.position(),
            keep_s=self.config.books.share_log_hours * 3600,
        )

    def _open_books(self) -> SqlBooks:
        url = self.config.database_url()
        upgrade(url)
        self.database = Database(url)
        with self.database.write() as connection:
            link_first(connection)
        books = SqlBooks(self.database, self.config.pool.log_name, self.config.pool.name)
        if self.transport.serves:
            books.register()
        return books

    def _build(self) -> None:
        """The parts, each given what it needs."""
        config = self.config
        self.chains = watched_chains(config)
        parent = self.chains[config.parent]
        kinds = {name: AUX_KINDS[chain.kind] for name, chain in config.aux_chains.items()}
        parent_kind = PARENT_KINDS[config.parent_chain.kind]
        since_ms = time.time_ns() // 1_000_000 - REMEMBER_SHARES_S * 1000
        self.table = JobTable(self.share_log.recent_header_hashes(since_ms))
        nodes = {name: chain.nodes for name, chain in self.chains.items()}
        self.blocks = BlockSubmission(
            self.solutions, nodes, kinds, parent_kind, config.parent, on_outcome=self._ask_for_work
        )
        pow_name = parent.network.pow_hash
        self.schemes = scheme_board(config)
        self.intake = ShareIntake(
            self.table,
            self.share_log,
            self.blocks,
            {name: chain.network for name, chain in self.chains.items()},
            config.parent,
            pow_name,
            None if pow_name == "sha256d" else POW_HASHES[pow_name],
            self.schemes,
        )
        self.servers = self._servers()
        settings = JobSettings(
            parent_kind=parent_kind,
            kinds=kinds,
            notify={name: chain.notify for name, chain in config.aux_chains.items()},
            payout_script=parent.script,
            tag=config.pool.tag.encode(),
            difficulty_of=lambda target: target_to_difficulty(target, pow_name),
            propose=self._propose,
            fixed_version_bits=FixedVersionBits(strict_chains(config)),
            extranonce2_sizes=tuple(self.servers),
            pay_rates=self.schemes.pay_rates,
        )
        self.jobs = JobBroadcast(TemplateBoard(tuple(kinds)), self.table, settings, self._broadcast)
        ingest = self.transport.connect(self.share_log, self.solutions, self.books)
        if ingest is None or self.books is None:
            assert self.transport.feed is not None, "without books there is a transport"
            self.status = self._live_status(self.transport.feed)
            self.web = WebServer(self.status, AbsentBooks(), registry_of(self.status))
            return
        self.sql = ThreadPoolExecutor(1, thread_name_prefix="books")  # makes every write
        self.views = BooksViews(config.database_url())
        terms = {
            name: ChainTerms(
                fee_ppm=config.fee_ppm(name),
                factor=section.pplns.factor,
                window_min_s=section.pplns.window_min_s,
                maturity=section.credit_maturity,
                scheme=section.scheme,
            )
            for name, section in config.chains.items()
        }
        views_by_chain = {name: ChainNodesView(chain) for name, chain in self.chains.items()}
        self.bookkeeping = Bookkeeping(ingest, self.books, views_by_chain, terms, self.sql)
        self.buying = share_buying(config, self.schemes, self.books, self.sql, self._scheme_changed, wall_ms)
        self.buying.learn_reserves()
        self.status = self._live_status(self.bookkeeping)
        miner_settings = SettingsBooks(self.database, self.sql, self.views, settings_rules(config), wall_ms)
        self._build_payers()
        registry = registry_of(self.status)
        registry.register(PayoutCollector(self.payers))
        registry.register(SchemeCollector(self.schemes.bought))
        self.web = WebServer(self.status, self.views, registry, miner_settings)

    def _live_status(self, books: Bookkeeping | ShareFeed) -> LiveStatus:
        return LiveStatus(
            self.config, self.chains, self.intake, self.jobs, self.blocks, self.share_log, self.log_directory,
            books, list(self.servers.values()),
        )  # fmt: skip

    def _build_payers(self) -> None:
        """One per chain that pays; which of several processes pays a chain, the database decides."""
        self.wallets = {name: open_wallet(self.config, name) for name in paying_chains(self.config)}
        self.payers = [
            payout_service(self.config, name, wallet, self.database, self.sql, wall_ms)
            for name, wallet in self.wallets.items()
        ]

    def _servers(self) -> dict[int, StratumServer]:
        """One server per extranonce2 size; they share extranonces, so that no two connections ever collide, and the
        counts of addresses, so that each limit holds for the pool."""
        extranonces = ExtranonceAllocator(secrets.randbits(32), secrets.token_bytes(32))
        limits = Limits(**self.config.stratum.limits.model_dump())
        addresses = AddressBook(limits, time.monotonic())
        servers: dict[int, StratumServer] = {}
        for port in self.config.stratum.ports:
            size = port.extranonce2_size
            if size not in servers:
                servers[size] = StratumServer(
                    self.intake.facing(size), self._policy(port), limits, extranonces=extranonces, addresses=addresses
                )
        return servers

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
            resumed = self.blocks.resume()
            log.info("pool started name=%s chains=%s resumed=%d", self.config.pool.name, ",".join(self.chains), resumed)
            reason = await self._failed
            log.critical("pool stops: %s", reason)
            return 1
        finally:
            await self._stop()

    async def _open_up(self) -> str:
        """Everything up to listening; a sentence when something is in the way that an operator can remove."""
        try:
            self.transport = Transport(self.config)
            consumed = (BEGINNING, 0)
            if not self.transport.keeps_books:
                consumed = await self.transport.consumed(self.log_directory, Transport.has_log(self.log_directory))
            self._open(consumed)
            self._build()
            await self._listen()
        except (StartError, UnusableLogError, OSError) as error:
            return str(error) or repr(error)
        except (SQLAlchemyError, CommandError, BooksAwayError) as error:
            return f"the database {shown_url(self.config.database_url())} cannot be used: {in_short(error)}"
        except (CorruptShareLog, msgspec.MsgspecError) as error:
            return f"the share log in {self.log_directory} cannot be used: {error}"
        return ""

    async def _listen(self) -> None:
        from twisted.internet import reactor
        from twisted.internet.error import CannotListenError

        try:
            await self.web.start(*self.config.http.address)
        except OSError as error:
            raise StartError(f"cannot listen on {self.config.http.bind}: {error}") from error
        for port in self.config.stratum.ports if self.transport.serves else ():
            host, number = port.address
            try:
                self.servers[port.extranonce2_size].listen(reactor, host, number, self._policy(port))
            except CannotListenError as error:
                raise StartError(f"cannot listen on {port.bind}: {error.socketError}") from error

    def _start(self) -> None:
        for name, chain in self.chains.items():
            section = self.config.chains[name]
            is_parent = name == self.config.parent
            watch = TemplateWatch(
                chain,
                self._post_parent if is_parent else self._posting(name),
                poll_interval_s=section.poll_interval_s,
                longpoll=is_parent and self.config.parent_chain.longpoll,
            )
            self.watches[name] = watch
            self._spawn(watch.run())
            for node in section.nodes:
                if node.zmq_hashblock is not None:
                    self._spawn(_hints(node.zmq_hashblock, watch))
        for work in (self.jobs.refresh(), self.status.sample_lag()):
            self._spawn(work)
        if self.transport.feed is not None:
            self._spawn(self.transport.feed.run())
        if self.books is not None:
            for work in (self.bookkeeping.run(), self._count_blocks()):
                self._spawn(work)
            self._spawn(share_retention(self.config, self.chains, self.database, self.bookkeeping).run())
        if self.buying is not None:
            self._spawn(self.buying.run())
        for payer in self.payers:
            self._spawn(payer.run())

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.append(task)
        task.add_done_callback(self._task_ended)

    def _task_ended(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and task.exception() is not None:
            log.critical("a service broke", exc_info=task.exception())
            self._fail(f"a service broke: {task.exception()!r}")

    def _fail(self, reason: str) -> None:
        if not self._failed.done():
            self._failed.set_result(reason)

    async def _count_blocks(self) -> None:
        """For the metrics; while the books cannot be read, which they tell themselves, the last counts stay."""
        while True:
            with suppress(SQLAlchemyError, BooksAwayError):
                self.status.blocks_by_state = await self.views.block_counts()
            await asyncio.sleep(BLOCK_COUNTS_S)

    async def _stop(self) -> None:
        """Down in order. What a failed start did not build is not there to stop."""
        parts = vars(self)
        servers = parts.get("servers", {}).values()
        loop = asyncio.get_running_loop()
        for server in servers:
            server.stop_listening()
        if "share_log" in parts:
            await loop.run_in_executor(None, self.share_log.close)  # what was taken is durable and answered
            await asyncio.sleep(0)
        for server in servers:
            if server.reactor is not None:
                await server.stop().asFuture(loop)
        if "blocks" in parts:
            await self.blocks.drain(STOP_SUBMISSIONS_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if "transport" in parts and self._tasks:
            await self.transport.feed_last()
        if "bookkeeping" in parts and self._tasks:
            try:
                await self.bookkeeping.catch_up()
            except Exception as error:  # a full disk: they are in the share log, and the rest must be stopped as well
                log.error("the last shares are not in the books, the next start takes them in: %s", in_short(error))
        if "web" in parts:
            await self.web.stop()
        if "transport" in parts:
            await self.transport.close()
        for chain in parts.get("chains", {}).values():
            for node in chain.nodes:
                await node.close()
        for wallet in parts.get("wallets", {}).values():
            await wallet.close()
        if "views" in parts:
            self.views.close()
        if "sql" in parts:
            self.sql.shutdown()
        if "database" in parts:
            self.database.close()
        if "_lock" in parts:
            self._lock.close()
        log.info("pool stopped")

    # -- what the parts ask of each other -----------------------------------------------------------------------------

    def _ask_for_work(self, chain: str) -> None:
        """An auxiliary block has its answer: its template is used up, and waiting for the next poll wastes work. The
        parent's long poll tells by itself."""
        if chain != self.config.parent and chain in self.watches:
            self.watches[chain].hints.set()

    def _post_parent(self, template: ParentTemplate | None) -> None:
        if template is not None:
            self.schemes.saw(template)
        self.jobs.post_parent(template)

    def _posting(self, name: str) -> Callable[[AuxTemplate | None], None]:
        def post(template: AuxTemplate | None) -> None:
            if template is not None:
                self.schemes.saw(template)
            self.jobs.post_aux(name, template)

        return post

    def _scheme_changed(self, chain: str, change: Change) -> None:
        """A chain's shares are bought again, or no more: new jobs say so, and so do we to the miners concerned."""
        jobs = vars(self).get("jobs")
        if jobs is None or jobs.table.current is None:
            return
        for server in self.servers.values():
            server.announce(announcement(chain, change), self.schemes.realms_buying(chain))
        jobs.send(clean=False)

    def _policy(self, port: PortSection) -> PortPolicy:
        return port_policy(port, realm_of(self.config, port))

    def _broadcast(self, job: Job) -> None:
        for size, server in self.servers.items():
            server.broadcast(job.layouts[size].offer)

    async def _propose(self, payload: dict[str, str], node_name: str) -> str | None:
        parent = self.chains[self.config.parent]
        node = parent.node_named(node_name) or parent.nodes[0]
        reason: str | None = await node.propose(payload)
        return reason

    def _share_log_failed(self, error: BaseException) -> None:
        self.status.accepting = False
        self.intake.refuse_waiting()
        self._fail(f"the share log cannot be written: {error}")


def shown_url(url: str) -> str:
    """A database's URL as it may be shown; what cannot be read as one is not shown at all."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return "in pool.database_url"


def port_policy(port: PortSection, realm: str) -> PortPolicy:
    return PortPolicy(
        start_difficulty=port.start_difficulty,
        minimum_difficulty=port.minimum_difficulty,
        maximum_difficulty=port.maximum_difficulty,
        share_interval_s=port.share_interval_s,
        vardiff=port.vardiff,
        cap_max_shares_per_min=port.cap_max_shares_per_min,
        version_mask=ROLLING_MASK,
        extranonce2_size=port.extranonce2_size,
        answers_at_once=port.ack == "memory",
        realm=realm,
    )


async def _hints(endpoint: str, watch: TemplateWatch) -> None:
    async for _ in ZmqHint(endpoint).hints():
        watch.hints.set()


def raise_open_files() -> None:
    """Each miner is an open file: use what the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def run(config: Config) -> int:
    """What `pool run` does. Returns the exit code."""
    from pool.reactor import run as run_reactor

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")

    async def main() -> int:
        from twisted.python.log import PythonLoggingObserver

        PythonLoggingObserver("twisted").start()
        return await RunningPool(config).run()

    return run_reactor(main())


__all__ = ["RunningPool", "StartError", "WatchedChain", "run"]
