"""What an audit says: a finding is a promise of the books that does not hold; a note is something it could not check.

Rules are named by the invariant (I1, I2, ...) where one says it, else by a word:

    transfers   the ledger moved something else than the block and its state demand
    scheme      a block was credited by another scheme than its solve counted under
    fee         the fee is not what the terms give
    place       a vote's row does not tell which vote it is, and in which block and at which index it was credited
    weights     the weights are not those of the shares in the window
    split       the amounts are not the split of the reward by the weights
    shares      a header hash is stored twice, or a share refers to a row that is not there
    pps         bought shares are worth something else than was summed or credited
    closings    a sealed stretch of the books is broken, or the books no longer say what it sealed
    settings    a miner's settings are not what its signed messages say
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

LINES_LIMIT = 20
"""Findings of one rule about one subject that are told one by one; a window of another factor has thousands."""


class Finding(NamedTuple):
    """One line. `subject` is a chain with a block or an account of it."""

    rule: str
    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.rule} {self.subject}: {self.text}"


def shortened(findings: Iterable[Finding]) -> list[Finding]:
    """The findings, those beyond the limit of their rule and subject as one that counts them."""
    kept, seen = [], Counter[tuple[str, str]]()
    for finding in findings:
        seen[finding.rule, finding.subject] += 1
        if seen[finding.rule, finding.subject] <= LINES_LIMIT:
            kept.append(finding)
    for (rule, subject), number in seen.items():
        if number > LINES_LIMIT:
            kept.append(Finding(rule, subject, f"and {number - LINES_LIMIT} more like these"))
    return kept
