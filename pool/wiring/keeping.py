"""What keeps the books, and pays where the role says so: the database, its one writing thread, and their services."""

from __future__ import annotations

import logging
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from pool.accounting.books_away import BooksAwayError
from pool.accounting.found_block import ChainTerms
from pool.chore_setup import book_chores
from pool.config.configuration import Config
from pool.config.reload import Reload
from pool.live_status import LiveStatus
from pool.metrics.samples import MoneyReadings
from pool.notice_setup import offline_notices
from pool.payout_setup import paying_chains
from pool.scheme_setup import buying_chains, share_buying
from pool.services.bookkeeping import Bookkeeping, Ingest, wall_ms
from pool.services.chain_view import ChainNodesView
from pool.services.scheme_board import SchemeBoard
from pool.settings_rules import settings_rules
from pool.storage.books import SqlBooks
from pool.storage.books_views import BooksViews
from pool.storage.database import Database, in_short, upgrade
from pool.storage.ledger_links import link_first
from pool.storage.money_views import chain_money, newest_money, oldest_unpaid_ms
from pool.storage.pps_books import SqlPpsBooks
from pool.storage.settings_books import SettingsBooks
from pool.ticks import next_tick
from pool.wiring.mining import Mining
from pool.wiring.paying import Payers, Spawn, Wallets

log = logging.getLogger("parapool")

BLOCK_COUNTS_S = 15.0  # as often as most Prometheus look
OLDEST_UNPAID_S = 60.0  # looks at a few rows for each account that is owed something, and at all balances


class Books:
    """The database of one process and its books. The share log needs them, and the keeping needs the share log."""

    def __init__(self, config: Config, *, serves: bool) -> None:
        """At the newest version; `serves` registers the process as a front end."""
        url = config.database_url()
        upgrade(url)
        self.database = Database(url)
        with self.database.write() as connection:
            link_first(connection)
        self.sql_books = SqlBooks(self.database, config.pool.log_name, config.pool.name)
        if serves:
            self.sql_books.register()


class Keeping:
    """The services that write the books, and the views that read them. One thread makes every write."""

    def __init__(self, config: Config, books: Books) -> None:
        self.config = config
        self.books = books
        self.sql = ThreadPoolExecutor(1, thread_name_prefix="books")
        self.views = BooksViews(config.database_url())
        self.settings = SettingsBooks(books.database, self.sql, self.views, settings_rules(config), wall_ms)
        self.payers = Payers(config, books.database, self.sql)
        self._waits_due_s = float("-inf")
        self._counted_transfer: int | None = None

    def build(self, ingest: Ingest, mining: Mining) -> None:
        """The services. Raises StartError, OSError and whatever a database that is away causes; close() is due then."""
        config, books = self.config, self.books
        self.chains = mining.chains
        self.bookkeeping = Bookkeeping(ingest, books.sql_books, self._views_by_chain(), chain_terms(config), self.sql)
        pps_books = SqlPpsBooks(books.database)
        self.buying = share_buying(config, mining.schemes, pps_books, self.sql, mining.scheme_changed, wall_ms)
        self.buying.learn_reserves()
        self.notices = offline_notices(config, self.views, self.bookkeeping)
        self.payers.open()

    def _views_by_chain(self) -> dict[str, ChainNodesView]:
        return {name: ChainNodesView(chain) for name, chain in self.chains.items()}

    def adopt(self, reload: Reload, schemes: SchemeBoard) -> None:
        """Takes over a new configuration at once; payers follow with `adopt_payers`. After the mining has."""
        self.config = reload.new
        self.bookkeeping.adopt(self._views_by_chain(), chain_terms(reload.new))
        self.buying.adopt(buying_chains(reload.new, schemes))
        self.settings.adopt(settings_rules(reload.new))

    async def adopt_payers(self, wallets: Wallets, spawn: Spawn) -> None:
        """Other payers for these chains, or none."""
        await self.payers.adopt(self.config, wallets, spawn)

    def start(self, status: LiveStatus, spawn: Spawn) -> None:
        """What goes on for as long as the pool runs."""
        for work in self._work(status):
            spawn(work)
        self.payers.start(spawn)

    def _work(self, status: LiveStatus) -> Iterator[Coroutine[Any, Any, Any]]:
        yield self.bookkeeping.run()
        yield self._count_blocks(status)
        for chore in book_chores(lambda: self.config, self.chains, self.books.database, self.bookkeeping):
            yield chore.run()
        yield self.buying.run()
        if self.notices is not None:
            yield self.notices.run()

    async def _count_blocks(self, status: LiveStatus) -> None:
        """For the metrics; while the books cannot be read, which they tell themselves, the last counts stay."""
        while True:
            with suppress(SQLAlchemyError, BooksAwayError):
                status.blocks_by_state = await self.views.block_counts()
                await self._count_money(status.samples.money)
            await next_tick(BLOCK_COUNTS_S)

    async def _count_money(self, money: MoneyReadings) -> None:
        """All balances are read when some have changed, and now and then although none should have."""
        now_s = time.monotonic()
        money.last_block_ms, transfer = await self.views.read(newest_money)
        if transfer != self._counted_transfer or now_s >= self._waits_due_s:
            found = await self.views.read(chain_money)
            money.liabilities, money.coins, money.fees = found.liabilities, found.coins, found.fees
            money.imbalance, self._counted_transfer = found.imbalance, transfer
        if now_s >= self._waits_due_s:
            self._waits_due_s = now_s + OLDEST_UNPAID_S
            minimums = {name: section.minimum_payout for name, section in paying_chains(self.config).items()}
            waits_ms = await self.views.read(oldest_unpaid_ms, minimums, wall_ms())
            money.oldest_unpaid_s = {chain: wait_ms / 1000 for chain, wait_ms in waits_ms.items()}

    async def catch_up(self) -> None:
        """At a stop: what was answered gets into the books, when they can be written."""
        try:
            await self.bookkeeping.catch_up()
        except Exception as error:  # a full disk: they are in the share log, and the rest must be stopped as well
            log.error("the last shares are not in the books, the next start takes them in: %s", in_short(error))

    async def close(self) -> None:
        await self.payers.close()
        self.views.close()
        self.sql.shutdown()


def chain_terms(config: Config) -> dict[str, ChainTerms]:
    """What each chain's blocks are credited by."""
    return {
        name: ChainTerms(
            fee_ppm=config.fee_ppm(name),
            factor=section.pplns.factor,
            window_min_s=section.pplns.window_min_s,
            maturity=section.credit_maturity,
            scheme=section.scheme,
        )
        for name, section in config.chains.items()
    }
