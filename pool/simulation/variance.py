"""Many runs: which shares solve is drawn anew each time, and every scheme is replayed over the same draws.

What comes out are statistics of whole amounts, not amounts: they may be floats. Pure: chance is handed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pool.progress import Tell, silent
from pool.shares.scheme import Scheme
from pool.simulation.replay import SLICES, Income, replay
from pool.simulation.world import SimulatedChain, SimulatedShare, miners_of

Chance = Callable[[], float]
"""A number from 0 up to 1, such as random.Random(seed).random."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A miner's income over all runs, in smallest units."""

    mean: float
    variance: float

    @property
    def deviation(self) -> float:
        return math.sqrt(self.variance)

    @property
    def relative(self) -> float:
        """The standard deviation as a part of the mean; 0 for who earns nothing."""
        return self.deviation / self.mean if self.mean else 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a scheme means for each miner: the spread over the runs, and the curve of the first run.

    A curve is the income so far at SLICES places of the run.
    """

    scheme: Scheme
    spreads: Mapping[str, Spread]
    curves: Mapping[str, Sequence[int]]


def draw(shares: Sequence[SimulatedShare], work: int, chance: Chance) -> list[int]:
    """The places of the shares that solve a block: each does with the odds of its weight."""
    return [place for place, share in enumerate(shares) if chance() * work < share.weight]


def recorded(shares: Sequence[SimulatedShare]) -> list[int]:
    """The places of the shares that did solve a block."""
    return [place for place, share in enumerate(shares) if share.solved]


def compare(
    shares: Sequence[SimulatedShare],
    chain: SimulatedChain,
    schemes: Sequence[Scheme],
    runs: int,
    chance: Chance,
    first: Sequence[int] | None = None,
    tell: Tell = silent,
) -> list[Outcome]:
    """Each scheme over the same `runs` draws. `first` are the solves of the first run: those that were recorded."""
    draws = []
    for number in range(runs):
        tell("draws", number, runs)
        draws.append(draw(shares, chain.work, chance))
    if first is not None:
        draws[0] = list(first)
    return [_outcome(shares, chain, scheme, draws, tell) for scheme in schemes]


def _outcome(
    shares: Sequence[SimulatedShare],
    chain: SimulatedChain,
    scheme: Scheme,
    draws: Sequence[Sequence[int]],
    tell: Tell,
) -> Outcome:
    miners = list(miners_of(shares))
    sums: dict[str, list[int]] = {miner: [] for miner in miners}
    curves: Mapping[str, Sequence[int]] = {}
    fixed: list[Income] | None = None
    for number, solves in enumerate(draws):
        tell(f"runs of {scheme}", number, len(draws))
        incomes = fixed if fixed is not None else replay(shares, solves, chain, scheme)
        if scheme in ("pps", "fpps"):
            fixed = incomes  # nothing of it depends on the draw
        amounts = dict.fromkeys(miners, 0)
        for income in incomes:
            amounts[income.miner] += income.amount
        for miner, amount in amounts.items():
            sums[miner].append(amount)
        if number == 0:
            curves = _curves(incomes, miners, len(shares))
    return Outcome(scheme, {miner: _spread(amounts) for miner, amounts in sums.items()}, curves)


def _spread(amounts: Sequence[int]) -> Spread:
    """The variance is the sample's (n - 1)."""
    mean = sum(amounts) / len(amounts)
    if len(amounts) < 2:
        return Spread(mean, 0.0)
    return Spread(mean, sum((amount - mean) ** 2 for amount in amounts) / (len(amounts) - 1))


def _curves(incomes: Sequence[Income], miners: Sequence[str], share_count: int) -> dict[str, list[int]]:
    curves = {miner: [0] * SLICES for miner in miners}
    for income in incomes:
        curves[income.miner][income.share * SLICES // share_count] += income.amount
    for curve in curves.values():
        for place in range(1, SLICES):
            curve[place] += curve[place - 1]
    return curves
