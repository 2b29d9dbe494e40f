"""What the payer of a chain tells: each step of a batch, and once what goes on waiting."""

from __future__ import annotations

import logging

from pool.payouts.batch import Batch, BatchEvent, BatchState
from pool.payouts.follow import is_stuck

log = logging.getLogger("parapool.payouts")


class PayoutTelling:
    """One chain's. What was told once is not told again before the process starts anew."""

    def __init__(self, chain: str) -> None:
        self._chain = chain
        self._told: set[tuple[str, str]] = set()

    def once(self, what: str, key: str, words: str) -> None:
        """Something that waits, and why; again only in other words."""
        if (key, words) not in self._told:
            self._told.add((key, words))
            log.warning("%s chain=%s %s: %s", what, self._chain, key, words)

    def stuck(self, batches: list[Batch], now_ms: int) -> None:
        """The batches that an operator should look at, once in each state and for each transaction."""
        for batch in batches:
            told = (batch.id, f"{batch.state} {batch.replaced_ms}")
            if is_stuck(batch, now_ms) and told not in self._told:
                self._told.add(told)
                log.error(
                    "payout batch is stuck chain=%s batch=%s state=%s reason=%s",
                    batch.chain, batch.id, batch.state, batch.reason,
                )  # fmt: skip

    def moved(self, batch: Batch, event: BatchEvent, state: BatchState, words: str) -> None:
        """A step that a batch took; `state` is where it is now."""
        tail = f"chain={batch.chain} batch={batch.id} txid={displayed_txid(batch.txid)}"
        if event is BatchEvent.SETTLE:
            log.info("payouts settled %s payouts=%d", tail, len(batch.payouts))
        elif event in (BatchEvent.CONFLICT, BatchEvent.REOPEN, BatchEvent.HOLD):
            log.error("payout batch %s, %s %s", state, words, tail)
        elif event in (BatchEvent.DROP, BatchEvent.CLEAR, BatchEvent.VOID):
            log.warning("payout batch %s, %s %s", state, words, tail)
        else:
            log.info("payout batch %s %s", state, tail)


def displayed_txid(txid: bytes | None) -> str:
    return txid[::-1].hex() if txid is not None else "-"
