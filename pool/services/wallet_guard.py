"""Whether this wallet is the one that the books speak of, before anything of it is spent.

It must have the key of the address that the chain's blocks pay, else another wallet is configured. And books that never
paid anybody cannot belong to a wallet that has sent coins: then both database and payout file are lost (or the wallet
was used before), and what the blocks are credited with once more may have been paid out long ago.
"""

from __future__ import annotations

import logging

from chains.primitives.address import address_to_script
from chains.wallet import ChainWallet
from pool.payouts.standing import LOST_BOOKS, WRONG_WALLET
from pool.payouts.terms import PayoutTerms
from pool.services.payout_books import InThread, PayoutBooks

log = logging.getLogger("parapool.payouts")


class WalletGuard:
    """One chain's."""

    def __init__(self, wallet: ChainWallet, books: PayoutBooks, terms: PayoutTerms, in_thread: InThread) -> None:
        self._wallet = wallet
        self._books = books
        self._terms = terms
        self._in_thread = in_thread
        self._has_history = False

    async def look(self, now_ms: int) -> bool:
        """Whether coins may be spent as far as this goes; the chain is on hold when not. Raises NodeUnavailableError
        and WalletRefusedError."""
        address = self._terms.reward_address
        if address is not None and not await self._wallet.is_ours(address_to_script(address, self._terms.addresses)):
            await self._hold(
                WRONG_WALLET,
                f"the wallet does not have the key of {address}, which the chain's blocks pay: "
                "correct payouts.wallet_url or wallet_name, or the chain's address",
                now_ms,
            )
            return False
        if self._has_history:
            return True
        if not await self._in_thread(self._books.has_history) and await self._wallet.has_sent():
            await self._hold(
                LOST_BOOKS,
                "the books and the payout file know of no payment, but the wallet has sent coins before: if either was "
                "lost, put its backup back; if nothing was owed to anybody before, release",
                now_ms,
            )
            return False
        self._has_history = True
        return True

    async def _hold(self, cause: str, reason: str, now_ms: int) -> None:
        if await self._in_thread(self._books.hold, cause, reason, now_ms):
            log.error("payouts on hold, is this the wallet of these books? chain=%s: %s", self._terms.chain, reason)
