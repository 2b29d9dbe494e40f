"""One chain's payer as a service: gets the right to pay, passes every half minute, and waits when it cannot.

Nothing that goes wrong ends it, and nothing here concerns mining: an outage of node or database is told once and
waited for; another payer keeps this one standing by.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from functools import partial
from typing import TypeVar

from chains.node_rpc import NodeUnavailableError
from chains.wallet import ChainWallet, WalletRefusedError
from pool.accounting.books_away import BooksAwayError
from pool.payouts.batch import FINAL, Batch, StepRefusedError
from pool.payouts.standing import FencedError, OtherPayerError
from pool.payouts.terms import PayoutTerms
from pool.services.payout_books import PayoutBooks
from pool.services.payout_run import PayoutRun

log = logging.getLogger("parapool.payouts")

INTERVAL_S = 30.0
PASS_TIMEOUT_S = 600.0

WAITED_FOR = (NodeUnavailableError, WalletRefusedError, BooksAwayError, TimeoutError, StepRefusedError)
"""What passes by itself; a refused step is one that an operator's order came before."""

T = TypeVar("T")


class PayoutService:
    """One chain's. `open_books` takes the right to pay and opens books and payout file, in the SQL thread; it raises
    OtherPayerError while somebody else has it. `fault` says why the last pass could not be made."""

    def __init__(
        self,
        wallet: ChainWallet,
        open_books: Callable[[], PayoutBooks],
        terms: PayoutTerms,
        executor: Executor,
        *,
        now_ms: Callable[[], int],
        new_id: Callable[[], str],
        interval_s: float = INTERVAL_S,
    ) -> None:
        self.chain = terms.chain
        self._wallet = wallet
        self._open_books = open_books
        self._terms = terms
        self._executor = executor
        self._now_ms = now_ms
        self._new_id = new_id
        self._interval_s = interval_s
        self._books: PayoutBooks | None = None
        self._payer: PayoutRun | None = None
        self._batches: list[Batch] = []
        self.fault = ""
        self.on_hold = False

    # -- for metrics --------------------------------------------------------------------------------------------------

    @property
    def batches_by_state(self) -> Mapping[str, int]:
        """How many batches that something may still move are in each state."""
        counts: dict[str, int] = {}
        for batch in self._batches:
            counts[batch.state.value] = counts.get(batch.state.value, 0) + 1
        return counts

    @property
    def oldest_open_s(self) -> float:
        """Age of the oldest batch that is not final; 0 without any."""
        born = [batch.created_ms for batch in self._batches if batch.state not in FINAL]
        return max(0.0, (self._now_ms() - min(born)) / 1000) if born else 0.0

    @property
    def wallet_difference(self) -> int | None:
        """What the wallet holds over what the books say, smallest units; None before the first look."""
        return self._payer.check.difference if self._payer is not None else None

    @property
    def wallet_amount(self) -> int | None:
        """What the wallet showed at the last look, confirmed."""
        return self._payer.check.shown if self._payer is not None else None

    @property
    def ceiling(self) -> int | None:
        """What the hot wallet is configured to hold at most."""
        return self._terms.hot_ceiling

    # -- running ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                await self.step()
                await asyncio.sleep(self._interval_s)
        finally:
            await self.close()

    async def close(self) -> None:
        """Lets somebody else pay, once what the SQL thread is at is done."""
        self._payer = None
        await asyncio.shield(self._in_thread(self._close_held))

    async def step(self) -> bool:
        """One pass; whether it could be made. Errors are told once and kept for the next pass."""
        try:
            async with asyncio.timeout(PASS_TIMEOUT_S):
                await self._pass()
        except Exception as error:
            await self._report(error)
            return False
        if self.fault:
            self.fault = ""
            log.info("payouts go on chain=%s", self.chain)
        return True

    async def _pass(self) -> None:
        if self._books is not None and not await self._in_thread(self._books.holds_lock):
            await self.close()
        books = await self._in_thread(self._hold_books)
        if self._payer is None:
            self._payer = PayoutRun(
                self._wallet, books, self._terms, self._in_thread, now_ms=self._now_ms, new_id=self._new_id
            )
        try:
            await self._payer.step()
        finally:
            self._batches = await self._in_thread(books.batches)
            self.on_hold = bool(await self._in_thread(books.holds))

    # In the SQL thread: a pass that is cancelled while the right to pay is being taken would otherwise take it for
    # nobody, and no later pass could have it.

    def _hold_books(self) -> PayoutBooks:
        if self._books is None:
            self._books = self._open_books()
        return self._books

    def _close_held(self) -> None:
        books, self._books = self._books, None
        if books is not None:
            books.close()

    async def _report(self, error: Exception) -> None:
        if isinstance(error, FencedError):
            await self.close()
        words = str(error) or type(error).__name__
        if words == self.fault:
            return
        self.fault = words
        if isinstance(error, OtherPayerError):
            log.info("payer stands by chain=%s: %s", self.chain, words)
        elif isinstance(error, WAITED_FOR):
            log.warning("payouts wait chain=%s: %s", self.chain, words)
        else:
            trace = None if isinstance(error, OSError) else error  # a full disk says all of it in its words
            log.error("payouts cannot go on, trying again chain=%s: %s", self.chain, words, exc_info=trace)

    async def _in_thread(self, call: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, partial(call, *arguments))
