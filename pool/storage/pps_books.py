"""The books of shares that are bought, in SQL: what they earned, what the operator has for them, what was credited.

This is what the share buying service works with (it declares the interface). Each method is one transaction and safe to
repeat.
"""

from __future__ import annotations

from collections.abc import Mapping

from pool.storage import held_store, pps_store
from pool.storage.database import Database


class SqlPpsBooks:
    """Synchronous; every call comes from the one worker thread of the books."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def reserve(self, chain: str) -> int:
        """What the operator has for shares of this chain beyond what they have earned already."""
        with self._database.read() as connection:
            return pps_store.reserve(connection, chain)

    def owed(self, chain: str) -> dict[int, int]:
        """Account id to what its shares have earned and was not credited yet, whole units."""
        with self._database.read() as connection:
            return pps_store.accounts_owed(connection, chain)

    def spendable(self, chain: str) -> int:
        """What the operator has for credits now."""
        with self._database.read() as connection:
            return pps_store.spendable(connection, chain)

    def credit(self, chain: str, amounts: Mapping[int, int], period: int, now_ms: int) -> dict[int, int]:
        """Credits these accounts for their shares, once per period; returns what was credited. What is held goes where
        its owner registered.
        """
        with self._database.write() as connection:
            credited = pps_store.credit(connection, chain, amounts, period, now_ms)
            held_store.release_registered(connection, chain, now_ms)
            return credited

    def fold(self, chain: str, now_ms: int) -> int:
        """Folds some rates that are over; returns how many rows went."""
        with self._database.write() as connection:
            return pps_store.fold_rates(connection, chain, now_ms)
