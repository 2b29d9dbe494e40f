"""Books that are older than their payout file, out of a backup: what was signed since is taken over first."""

from __future__ import annotations

import logging
from collections.abc import Callable

from pool.ledger.transfer import LedgerError
from pool.payouts.standing import UnknownAccountError
from pool.services.payout_books import InThread, PayoutBooks
from pool.services.payout_telling import PayoutTelling

log = logging.getLogger("parapool.payouts")

RESTORE = "restore"
"""The cause of the hold after a restore."""


class PayoutRestore:
    """One chain's."""

    def __init__(
        self, books: PayoutBooks, in_thread: InThread, tell: PayoutTelling, chain: str, *, now_ms: Callable[[], int]
    ) -> None:
        self._books = books
        self._in_thread = in_thread
        self._tell = tell
        self._chain = chain
        self._now_ms = now_ms

    async def look(self) -> bool:
        """Books that are older than the payout file (a restored backup) must not pay before they know what was signed
        since. It is taken over as it was, and the hold stays until wallet and books agree. Whether all of it is known.
        """
        unknown = await self._in_thread(self._books.unknown_records)
        if not unknown:
            return True
        reason = f"the payout file holds {len(unknown)} signed batches that the books do not know: {unknown[0]}"
        if await self._in_thread(self._books.hold, RESTORE, reason, self._now_ms()):
            log.error("payouts on hold, the books are older than their file chain=%s: %s", self._chain, reason)
        for batch_id in unknown:
            try:
                await self._in_thread(self._books.adopt, batch_id, self._now_ms())
            except (LedgerError, UnknownAccountError) as error:
                # The books may have to catch up with blocks and shares first.
                self._tell.once("payout batch cannot be taken over yet", batch_id, str(error))
                return False
            log.warning("payout batch taken over from the payout file chain=%s batch=%s", self._chain, batch_id)
        return True
