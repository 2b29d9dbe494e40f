"""Transactions waiting for a block. They spend confirmed coins only, so no transaction here depends on another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from chains.primitives.transaction import Transaction, TxOut
from chains.reference.chain import Chain, Entry
from chains.reference.checks import check_transaction, has_relative_lock, is_final
from chains.reference.coins import Outpoint
from chains.reference.rules import RELAY_FEE_SAT

# Core's GetDustThreshold at its default of 3 satoshi per virtual byte, by the length of the standard scripts.
_DUST_SAT = {25: 546, 23: 540, 22: 294, 34: 330}


@dataclass(frozen=True, slots=True)
class Waiting:
    """A waiting transaction: its fee, and when it came (seconds)."""

    transaction: Transaction
    fee_sat: int
    time_s: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the mempool makes of a transaction: Core's reason word, with its details behind a comma, or None; the fee;
    and the waiting transactions that it would replace (BIP125, except in an old daemon)."""

    reason: str | None
    fee_sat: int = 0
    replaced: tuple[bytes, ...] = ()


def virtual_size(transaction: Transaction) -> int:
    """BIP141: the weight over four, rounded up."""
    return -(-transaction.weight // 4)


def _is_dust(output: TxOut) -> bool:
    return not output.script.startswith(b"\x6a") and output.amount_sat < _DUST_SAT.get(len(output.script), 0)


class Mempool:
    """Kept in order of arrival; `updates` counts every change, as the longpoll id shows it."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._waiting: dict[bytes, Waiting] = {}
        self._spent: dict[Outpoint, bytes] = {}  # by which waiting transaction
        self.updates = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Waiting]:
        return iter(self._waiting.values())

    def get(self, txid: bytes) -> Waiting | None:
        return self._waiting.get(txid)

    def spends(self, outpoint: Outpoint) -> bool:
        return outpoint in self._spent

    def judge(self, transaction: Transaction, *, policy: bool = True) -> Judgement:
        """Whether a transaction could be in the next block. `policy` asks for what only newcomers are asked for: a
        fee, no dust."""
        if transaction.txid in self._waiting:
            return Judgement("txn-already-in-mempool")
        if transaction.is_coinbase:
            return Judgement("coinbase")
        tip = self._chain.tip
        reason = check_transaction(transaction)
        if reason is not None:
            return Judgement(reason)
        if policy and any(_is_dust(output) for output in transaction.outputs):
            return Judgement("dust")
        if has_relative_lock(transaction) or not is_final(transaction, tip.height + 1, self._chain.median_time(tip)):
            return Judgement("non-final")
        outpoints = {(i.previous_txid, i.previous_index) for i in transaction.inputs}
        conflicts = tuple(dict.fromkeys(self._spent[o] for o in outpoints if o in self._spent))
        if conflicts and (self._chain.rules.old_wallet or not policy):
            return Judgement("txn-mempool-conflict")
        reason, fee_sat = self._chain.coins.check_inputs(transaction, tip.height + 1, {}, {})
        if reason is not None:
            return Judgement(reason)
        if policy:
            reason = self._fee_reason(transaction, fee_sat, conflicts)
        return Judgement(reason, fee_sat, conflicts)

    def _fee_reason(self, transaction: Transaction, fee_sat: int, conflicts: tuple[bytes, ...]) -> str | None:
        least_sat = RELAY_FEE_SAT * virtual_size(transaction) // 1000
        if fee_sat < least_sat:
            return f"min relay fee not met, {fee_sat} < {least_sat}"
        paid_sat = sum(self._waiting[txid].fee_sat for txid in conflicts)
        if conflicts and fee_sat < paid_sat + least_sat:
            return f"insufficient fee, rejecting replacement; {fee_sat} < {paid_sat + least_sat}"
        return None

    def add(self, transaction: Transaction, time_s: int, *, policy: bool = True) -> Judgement:
        """Take a transaction, or say why not."""
        judgement = self.judge(transaction, policy=policy)
        if judgement.reason is not None:
            return judgement
        for txid in judgement.replaced:
            self._drop(txid)
        self._waiting[transaction.txid] = Waiting(transaction, judgement.fee_sat, time_s)
        self._spent |= {(i.previous_txid, i.previous_index): transaction.txid for i in transaction.inputs}
        self.updates += 1
        return judgement

    def _drop(self, txid: bytes) -> None:
        for i in self._waiting.pop(txid).transaction.inputs:
            del self._spent[(i.previous_txid, i.previous_index)]

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
            self.add(item.transaction, item.time_s, policy=False)
        self.updates += 1
        dropped = [item.transaction for item in returned + waiting]
        return [t for t in dropped if t.txid not in self._waiting and self._chain.place_of(t.txid) is None]
