"""Splitting a reward so that nothing is lost or made up: by the scheme it was earned under, to the unit.

PPLNS takes the pool's fee off and divides the rest by the largest remainder method; SOLO gives the rest to the solver;
under PPS and FPPS all of it is the operator's, who has bought the shares.

Whole smallest units throughout. The sum of the parts is the amount, each part differs from the exact one by less
than one unit, and the result depends on nothing but the weights and the account ids (the smaller id wins a tie). Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pool.shares.scheme import PER_SHARE, PPM, Scheme


@dataclass(frozen=True, slots=True)
class Split:
    """fee + operator + unexplained + sum(amounts) is the reward. `unexplained` is all of it when no share explains who
    earned it.
    """

    fee: int
    amounts: Mapping[int, int]
    unexplained: int
    operator: int = 0


def fee_of(reward: int, fee_ppm: int) -> int:
    """The pool's part of a reward, rounded down in favour of the miners."""
    return reward * fee_ppm // PPM


def largest_remainder(amount: int, weights: Mapping[int, int]) -> dict[int, int]:
    """`amount` divided by `weights` (account id to weight, not negative, not all zero)."""
    if amount < 0 or any(weight < 0 for weight in weights.values()):
        raise ValueError("amounts and weights are not negative")
    total = sum(weights.values())
    if total == 0:
        raise ValueError("nothing to divide by: all weights are zero")
    parts: dict[int, int] = {}
    remainders: list[tuple[int, int]] = []
    for account, weight in weights.items():
        parts[account], remainder = divmod(amount * weight, total)
        remainders.append((-remainder, account))
    left = amount - sum(parts.values())
    for _, account in sorted(remainders)[:left]:
        parts[account] += 1
    return parts


def split_reward(reward: int, fee_ppm: int, weights: Mapping[int, int], scheme: Scheme = "pplns") -> Split:
    """Who gets what of a block's reward. `weights` are the window's under PPLNS, the solver's own under SOLO; the
    operator's block needs none. An empty window earns nobody anything, the pool neither: all stays unexplained.
    """
    if scheme in PER_SHARE:
        return Split(0, {}, 0, reward)
    if scheme == "solo" and len(weights) > 1:
        raise ValueError("a block under SOLO has one solver")
    if not any(weights.values()):
        return Split(0, {}, reward)
    fee = fee_of(reward, fee_ppm)
    return Split(fee, largest_remainder(reward - fee, weights), 0)
