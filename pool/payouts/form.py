"""The two forms of a payment: a transaction that spends coins, or a transfer of an account. What differs is here.

Both are one thing to the payer: bytes whose id is known before they are signed, that may be sent again and again, and
that exclude every other payment which makes the same *claim*. A transaction claims the coins that it spends; a transfer
claims its account's turn, the nonce. Of two payments with a common claim the chain takes one at most, so that is what a
conflict is sought by, and a batch is dead once another payment has one of its claims for good (docs/adr/0021). Pure.
"""

from __future__ import annotations

from typing import Protocol

from chains.accounts.coins import nonce_name
from chains.primitives.serialize import MalformedError
from chains.primitives.transaction import parse_transaction
from chains.wallet import Outpoint, Turn
from pool.payouts import build as coin_build
from pool.payouts import build_transfer
from pool.payouts.batch import BuiltBatch
from pool.payouts.build import SignedIds
from pool.payouts.compose import Composition
from pool.payouts.terms import PayoutTerms


class PaymentForm(Protocol):
    """What the payer asks of a form; pool/payouts/build.py says what building and verifying promise."""

    def build(
        self, composition: Composition, change_script: bytes, turn: Turn | None, wanted: tuple[str, ...]
    ) -> BuiltBatch: ...

    def verify_built(self, built: BuiltBatch, wanted: dict[str, tuple[bytes, int]]) -> None: ...

    def verify_signed(self, raw: bytes, built: BuiltBatch) -> SignedIds: ...

    def claims(self, built: BuiltBatch) -> frozenset[Outpoint]:
        """What a batch claims."""

    def claimed(self, raw: bytes) -> frozenset[Outpoint]:
        """What any payment claims, ours or not; nothing when it has another form, for then it is no payment."""

    def has_turn(self, built: BuiltBatch, turn: Turn | None) -> bool:
        """Whether a built batch could be the next that its account sends; always, of coins."""


class _Coins:
    """Transactions."""

    def build(
        self, composition: Composition, change_script: bytes, turn: Turn | None, wanted: tuple[str, ...]
    ) -> BuiltBatch:
        return coin_build.build(composition, change_script, wanted)

    def verify_built(self, built: BuiltBatch, wanted: dict[str, tuple[bytes, int]]) -> None:
        coin_build.verify_built(built, wanted)

    def verify_signed(self, raw: bytes, built: BuiltBatch) -> SignedIds:
        return coin_build.verify_signed(raw, built)

    def claims(self, built: BuiltBatch) -> frozenset[Outpoint]:
        return frozenset(built.inputs)

    def claimed(self, raw: bytes) -> frozenset[Outpoint]:
        try:
            inputs = parse_transaction(raw).inputs
        except MalformedError:
            return frozenset()  # of a form that no payout has; a coin's absence tells all the same
        return frozenset(Outpoint(spent.previous_txid, spent.previous_index) for spent in inputs)

    def has_turn(self, built: BuiltBatch, turn: Turn | None) -> bool:
        return True


class _Account:
    """Transfers."""

    def build(
        self, composition: Composition, change_script: bytes, turn: Turn | None, wanted: tuple[str, ...]
    ) -> BuiltBatch:
        assert turn is not None, "an account tells its turn"
        return build_transfer.build(composition, turn, wanted)

    def verify_built(self, built: BuiltBatch, wanted: dict[str, tuple[bytes, int]]) -> None:
        build_transfer.verify_built(built, wanted)

    def verify_signed(self, raw: bytes, built: BuiltBatch) -> SignedIds:
        return build_transfer.verify_signed(raw, built)

    def claims(self, built: BuiltBatch) -> frozenset[Outpoint]:
        return frozenset({build_transfer.turn_of(built.raw, signed=False)})

    def claimed(self, raw: bytes) -> frozenset[Outpoint]:
        try:
            return frozenset({build_transfer.turn_of(raw, signed=True)})
        except MalformedError:
            return frozenset()  # what came in

    def has_turn(self, built: BuiltBatch, turn: Turn | None) -> bool:
        assert turn is not None, "an account tells its turn"
        return self.claims(built) == {nonce_name(turn.chain_id, turn.script, turn.nonce)}


COINS: PaymentForm = _Coins()
ACCOUNT: PaymentForm = _Account()


def form_of(terms: PayoutTerms) -> PaymentForm:
    """The form of a chain's payments."""
    return ACCOUNT if terms.account else COINS
