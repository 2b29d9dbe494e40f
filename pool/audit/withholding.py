"""Whether somebody keeps his blocks for himself: a miner's solves, held against his part of the work.

Of N blocks that the pool's shares solved, a miner with the part p of the work solves each with probability p, by the
nature of hashing. So the chance that he solved as few as he did is a binomial tail, and needs neither targets nor
prices. The chain with the most solves is the sensitive sample: somebody who drops every solve shows there first, weeks
before he is missed on the parent. Who drops the parent's only, and hands in the rest, shows on the parent alone.

A small chance in a long table is no proof; `SUSPICIOUS` is therefore divided by the number of rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, lgamma, log, log1p
from typing import NamedTuple, Protocol

SUSPICIOUS = 0.01


class Work(Protocol):
    """What pool/storage/solver_views gives of a chain."""

    @property
    def work(self) -> Mapping[str, int]: ...

    @property
    def solved(self) -> Mapping[str, int]: ...


class Suspicion(NamedTuple):
    """A miner on a chain. `chance` is how likely an honest one is to have solved as few; `suspicious` when that is too
    little even for the luckless of so many."""

    chain: str
    miner: str
    part: float
    solved: int
    expected: float
    chance: float
    suspicious: bool


def at_most(solved: int, blocks: int, part: float) -> float:
    """P(X <= solved) of a binomial of `blocks` trials at `part`; exact but for rounding."""
    if solved >= blocks or part <= 0:
        return 1.0
    if part >= 1:
        return 0.0
    chosen = lgamma(blocks + 1)
    return min(1.0, sum(
        exp(chosen - lgamma(k + 1) - lgamma(blocks - k + 1) + k * log(part) + (blocks - k) * log1p(-part))
        for k in range(solved + 1)
    ))  # fmt: skip


def judge(chains: Mapping[str, Work]) -> list[Suspicion]:
    """Every miner of every chain, the least likely first."""
    rows = sum(len(chain.work) for chain in chains.values())
    found: list[Suspicion] = []
    for name, chain in chains.items():
        total, blocks = sum(chain.work.values()), sum(chain.solved.values())
        for miner, work in chain.work.items():
            part = work / total if total else 0.0
            solved = chain.solved.get(miner, 0)
            chance = at_most(solved, blocks, part)
            found.append(Suspicion(name, miner, part, solved, part * blocks, chance, chance * rows < SUSPICIOUS))
    return sorted(found, key=lambda row: (row.chance, row.chain, row.miner))
