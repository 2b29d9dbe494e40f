"""The processes beside the mining: `payout`, which alone may open wallets, and `web`, which only reads the books.

Neither asks a node for work, listens for miners nor writes a share. Start: lock the data folder, open the books, then
HTTP. Stop: payers first, as a batch under way goes on from the books at the next start.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from alembic.util import CommandError
from prometheus_client import CollectorRegistry, ProcessCollector
from sqlalchemy.exc import SQLAlchemyError

from pool.accounting.books_away import BooksAwayError
from pool.config.configuration import Config, ConfigError
from pool.config.reload import Reload, ReloadRefusedError, reload_between
from pool.data_dir import StartError, lock_data_dir
from pool.metrics.collector import PREFIX
from pool.metrics.data_dir import DataDirReadings
from pool.metrics.payouts import PayoutCollector
from pool.still_status import StillStatus
from pool.storage.audit_views import NoBooksError, snapshot
from pool.storage.books_views import BooksViews
from pool.storage.database import Database, in_short, upgrade
from pool.web.absent_books import AbsentBooks
from pool.web.server import WebServer
from pool.web_setup import web_options
from pool.wiring.paying import Payers, changed_wallets
from pool.wiring.running_tasks import RunningTasks

log = logging.getLogger("parapool")


class RunningBeside:
    """One such process. `run` returns the exit code."""

    def __init__(self, config: Config, read: Callable[[], Config] | None = None) -> None:
        """`read` reads the configuration again, for a reload; without it the same one comes."""
        self.config = config
        self.payers: Payers | None = None
        self._read = read or (lambda: self.config)
        self._reloading = asyncio.Lock()
        self._tasks = RunningTasks(self._fail)
        self._spawn = self._tasks.spawn
        self._failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._opened = ExitStack()

    async def run(self) -> int:
        """Until cancelled or broken; 0 after a clean stop, 1 when it cannot go on."""
        loop = asyncio.get_running_loop()
        try:
            problem = await self._open_up()
            if problem:
                print(f"pool: {problem}", file=sys.stderr)
                return 1
            if self.payers is not None:
                self.payers.start(self._spawn)
            loop.add_signal_handler(signal.SIGHUP, lambda: self._spawn(self.reload()))
            log.info("%s started name=%s", self.config.pool.role, self.config.pool.name)
            log.critical("pool stops: %s", await self._failed)
            return 1
        finally:
            await self._stop()

    async def reload(self) -> bool:
        """Takes over the configuration as it is on disk now, or nothing of it: whether it did."""
        async with self._reloading:
            try:
                change = reload_between(self.config, await asyncio.to_thread(self._read))
                options = web_options(change.new)
                wallets = changed_wallets(change)
            except (ConfigError, ReloadRefusedError) as error:
                for line in error.lines:
                    log.error("configuration not taken over: %s", line)
                return False
            except (StartError, OSError) as error:
                log.error("configuration not taken over: %s", error)
                return False
            self._adopt(change)
            self.web.adopt(options)
            if self.payers is not None:
                await self.payers.adopt(change.new, wallets, self._spawn)
            log.info("configuration taken over: %s", change)
            return True

    def _adopt(self, change: Reload) -> None:
        self.config = change.new
        self.status.adopt(change.new)

    async def _open_up(self) -> str:
        """Everything up to listening; a sentence when something is in the way that an operator can remove."""
        try:
            self._open()
            try:
                await self.web.start(*self.config.http.address)
            except OSError as error:
                raise StartError(f"cannot listen on {self.config.http.bind}: {error}") from error
        except (StartError, NoBooksError, OSError) as error:
            return str(error) or repr(error)
        except (SQLAlchemyError, CommandError, BooksAwayError) as error:
            return f"the database cannot be used: {in_short(error)}"
        return ""

    def _open(self) -> None:
        self._opened.enter_context(lock_data_dir(self.config.pool.data_dir))
        self.status = StillStatus(self.config)
        registry = CollectorRegistry()
        ProcessCollector(namespace=PREFIX.rstrip("_"), registry=registry)
        registry.register(DataDirReadings(self.config.pool.data_dir).collector())
        url, options = self.config.database_url(), web_options(self.config)
        if self.config.pool.role == "web":
            with snapshot(url):
                pass  # there are books, which the accountant makes
            views = BooksViews(url)
            self._opened.callback(views.close)
            self.web = WebServer(self.status, views, registry, options=options)
            return
        upgrade(url)
        database = Database(url)
        self._opened.callback(database.close)
        sql = ThreadPoolExecutor(1, thread_name_prefix="books")
        self._opened.callback(sql.shutdown)
        self.payers = Payers(self.config, database, sql)
        self.payers.open()
        registry.register(PayoutCollector(self.payers.services))
        self.web = WebServer(self.status, AbsentBooks(), registry, options=options)

    def _fail(self, reason: str) -> None:
        if not self._failed.done():
            self._failed.set_result(reason)

    async def _stop(self) -> None:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
        await self._tasks.end()
        if "web" in vars(self):
            await self.web.stop()
        if self.payers is not None:
            await self.payers.close()
        self._opened.close()
        log.info("pool stopped")
