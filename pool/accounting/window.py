"""The PPLNS window of a found block: which shares earn from it, and how much of each counts.

Newest first, the window begins with the solving share and reaches back over `factor` times the work of the block's
target on its chain, and over at least the window's minimum time, whichever is longer. Where the work decides, the
oldest share is cut so that the total is exactly the bound; where the time decides, the shares received in it count
whole. Pure; weights are expected hashes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple


class WindowShare(NamedTuple):
    """A share as the window sees it. `chain_set` numbers the set of chains it counts for, `log_id` the share log that
    its sequence is one of.
    """

    sequence: int
    time_ms: int
    route: int
    weight: int
    chain_set: int
    stale: bool
    log_id: int


@dataclass(frozen=True, slots=True)
class Window:
    """Weights by route, their total, and the oldest and newest share in the window (None when it is empty)."""

    weights: Mapping[int, int]
    total: int
    oldest: WindowShare | None
    newest: WindowShare | None

    @property
    def oldest_sequence(self) -> int | None:
        return None if self.oldest is None else self.oldest.sequence

    @property
    def newest_sequence(self) -> int | None:
        return None if self.newest is None else self.newest.sequence


def target_work(target: int) -> int:
    """The expected number of hashes to reach `target`: 2**256 // (T + 1)."""
    return 2**256 // (target + 1)


def window_bound(work: int, factor: Fraction | int) -> int:
    """What a window weighs where the work decides, in whole expected hashes."""
    return work * factor.numerator // factor.denominator


def window_oldest_ms(end_ms: int, window_min_s: Fraction | float) -> int:
    """Shares received from then on are within the window's time."""
    return end_ms - int(window_min_s * 1000)


def pplns_window(
    shares: Iterable[WindowShare],
    *,
    counting_sets: frozenset[int],
    solvers: frozenset[tuple[int, int]],
    work: int,
    factor: Fraction | int,
    end_ms: int,
    window_min_s: Fraction | float,
    counted_before: int = 0,
) -> Window:
    """The window over `shares`, which come newest first and start with the solving share.

    `counting_sets` are the chain sets that hold the block's chain; `solvers` the (log, sequence) of the shares that
    solved this very block. A solver counts always, another share only if its job carried the chain and it was not
    stale. `end_ms` is the time of the solve. Stops reading as soon as a share lies beyond both bounds.

    `counted_before` is the weight of shares that surely count whole and are not among `shares` (see window_runs.py);
    the result does not hold them.
    """
    bound = window_bound(work, factor) - counted_before
    oldest_ms = window_oldest_ms(end_ms, window_min_s)
    weights: dict[int, int] = {}
    total = 0
    oldest: WindowShare | None = None
    newest: WindowShare | None = None
    for share in shares:
        sequence, time_ms, route, weight, chain_set, stale, log_id = share
        in_time = time_ms >= oldest_ms
        if total >= bound and not in_time:
            break
        if (stale or chain_set not in counting_sets) and (log_id, sequence) not in solvers:
            continue
        counted = weight if in_time else min(weight, bound - total)
        weights[route] = weights.get(route, 0) + counted
        total += counted
        oldest = share
        if newest is None:
            newest = share
    return Window(weights, total, oldest, newest)
