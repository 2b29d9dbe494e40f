"""What keeps the books, and pays from them: the database, its one writing thread, the services that work with it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from chains.node_wallet import NodeWallet
from pool.accounting.books_away import BooksAwayError
from pool.accounting.found_block import ChainTerms
from pool.config import Config
from pool.live_status import LiveStatus
from pool.metric_samples import MoneyReadings
from pool.payout_setup import open_wallet, paying_chains, payout_service
from pool.retention_setup import share_retention, share_summing
from pool.scheme_setup import share_buying
from pool.services.bookkeeping import Bookkeeping, Ingest, wall_ms
from pool.services.chain_view import ChainNodesView
from pool.services.payout_service import PayoutService
from pool.settings_rules import settings_rules
from pool.storage.books import SqlBooks
from pool.storage.books_views import BooksViews
from pool.storage.database import Database, in_short, upgrade
from pool.storage.ledger_links import link_first
from pool.storage.money_views import chain_money, oldest_unpaid_ms
from pool.storage.settings_books import SettingsBooks
from pool.wiring.mining import Mining

log = logging.getLogger("parapool")

BLOCK_COUNTS_S = 5.0
OLDEST_UNPAID_S = 60.0  # looks at a few rows for each account that is owed something


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
        self.wallets: dict[str, NodeWallet] = {}
        self.payers: list[PayoutService] = []
        self._waits_due_s = float("-inf")

    def build(self, ingest: Ingest, mining: Mining) -> None:
        """The services. Raises StartError, OSError and whatever a database that is away causes; close() is due then."""
        config, books = self.config, self.books
        self.chains = mining.chains
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
        self.bookkeeping = Bookkeeping(ingest, books.sql_books, views_by_chain, terms, self.sql)
        self.buying = share_buying(config, mining.schemes, books.sql_books, self.sql, mining.scheme_changed, wall_ms)
        self.buying.learn_reserves()
        for name in paying_chains(config):
            self.wallets[name] = open_wallet(config, name)
        # Which of several processes pays a chain, the database decides.
        self.payers += [
            payout_service(config, name, wallet, books.database, self.sql, wall_ms)
            for name, wallet in self.wallets.items()
        ]

    def work(self, status: LiveStatus) -> Iterator[Coroutine[Any, Any, Any]]:
        """What goes on for as long as the pool runs."""
        yield self.bookkeeping.run()
        yield self._count_blocks(status)
        yield share_summing(self.config, self.books.database, self.bookkeeping).run()
        yield share_retention(self.config, self.chains, self.books.database, self.bookkeeping).run()
        yield self.buying.run()
        for payer in self.payers:
            yield payer.run()

    async def _count_blocks(self, status: LiveStatus) -> None:
        """For the metrics; while the books cannot be read, which they tell themselves, the last counts stay."""
        while True:
            with suppress(SQLAlchemyError, BooksAwayError):
                status.blocks_by_state = await self.views.block_counts()
                await self._count_money(status.samples.money)
            await asyncio.sleep(BLOCK_COUNTS_S)

    async def _count_money(self, money: MoneyReadings) -> None:
        money.liabilities, money.coins, money.fees, money.imbalance = await self.views.read(chain_money)
        now_s = time.monotonic()
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
        for wallet in self.wallets.values():
            await wallet.close()
        self.views.close()
        self.sql.shutdown()
