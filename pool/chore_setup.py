"""From a configuration to the chores of the books: shares are added up, old ones let go, and stretches sealed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from pool.config.configuration import Config
from pool.services.book_chore import BookChore, Piece
from pool.services.bookkeeping import Bookkeeping, wall_ms
from pool.services.chain_watch import WatchedChain
from pool.storage.closing_store import Closings
from pool.storage.database import Database
from pool.storage.retention import Reach, Retention
from pool.storage.share_spans import SpanSums

log = logging.getLogger("parapool.books")

SUMMING_PASS_S, SUMMING_PIECE_S = 10.0, 0.5
RETENTION_PASS_S, RETENTION_PIECE_S = 600.0, 0.2
CLOSING_PIECE_S = 0.2


def book_chores(
    config: Callable[[], Config],
    chains: Mapping[str, WatchedChain],
    database: Database,
    bookkeeping: Bookkeeping,
) -> Iterator[BookChore]:
    """`config` gives the present one: a reload may bring other chains and windows."""

    def leads() -> bool:
        return bookkeeping.leads

    def reaches() -> dict[str, Reach] | None:
        """How far every chain's windows reach now; nothing is let go while some chain's target is not known."""
        found = {}
        for name, section in config().chains.items():
            target = chains[name].target
            if target is None:
                return None
            found[name] = Reach(section.pplns.factor, target, section.pplns.window_min_s)
        return found

    def old_shares() -> Piece | None:
        found = reaches()
        return None if found is None else partial(retention.step, found, wall_ms())

    books = config().books
    # Windows are read quickly from sums, and nothing depends on them being there: pool/storage/share_spans.py.
    sums = SpanSums(database, config().pool.name)
    yield BookChore(
        lambda: sums.step, leads, bookkeeping.in_thread, _tell_summing, SUMMING_PASS_S, SUMMING_PIECE_S
    )
    retention = Retention(database, config().pool.name, books.share_days)
    yield BookChore(old_shares, leads, bookkeeping.in_thread, _tell_retention, RETENTION_PASS_S, RETENTION_PIECE_S)
    # Not at once, or every start would close a little. It waits for no reader: pool/storage/closing_store.py.
    closings = Closings(database)
    yield BookChore(
        lambda: partial(closings.step, wall_ms()),
        leads,
        bookkeeping.in_thread,
        _tell_closing,
        books.closing_s,
        CLOSING_PIECE_S,
        first_s=books.closing_s,
    )


def _tell_summing(error: Exception) -> None:
    log.error("shares are not added up, windows are read more slowly: %s", error, exc_info=error)


def _tell_retention(error: Exception) -> None:
    log.error("old shares stay, trying again: %s", error, exc_info=error)


def _tell_closing(error: Exception) -> None:
    log.error("the books are not closed, trying again: %s", error, exc_info=error)
