"""Tables of B_k that an independent simulator of the field gave (CPR, its OCaml core), as numbers to compare with.

Honest: 10 equal nodes, constant delay of 2 s, 20000 votes, 5 seeds. `blocks` per height are given where its leader rule
was repaired: as published, a leader proposes again with every further vote. Attack: two parties, no delay, 10000
votes, 5 seeds, policy "minor delay", a reward for each vote.
"""

from __future__ import annotations

from dataclasses import dataclass

ORACLE_VOTES = 20_000
ORACLE_ATTACK_VOTES = 10_000
ORACLE_SEEDS = 5


@dataclass(frozen=True, slots=True)
class OracleRow:
    """As printed there; None where nothing was."""

    interval_s: int
    k: int
    orphaned: float
    mean_s: float
    cv: float
    late: float
    leaders: float
    blocks: float | None = None


HONEST = (
    OracleRow(600, 1, 0.0030, 598.5, 1.000, 0.003, 1.003),
    OracleRow(600, 8, 0.0060, 600.3, 0.354, 0.048, 1.04),
    OracleRow(600, 16, 0.0059, 600.3, 0.251, 0.096, 1.09),
    OracleRow(600, 32, 0.0057, 600.2, 0.175, 0.184, 1.16),
    OracleRow(600, 51, 0.0056, 600.1, 0.139, 0.288, 1.25, 1.10),
    OracleRow(600, 64, 0.0062, 600.4, 0.124, 0.396, 1.35),
    OracleRow(60, 8, 0.0523, 63.0, 0.335, 0.44, 1.40),
    OracleRow(60, 51, 0.0567, 63.2, 0.133, 2.9, 3.3, 2.47),
    OracleRow(15, 8, 0.184, 18.3, 0.288, 1.7, 2.5),
    OracleRow(15, 51, 0.215, 19.0, 0.113, 10.3, 7.0),
)

ATTACK_K = (1, 2, 4, 8, 16, 32)
ATTACK: dict[float, tuple[float, ...]] = {
    0.25: (0.245, 0.222, 0.197, 0.196, 0.217, 0.280),
    0.33: (0.372, 0.367, 0.355, 0.369, 0.431, 0.479),
    0.40: (0.495, 0.528, 0.525, 0.567, 0.629, 0.653),
    0.45: (0.585, 0.650, 0.661, 0.716, 0.770, 0.793),
}
"""The attacker's part of the rewards by its part of the votes."""
