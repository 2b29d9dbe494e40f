"""How a chain's payouts stand: what holds them, what they may cost, and who may make them. Pure values."""

from __future__ import annotations

from dataclasses import dataclass

from pool.ledger.solvency import Cover

WRONG_WALLET = "address"
"""The cause of the hold of a wallet that has not the key of the chain's address."""

LOST_BOOKS = "history"
"""And of one that has paid while the books know of no payment."""


class OtherPayerError(Exception):
    """Somebody else pays on this chain."""


class FencedError(Exception):
    """Another payer took the chain meanwhile. Nothing was written; this one must stop."""


class PayoutFileError(Exception):
    """The payout file says something that it cannot have been written with. Nobody is paid until somebody looked."""


class UnknownAccountError(Exception):
    """The payout file pays somebody whom these books do not know (yet)."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Why nothing new is paid on a chain: a short cause, of which each is in force once, and a sentence."""

    chain: str
    cause: str
    reason: str
    placed_ms: int


@dataclass(frozen=True, slots=True)
class Funds:
    """What the operator's own money allows: the cover of what is owed, and the pool's fees that built and signed
    batches are going to cost."""

    cover: Cover
    pending_fees: int

    @property
    def fee_budget(self) -> int:
        """The most that the pool may pay as fees now; never more than what lies above what is owed."""
        return self.cover.surplus - self.pending_fees
