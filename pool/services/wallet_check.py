"""The wallet looked at against the books, at one tip: before every batch and every few minutes.

What is good is entered (coins of matured blocks, strangers' deposits that came or went); what is not puts the chain on
hold and is told. An outage or a tip that moves meanwhile decides nothing: the next pass looks again.
"""

from __future__ import annotations

import logging

from chains.wallet import ChainWallet, Coin, ForeignSpendError, Outpoint, Tip
from pool.payouts.form import form_of
from pool.payouts.reconcile import BooksView, Reconciliation, may_leave, named, reconcile
from pool.payouts.terms import PayoutTerms
from pool.services.cold_coins import ColdCoins
from pool.services.payout_books import InThread, PayoutBooks
from pool.services.wallet_guard import WalletGuard

log = logging.getLogger("parapool.payouts")

LOOKS = 3
"""So often is the wallet asked again when a block came in between."""

SHOWN_FAULTS = 5


class WalletCheck:
    """One chain's reconciliation. For metrics: `difference` (smallest units, None before the first look), `shown` (what
    the wallet holds, confirmed) and `checked_ms`."""

    def __init__(self, wallet: ChainWallet, books: PayoutBooks, terms: PayoutTerms, in_thread: InThread) -> None:
        self._wallet = wallet
        self._books = books
        self._terms = terms
        self._in_thread = in_thread
        self._guard = WalletGuard(wallet, books, terms, in_thread)
        self._cold = ColdCoins(wallet, books, terms, in_thread)
        self.difference: int | None = None
        self.shown: int | None = None
        self.checked_ms: int | None = None
        self._noted: set[str] = set()
        self._over_ceiling = False

    async def look(self, now_ms: int) -> list[Coin] | None:
        """The wallet's coins when they and the books agree; None when they do not (the chain is on hold then) or when
        they could not be compared. Raises NodeUnavailableError and WalletRefusedError."""
        is_its_wallet = await self._guard.look(now_ms)
        cold_faults = await self._cold.look(now_ms)
        try:
            looked = await self._at_one_tip()
        except ForeignSpendError as error:
            self.checked_ms = now_ms
            await self._stop([str(error)], now_ms)
            return None
        if looked is None:
            return None
        tip, coins, view, origins, away = looked
        terms = self._terms
        found = reconcile(
            coins, view, origins, tip_height=tip.height, maturity=terms.maturity, confirmations=terms.confirmations,
            away=away,
        )  # fmt: skip
        faults = [*found.faults, *cold_faults]
        self.difference, self.checked_ms = found.difference, now_ms
        self.shown = sum(coin.amount for coin in coins if coin.confirmations > 0)
        self._tell(found)
        if faults:
            await self._stop(faults, now_ms)
            return None
        if not is_its_wallet:
            return None
        if found.incomes or found.deposits or found.left:
            await self._in_thread(self._books.enter, found, now_ms)
            self._tell_deposits(found)
        return coins

    async def _at_one_tip(
        self,
    ) -> tuple[Tip, list[Coin], BooksView, dict[bytes, str | None], set[Outpoint]] | None:
        for _ in range(LOOKS):
            tip = await self._wallet.tip()
            coins = await self._wallet.coins()
            shown = [coin.outpoint for coin in coins]
            view = await self._in_thread(self._books.books_view, shown, ())
            origins = await self._origins(coins, view)
            if origins:
                hashes = {block for block in origins.values() if block is not None}
                view = await self._in_thread(self._books.books_view, shown, hashes)
            away = await self._away(view, set(shown), tip)
            if (await self._wallet.tip()).hash_hex == tip.hash_hex:
                return tip, coins, view, origins, away
        return None

    async def _away(self, view: BooksView, shown: set[Outpoint], tip: Tip) -> set[Outpoint]:
        """Strangers' coins that a reorg took: the wallet knows their own transactions, and no block has them. One that
        something spends while its transaction waits is not among them: only the keys can do that. What an account was
        sent and has no more nobody can have spent: its balance, which bears the coins out, says so."""
        missing = [coin.outpoint for coin in view.coins.values() if may_leave(coin) and coin.outpoint not in shown]
        away = set()
        for outpoint in missing:
            transaction = await self._wallet.transaction(outpoint.txid)
            if self._terms.account if transaction is None else transaction.confirmations <= 0:
                away.add(outpoint)
        for waiting in await self._wallet.transactions_since(tip.height) if away else ():
            away -= form_of(self._terms).claimed(waiting.raw)
        return away

    async def _origins(self, coins: list[Coin], view: BooksView) -> dict[bytes, str | None]:
        """The blocks of the coinbases that the books do not know."""
        strange = {coin.outpoint.txid for coin in coins if coin.coinbase and coin.outpoint not in view.coins}
        origins: dict[bytes, str | None] = {}
        for txid in sorted(strange):
            transaction = await self._wallet.transaction(txid)
            origins[txid] = transaction.block_hash_hex if transaction is not None else None
        return origins

    async def _stop(self, faults: list[str], now_ms: int) -> None:
        more = len(faults) - SHOWN_FAULTS
        reason = "; ".join(faults[:SHOWN_FAULTS]) + (f"; and {more} more" if more > 0 else "")
        if await self._in_thread(self._books.hold, "wallet", reason, now_ms):
            log.error("payouts on hold, the wallet is not what the books say chain=%s: %s", self._terms.chain, reason)

    def _tell(self, found: Reconciliation) -> None:
        for note in found.notes:
            if note not in self._noted:
                self._noted.add(note)
                log.warning("wallet holds what the books do not know chain=%s: %s", self._terms.chain, note)
        ceiling, shown = self._terms.hot_ceiling, self.shown or 0
        over = ceiling is not None and shown > ceiling
        if over and not self._over_ceiling:
            log.error(
                "too much in the hot wallet, sweep it chain=%s amount=%d ceiling=%s", self._terms.chain, shown, ceiling
            )
        self._over_ceiling = over

    def _tell_deposits(self, found: Reconciliation) -> None:
        for coin in found.deposits:
            log.warning(
                "a deposit that nobody announced chain=%s coin=%s amount=%d",
                self._terms.chain, named(Outpoint(*coin.outpoint)), coin.amount,
            )  # fmt: skip
        for left in found.left:
            log.warning(
                "a deposit left the chain again chain=%s coin=%s amount=%d",
                self._terms.chain, named(left.outpoint), left.amount,
            )  # fmt: skip
