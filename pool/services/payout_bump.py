"""Raises the fee of a payout that waits, when the operator ordered it: a further transaction, signed, durable, sent.

Nothing is given up for it: the transactions that are signed stay where they are and may confirm as well. So whatever
is in the way (fee, equity, wallet, node) ends the order and leaves the batch as it was.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from chains.wallet import ChainWallet, Coin, WalletRefusedError
from pool.payouts.batch import Batch, BuiltBatch
from pool.payouts.build import BatchMismatchError, build, verify_built, verify_signed
from pool.payouts.coins import spendable
from pool.payouts.replace import ReplaceRefusedError, replacement
from pool.payouts.terms import PayoutTerms
from pool.services.payout_books import InThread, PayoutBooks

log = logging.getLogger("parapool.payouts")

NOT_REPLACED = "txn-mempool-conflict"
"""What a node says that has the older transaction and keeps it (Litecoin Core without -mempoolreplacement)."""


class PayoutBump:
    """One chain's. `now_ms` is the time."""

    def __init__(
        self,
        wallet: ChainWallet,
        books: PayoutBooks,
        terms: PayoutTerms,
        in_thread: InThread,
        *,
        now_ms: Callable[[], int],
    ) -> None:
        self._wallet = wallet
        self._books = books
        self._terms = terms
        self._in_thread = in_thread
        self._now_ms = now_ms

    async def replace(self, batch: Batch, coins: list[Coin]) -> Batch | None:
        """The batch with its new transaction, which is in the books and to be sent; None when there is none. `coins`
        are the wallet's, just compared with the books. Raises NodeUnavailableError; the order stays then."""
        try:
            built = await self._built(batch, coins)
            if not await self._in_thread(self._books.holds_lock):
                log.error("payer lost its lock, nothing is signed chain=%s batch=%s", batch.chain, batch.id)
                return None
            raw = await self._wallet.sign(built.raw, built.coins)
            ids = verify_signed(raw, built)
            refusal = await self._wallet.accepts(raw)
            if refusal is not None:
                raise ReplaceRefusedError(f"the node would not take it: {_explained(refusal)}")
        except (ReplaceRefusedError, BatchMismatchError, WalletRefusedError) as error:
            log.warning("payout's fee is not raised chain=%s batch=%s: %s", batch.chain, batch.id, error)
            await self._in_thread(self._books.end_bump, batch, str(error), self._now_ms())
            return None
        await self._in_thread(self._books.replace, batch, built, raw, ids, batch.bump_rate, self._now_ms())
        log.info(
            "payout's fee is raised chain=%s batch=%s txid=%s fee=%d",
            batch.chain, batch.id, ids.txid[::-1].hex(), built.fee,
        )  # fmt: skip
        return next((found for found in await self._in_thread(self._books.batches) if found.id == batch.id), None)

    async def _built(self, batch: Batch, coins: list[Coin]) -> BuiltBatch:
        """The unsigned transaction, verified against the batch's payouts and its present transaction's outputs."""
        assert batch.built is not None and batch.bump_rate is not None
        usable = spendable(coins, await self._in_thread(self._books.spendable), (), self._terms)
        funds = await self._in_thread(self._books.funds)
        change = batch.built.change
        script = change.script if change is not None else await self._wallet.change_script()
        composed = replacement(
            batch, usable, self._terms, fee_rate=batch.bump_rate, change_script=script, fee_budget=funds.fee_budget
        )
        built = build(composed, script, tuple(payout.id for payout in composed.payouts))
        verify_built(built, {payout.id: (payout.script, payout.gross) for payout in batch.payouts})
        if built.outputs != batch.built.outputs:
            raise BatchMismatchError("the replacement does not pay what its batch pays")
        return built


def _explained(refusal: str) -> str:
    if NOT_REPLACED in refusal:
        return f"{refusal} (it keeps the one that it has; Litecoin Core replaces only with -mempoolreplacement=1)"
    return refusal
