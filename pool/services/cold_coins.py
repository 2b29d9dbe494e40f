"""The swept coins looked at on the chain: they lie where they were, or come back, or somebody has taken them."""

from __future__ import annotations

import logging

from chains.primitives.serialize import MalformedError
from chains.primitives.transaction import Transaction, parse_transaction
from chains.wallet import ChainWallet, Outpoint, WalletTransaction
from pool.payouts.cold import ColdReturn, NoReturnError, cold_return
from pool.payouts.reconcile import BookedCoin, named
from pool.payouts.terms import PayoutTerms
from pool.services.payout_books import InThread, PayoutBooks
from pool.services.payout_look import REACH

log = logging.getLogger("parapool.payouts")


class ColdCoins:
    """One chain's."""

    def __init__(self, wallet: ChainWallet, books: PayoutBooks, terms: PayoutTerms, in_thread: InThread) -> None:
        self._wallet = wallet
        self._books = books
        self._terms = terms
        self._in_thread = in_thread

    async def look(self, now_ms: int) -> list[str]:
        """Enters the coins that are back for good, and tells what is wrong, in sentences. A return that is not deep
        enough yet is waited for. Raises NodeUnavailableError and WalletRefusedError."""
        cold = await self._in_thread(self._books.cold_coins)
        spent = {
            coin.outpoint: coin
            for coin in cold
            if not coin.in_flight and not await self._wallet.is_unspent(coin.outpoint)
        }
        if not spent:
            return []
        faults: list[str] = []
        for shown, transaction in await self._spenders(spent):
            taken = [spent.pop(outpoint) for outpoint in _inputs(transaction) if outpoint in spent]
            try:
                found = cold_return(
                    transaction, {coin.outpoint: coin for coin in taken}, await self._ours(transaction), ()
                )
            except NoReturnError as error:
                name = transaction.txid[::-1].hex()
                faults += [f"{_told(coin)} by {name}, and {error}; `pool payouts return` settles it" for coin in taken]
                continue
            if shown.confirmations >= self._terms.confirmations:
                await self._enter(found, now_ms)
        return faults + [_told(coin) for coin in spent.values()]

    async def _spenders(self, spent: dict[Outpoint, BookedCoin]) -> list[tuple[WalletTransaction, Transaction]]:
        """The transactions of the wallet that spend any of these coins: it knows those that pay it."""
        tip = await self._wallet.tip()
        since = max(0, tip.height - REACH * self._terms.maturity)
        found = []
        for shown in await self._wallet.transactions_since(since):
            try:
                transaction = parse_transaction(shown.raw)
            except MalformedError:
                continue  # of a form that this program does not read: its coin counts as spent by nobody known
            if shown.confirmations >= 0 and any(outpoint in spent for outpoint in _inputs(transaction)):
                found.append((shown, transaction))
        return found

    async def _ours(self, transaction: Transaction) -> set[int]:
        return {
            vout for vout, output in enumerate(transaction.outputs) if await self._wallet.is_ours(output.script)
        }

    async def _enter(self, found: ColdReturn, now_ms: int) -> None:
        await self._in_thread(self._books.come_back, found, now_ms)
        log.warning(
            "swept coins are back chain=%s txid=%s coins=%d amount=%d cost=%d", self._terms.chain,
            found.txid[::-1].hex(), len(found.spent), sum(amount for _, amount in found.hot), found.cost,
        )  # fmt: skip


def _inputs(transaction: Transaction) -> list[Outpoint]:
    return [Outpoint(spent.previous_txid, spent.previous_index) for spent in transaction.inputs]


def _told(coin: BookedCoin) -> str:
    return f"the swept coin {named(coin.outpoint)} of {coin.amount} is spent"
