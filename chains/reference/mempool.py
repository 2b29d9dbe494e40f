"""Transactions waiting for a block. They spend confirmed coins only, so no transaction here depends on another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from chains.primitives.transaction import Transaction
from chains.reference.chain import Chain, Entry
from chains.reference.checks import check_transaction, has_relative_lock, is_final
from chains.reference.coins import Outpoint


@dataclass(frozen=True, slots=True)
class Waiting:
    """A waiting transaction: its fee, and when it came (seconds)."""

    transaction: Transaction
    fee_sat: int
    time_s: int


class Mempool:
    """Kept in order of arrival; `updates` counts every change, as the longpoll id shows it."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._waiting: dict[bytes, Waiting] = {}
        self._spent: set[Outpoint] = set()
        self.updates = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Waiting]:
        return iter(self._waiting.values())

    def get(self, txid: bytes) -> Waiting | None:
        return self._waiting.get(txid)

    def spends(self, outpoint: Outpoint) -> bool:
        return outpoint in self._spent

    def add(self, transaction: Transaction, time_s: int) -> str | None:
        """Take a transaction that could be in the next block; else the reason word of Core's mempool."""
        txid = transaction.txid
        if txid in self._waiting:
            return "txn-already-in-mempool"
        if transaction.is_coinbase:
            return "coinbase"
        tip = self._chain.tip
        reason = check_transaction(transaction)
        if reason is not None:
            return reason
        if has_relative_lock(transaction) or not is_final(transaction, tip.height + 1, self._chain.median_time(tip)):
            return "non-final"
        outpoints = {(i.previous_txid, i.previous_index) for i in transaction.inputs}
        if outpoints & self._spent:
            return "txn-mempool-conflict"
        reason, fee_sat = self._chain.coins.check_inputs(transaction, tip.height + 1, {}, {})
        if reason is not None:
            return reason
        self._waiting[txid] = Waiting(transaction, fee_sat, time_s)
        self._spent |= outpoints
        self.updates += 1
        return None

    def tip_moved(self, disconnected: list[Entry]) -> list[Transaction]:
        """Take back what left the chain, and drop what is now in it or can no longer be; the latter are returned."""
        waiting = list(self._waiting.values())
        returned = [
            Waiting(transaction, 0, entry.header.time)
            for entry in disconnected
            for transaction in self._chain.block(entry).transactions[1:]
        ]
        self._waiting.clear()
        self._spent.clear()
        for item in returned + waiting:
            self.add(item.transaction, item.time_s)
        self.updates += 1
        dropped = [item.transaction for item in returned + waiting]
        return [t for t in dropped if t.txid not in self._waiting and self._chain.place_of(t.txid) is None]
