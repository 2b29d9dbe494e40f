"""The unspent outputs of the active chain, and connecting a block to them (Core's ConnectBlock)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from chains.primitives.transaction import Transaction, TxOut
from chains.reference.rules import Rules
from chains.reference.signature import check_spend

Outpoint = tuple[bytes, int]  # txid in natural order, output index


@dataclass(frozen=True, slots=True)
class Coin:
    """An unspent output, the height of its block, and whether a coinbase made it."""

    output: TxOut
    height: int
    coinbase: bool


@dataclass(frozen=True, slots=True)
class Undo:
    """What a block did to the coins, so that it can be taken back."""

    spent: tuple[tuple[Outpoint, Coin], ...]
    created: tuple[Outpoint, ...]


class Coins:
    """The coin set; `connect` either applies a whole block or nothing."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._coins: dict[Outpoint, Coin] = {}

    def __getitem__(self, outpoint: Outpoint) -> Coin:
        return self._coins[outpoint]

    def get(self, outpoint: Outpoint) -> Coin | None:
        return self._coins.get(outpoint)

    def items(self) -> Iterator[tuple[Outpoint, Coin]]:
        return iter(self._coins.items())

    def __len__(self) -> int:
        return len(self._coins)

    def check_inputs(
        self, transaction: Transaction, height: int, made: dict[Outpoint, Coin], spent: dict[Outpoint, Coin]
    ) -> tuple[str | None, int]:
        """The first rule that a non-coinbase transaction breaks at this height, or None, and its fee.

        `made` and `spent` are what earlier transactions of the same block did; a good transaction is added to them.
        """
        sources: list[tuple[Outpoint, Coin]] = []
        for i in transaction.inputs:
            outpoint = (i.previous_txid, i.previous_index)
            coin = None if outpoint in spent else made.get(outpoint) or self._coins.get(outpoint)
            if coin is None:
                return "bad-txns-inputs-missingorspent", 0
            sources.append((outpoint, coin))
        if any(coin.coinbase and height - coin.height < self._rules.maturity for _, coin in sources):
            return "bad-txns-premature-spend-of-coinbase", 0
        fee = sum(c.output.amount_sat for _, c in sources) - sum(o.amount_sat for o in transaction.outputs)
        if fee < 0:
            return "bad-txns-in-belowout", 0
        for index, (_, coin) in enumerate(sources):
            reason = check_spend(transaction, index, coin.output, self._rules.witness)
            if reason is not None:
                return reason, 0
        spent.update(sources)
        made.update(coins_of(transaction, height))
        return None, fee

    def check(self, transactions: tuple[Transaction, ...], height: int) -> tuple[str | None, Undo]:
        """Whether a block's transactions may be connected at this height; the coins stay as they are."""
        spent: dict[Outpoint, Coin] = {}
        made: dict[Outpoint, Coin] = coins_of(transactions[0], height)
        if any(outpoint in self._coins for outpoint in made):
            return "bad-txns-BIP30", Undo((), ())
        fees = 0
        for transaction in transactions[1:]:
            reason, fee = self.check_inputs(transaction, height, made, spent)
            if reason is not None:
                return reason, Undo((), ())
            fees += fee
        if sum(o.amount_sat for o in transactions[0].outputs) > self._rules.subsidy_sat + fees:
            return "bad-cb-amount", Undo((), ())
        # A coin made and spent inside the block never reaches the set.
        created = tuple(outpoint for outpoint in made if outpoint not in spent)
        return None, Undo(tuple((o, c) for o, c in spent.items() if o not in made), created)

    def connect(self, transactions: tuple[Transaction, ...], height: int) -> tuple[str | None, Undo]:
        reason, undo = self.check(transactions, height)
        if reason is None:
            for outpoint, _ in undo.spent:
                del self._coins[outpoint]
            made: dict[Outpoint, Coin] = {}
            for transaction in transactions:
                made.update(coins_of(transaction, height))
            for outpoint in undo.created:
                self._coins[outpoint] = made[outpoint]
        return reason, undo

    def disconnect(self, undo: Undo) -> None:
        for outpoint in undo.created:
            del self._coins[outpoint]
        self._coins.update(undo.spent)


def coins_of(transaction: Transaction, height: int) -> dict[Outpoint, Coin]:
    """The spendable coins that a transaction makes: outputs that can never be spent (OP_RETURN) are left out."""
    txid = transaction.txid
    return {
        (txid, index): Coin(output, height, transaction.is_coinbase)
        for index, output in enumerate(transaction.outputs)
        if not output.script.startswith(b"\x6a")
    }
