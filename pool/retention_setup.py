"""From a configuration to the services that add shares up, let old ones go, and seal the books."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pool.config import Config
from pool.services.book_closing import BookClosing
from pool.services.bookkeeping import Bookkeeping, wall_ms
from pool.services.chain_watch import WatchedChain
from pool.services.share_retention import ShareRetention
from pool.services.share_summing import ShareSumming
from pool.storage.closing_store import Closings
from pool.storage.database import Database
from pool.storage.retention import Reach, Retention
from pool.storage.share_spans import SpanSums


def share_retention(
    config: Callable[[], Config],
    chains: Mapping[str, WatchedChain],
    database: Database,
    bookkeeping: Bookkeeping,
) -> ShareRetention:
    """`config` gives the present one: a reload may bring other chains and windows."""

    def reaches() -> dict[str, Reach] | None:
        found = {}
        for name, section in config().chains.items():
            target = chains[name].target
            if target is None:
                return None
            found[name] = Reach(section.pplns.factor, target, section.pplns.window_min_s)
        return found

    retention = Retention(database, config().pool.name, config().books.share_days)
    return ShareRetention(retention.step, reaches, lambda: bookkeeping.leads, bookkeeping.in_thread, wall_ms)


def share_summing(config: Config, database: Database, bookkeeping: Bookkeeping) -> ShareSumming:
    sums = SpanSums(database, config.pool.name)
    return ShareSumming(sums.step, lambda: bookkeeping.leads, bookkeeping.in_thread)


def book_closing(config: Config, database: Database, bookkeeping: Bookkeeping) -> BookClosing:
    step = Closings(database).step
    return BookClosing(step, lambda: bookkeeping.leads, bookkeeping.in_thread, wall_ms, config.books.closing_s)
