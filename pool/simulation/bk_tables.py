"""What was simulated next to what the reference tables say, and how many standard errors lie between."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from pool.simulation.bk_attack import AttackResult, run_attack
from pool.simulation.bk_delay import DelayResult, DelayScenario, run_delay
from pool.simulation.bk_oracle import (
    ATTACK,
    ATTACK_K,
    ORACLE_ATTACK_VOTES,
    ORACLE_SEEDS,
    ORACLE_VOTES,
    OracleRow,
)

LIMIT = 4.0
"""Standard errors that a value may be off: with some ninety comparisons, chance alone goes there once in 170 runs."""

LEAST_REWARD_DEVIATION = 0.005
"""Of a run with 10000 votes: no cell of the reference has less, but a few seeds may look alike by chance."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One value. `errors`: standard errors of the difference, beyond what the reference's rounding explains."""

    name: str
    ours: float
    oracle: float
    errors: float

    @property
    def agrees(self) -> bool:
        return self.errors <= LIMIT


@dataclass(frozen=True, slots=True)
class HonestRow:
    oracle: OracleRow
    values: tuple[Compared, ...]


@dataclass(frozen=True, slots=True)
class AttackCell:
    k: int
    share: float
    value: Compared


def _compared(name: str, ours: float, oracle: float, rounding: float, error: float) -> Compared:
    beyond = max(0.0, abs(ours - oracle) - rounding)
    return Compared(name, ours, oracle, beyond / error if error else 0.0 if beyond == 0.0 else math.inf)


def compare_honest(oracle: OracleRow, results: Sequence[DelayResult]) -> HonestRow:
    """The runs of one row. Errors follow from what single heights deviate, ours and (as there were so many votes) the
    reference's together."""
    heights = sum(one.heights for one in results)
    theirs = ORACLE_SEEDS * ORACLE_VOTES * (1 - oracle.orphaned) / oracle.k
    scale = math.sqrt(1 / heights + 1 / theirs)

    def mean(name: str) -> float:
        return sum(getattr(one, name) * one.heights for one in results) / heights

    late_error = math.sqrt(mean("late_deviation") ** 2 + 1 / heights) * scale
    lost_error = math.sqrt(mean("lost_deviation") ** 2 + 1 / heights) * scale
    orphaned, cv = mean("orphaned"), mean("cv")
    # Normal for many votes per block; an exponential's kurtosis makes it wider at few (the fourth moment of a gamma).
    cv_error = cv * math.sqrt(0.5 + 1.5 / oracle.k) * scale
    values = [
        _compared("orphaned", orphaned, oracle.orphaned, 0.00005 if oracle.orphaned < 0.1 else 0.0005,
                  lost_error * (1 - orphaned) ** 2 / oracle.k),
        _compared("interval s", mean("interval_s"), oracle.mean_s, 0.05, mean("interval_s") * cv * scale),
        _compared("CV", cv, oracle.cv, 0.0005, cv_error),
        _compared("late/block", mean("late"), oracle.late, 0.0005 if oracle.late < 0.4 else 0.05, late_error),
        _compared("leaders/height", mean("leaders"), oracle.leaders, 0.005 if oracle.leaders < 2 else 0.05,
                  math.sqrt(mean("leaders_deviation") ** 2 + 1 / heights) * scale),
    ]  # fmt: skip
    if oracle.blocks is not None:  # 390 heights each
        error = mean("blocks_deviation") * math.sqrt(1 / heights + 1 / 390)
        values.append(_compared("blocks/height", mean("blocks"), oracle.blocks, 0.005, error))
    return HonestRow(oracle, tuple(values))


def honest_row(oracle: OracleRow, votes: int, seeds: Sequence[int]) -> HonestRow:
    scenario = DelayScenario(oracle.k, oracle.interval_s, votes)
    return compare_honest(oracle, [run_delay(scenario, seed) for seed in seeds])


def compare_attack(k: int, share: float, results: Sequence[AttackResult], votes: int) -> AttackCell:
    """The runs of one cell; the reference's deviation is taken to be ours, scaled to its votes."""
    rewards = [one.reward for one in results]
    least = LEAST_REWARD_DEVIATION * math.sqrt(ORACLE_ATTACK_VOTES / votes)
    deviation = max(statistics.stdev(rewards) if len(rewards) > 1 else 0.0, least)
    error = deviation * math.sqrt(1 / len(rewards) + votes / ORACLE_ATTACK_VOTES / ORACLE_SEEDS)
    oracle = ATTACK[share][ATTACK_K.index(k)]
    return AttackCell(k, share, _compared("reward", statistics.fmean(rewards), oracle, 0.0005, error))


def attack_cell(k: int, share: float, votes: int, seeds: Sequence[int]) -> AttackCell:
    return compare_attack(k, share, [run_attack(k, share, votes, seed) for seed in seeds], votes)
