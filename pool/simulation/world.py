"""What a simulation is told: shares as they came, and what a block is worth and costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple


class SimulatedShare(NamedTuple):
    """A share of one chain. `miner` is whoever earns by it; `weight` is in expected hashes."""

    time_ms: int
    miner: str
    weight: int
    solved: bool = False


@dataclass(frozen=True, slots=True)
class SimulatedChain:
    """`reward` is what a block pays, `fees` the transaction fees in it, in smallest units; `work` the expected hashes
    of a block; the rest are the pool's terms.
    """

    reward: int
    work: int
    fees: int = 0
    fee_ppm: int = 0
    factor: Fraction = Fraction(2)
    window_min_ms: int = 0

    def __post_init__(self) -> None:
        if self.work <= 0 or not 0 <= self.fees <= self.reward:
            raise ValueError("expected work over 0 and fees between 0 and the reward")


def miners_of(shares: Sequence[SimulatedShare]) -> dict[str, int]:
    """Every miner with the weight of all its shares, the biggest first."""
    weights: dict[str, int] = {}
    for share in shares:
        weights[share.miner] = weights.get(share.miner, 0) + share.weight
    return dict(sorted(weights.items(), key=lambda item: (-item[1], item[0])))
