"""One run: the same shares and the same solves under a scheme, by the very functions that the pool credits by. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

from pool.accounting.pps import owed, worth
from pool.accounting.split import split_reward
from pool.accounting.window import WindowShare, pplns_window
from pool.shares.scheme import Rate, Scheme
from pool.simulation.world import SimulatedChain, SimulatedShare

SLICES = 200
"""Points of an income curve; PPS is credited at each of them."""


class Income(NamedTuple):
    """What a miner got, and when: after the share of this number."""

    share: int
    miner: str
    amount: int


def replay(
    shares: Sequence[SimulatedShare], solves: Sequence[int], chain: SimulatedChain, scheme: Scheme
) -> list[Income]:
    """All income of a run, in order. `solves` are the places of the shares that solve a block, rising."""
    if scheme in ("pps", "fpps"):
        return list(_bought(shares, chain, scheme))
    names = sorted({share.miner for share in shares})
    numbers = {name: number for number, name in enumerate(names)}
    window = [
        WindowShare(place, share.time_ms, numbers[share.miner], share.weight, 0, False, 0)
        for place, share in enumerate(shares)
    ]
    found = []
    for place in solves:
        if scheme == "solo":
            weights = {window[place].route: window[place].weight}
        else:
            weights = dict(_window_weights(window, place, chain))
        split = split_reward(chain.reward, chain.fee_ppm, weights, scheme)
        found += [Income(place, names[number], amount) for number, amount in sorted(split.amounts.items())]
    return found


def _window_weights(shares: Sequence[WindowShare], solved: int, chain: SimulatedChain) -> dict[int, int]:
    window = pplns_window(
        (shares[place] for place in range(solved, -1, -1)),
        counting_sets=frozenset({0}),
        solvers=frozenset(),
        work=chain.work,
        factor=chain.factor,
        end_ms=shares[solved].time_ms,
        window_min_s=Fraction(chain.window_min_ms, 1000),
    )
    return dict(window.weights)


def _bought(shares: Sequence[SimulatedShare], chain: SimulatedChain, scheme: Scheme) -> Iterator[Income]:
    reward = chain.reward if scheme == "fpps" else chain.reward - chain.fees
    rate = Rate(reward, chain.work, chain.fee_ppm)
    weights: dict[str, int] = {}
    credited: dict[str, int] = {}
    every = max(1, len(shares) // SLICES)
    for place, share in enumerate(shares):
        weights[share.miner] = weights.get(share.miner, 0) + share.weight
        if (place + 1) % every and place + 1 < len(shares):
            continue
        for miner, weight in sorted(weights.items()):
            amount = owed(worth([(rate, weight)]), credited.get(miner, 0))
            if amount:
                credited[miner] = credited.get(miner, 0) + amount
                yield Income(place, miner, amount)
