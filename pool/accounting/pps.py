"""PPS and FPPS: what shares are worth, exactly, and how much of it is credited.

A share is worth weight · REWARD / WORK · (1 - FEE): a fraction of a unit as often as not. Per account the weights are
summed by rate, so that the worth of everything it ever sent is a sum of few fractions; what is credited is always
⌊cumulative worth⌋ less what was credited before, so that rounding never adds up.

Rates that are over are folded into one number per account, in units of 2**-256 of the smallest unit, rounded down:
after a thousand years of hourly folds less than 10**-70 of a unit is missing. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction

from pool.accounting.split import largest_remainder
from pool.shares.scheme import Rate

FOLDED_BITS = 256
"""What is folded counts in units of 2**-256 of the chain's smallest unit."""


def worth(accrued: Iterable[tuple[Rate, int]], folded: int = 0) -> Fraction:
    """What (rate, weight) pairs and what was folded before are worth together, in smallest units."""
    return sum((rate.value(weight) for rate, weight in accrued), Fraction(folded, 1 << FOLDED_BITS))


def fold(accrued: Iterable[tuple[Rate, int]]) -> int:
    """The worth of rates that are over, each rounded down, in units of 2**-256."""
    return sum(_floor(rate.value(weight) * (1 << FOLDED_BITS)) for rate, weight in accrued)


def owed(cumulative: Fraction, credited: int) -> int:
    """What may be credited now: ⌊cumulative⌋ less what was credited before, never less than nothing."""
    return max(0, _floor(cumulative) - credited)


def affordable(amounts: Mapping[int, int], available: int) -> dict[int, int]:
    """The amounts (by account id) if the operator's money covers them, else that money divided in their proportion: to
    nobody more than his due, to all together no unit more than there is. What is left over stays owed.
    """
    total = sum(amounts.values())
    if total <= available:
        return dict(amounts)
    if available <= 0:
        return dict.fromkeys(amounts, 0)
    return largest_remainder(available, amounts)


def _floor(value: Fraction) -> int:
    return value.numerator // value.denominator
