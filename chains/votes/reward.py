"""Who earns what by a block: the same for each vote, and the rest with the fees for the leader.

Per vote and never all for the leader: with the latter, a quarter of the hash rate takes four fifths of the income at 32
votes per block by withholding.
"""

from __future__ import annotations


def vote_rewards(k: int, subsidy: int, fees: int) -> tuple[int, ...]:
    """The income of each of a block's `k` votes in its order, the leader's first, in smallest units; their sum is
    subsidy and fees to the unit."""
    share, rest = divmod(subsidy, k)
    return (share + rest + fees, *(share for _ in range(k - 1)))
