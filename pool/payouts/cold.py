"""Swept coins on their way back: an outside transaction of the operator's that spends them and pays the wallet again.

The pool neither made nor signed it, so it is read from the chain. Every output must be accounted for: it is the
wallet's, or it stays the operator's cold money by his own word. What is left of the swept coins is what moving them
cost, and the operator bears it; what came beside them is his. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from chains.primitives.transaction import Transaction
from chains.wallet import Outpoint
from pool.payouts.reconcile import BookedCoin

CAUSE = "return:"
"""With the displayed txid behind it, the cause of the coins that such a transaction made."""


class NoReturnError(Exception):
    """The transaction cannot be taken for a return of swept coins: one sentence."""


@dataclass(frozen=True, slots=True)
class ColdReturn:
    """What a transaction did to the swept coins: those it spent, and what became the wallet's (`hot`) and what stays
    cold (`kept`), as outpoints with amounts."""

    txid: bytes
    spent: tuple[BookedCoin, ...]
    hot: tuple[tuple[Outpoint, int], ...]
    kept: tuple[tuple[Outpoint, int], ...]

    @property
    def cost(self) -> int:
        """What of the spent coins is neither here nor there; negative when more came than they held."""
        return sum(coin.amount for coin in self.spent) - sum(amount for _, amount in (*self.hot, *self.kept))

    @property
    def cause(self) -> str:
        return CAUSE + self.txid[::-1].hex()


def cold_return(
    transaction: Transaction, cold: Mapping[Outpoint, BookedCoin], ours: Collection[int], kept: Collection[int]
) -> ColdReturn:
    """`cold` are the swept coins of the books, `ours` the outputs whose key the wallet has, `kept` those that the
    operator says are his cold wallet's. Raises NoReturnError."""
    inputs = [Outpoint(spent.previous_txid, spent.previous_index) for spent in transaction.inputs]
    spent = tuple(cold[outpoint] for outpoint in inputs if outpoint in cold)
    if not spent:
        raise NoReturnError("it spends no swept coin")
    for vout in sorted(kept):
        if vout >= len(transaction.outputs) or vout in ours or not transaction.outputs[vout].amount_sat:
            raise NoReturnError(f"it has no output {vout} that pays somebody else than the wallet")
    hot: list[tuple[Outpoint, int]] = []
    stays: list[tuple[Outpoint, int]] = []
    for vout, output in enumerate(transaction.outputs):
        outpoint = Outpoint(transaction.txid, vout)
        if vout in ours and output.amount_sat:
            hot.append((outpoint, output.amount_sat))
        elif vout in kept:
            stays.append((outpoint, output.amount_sat))
        elif output.amount_sat:
            raise NoReturnError(f"its output {vout} of {output.amount_sat} is not the wallet's")
    return ColdReturn(transaction.txid, spent, tuple(hot), tuple(stays))
