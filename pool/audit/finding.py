"""What an audit says: a finding is a promise of the books that does not hold; a note is something it could not check.

Rules are named by the invariant (I1, I2, ...) where one says it, else by a word:

    transfers   the ledger moved something else than the block and its state demand
    fee         the fee is not what the terms give
    weights     the weights are not those of the shares in the window
    split       the amounts are not the split of the reward by the weights
"""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """One line. `subject` is a chain with a block or an account of it."""

    rule: str
    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.rule} {self.subject}: {self.text}"
