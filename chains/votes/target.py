"""The vote target: ASERT over the times of a block's ancestors, so votes carry no bits and nobody chooses a target.

The arithmetic is that of aserti3-2d (Bitcoin Cash, 2020), whose cubic stands in for 2^x. The anchor is the first block
after genesis, not genesis: a chain that is founded long after its constants were written down would otherwise be years
behind its schedule and make up for them at the easiest target.
"""

from __future__ import annotations

from collections.abc import Sequence

from chains.votes.rules import VoteRules

RADIX_BITS = 16


def vote_target(rules: VoteRules, height: int, time_s: int, anchor_time_s: int) -> int:
    """The target of votes for a block of this height and time; `anchor_time_s` is the time of its ancestor (or itself)
    at height 1. Doubles for every half-life that the chain is behind one block per interval, and the other way round.
    """
    if height < 2:
        return rules.first_target
    behind_s = time_s - anchor_time_s - rules.interval_s * (height - 1)
    exponent = (behind_s << RADIX_BITS) // rules.half_life_s
    shifts = exponent >> RADIX_BITS
    if shifts > 256:
        return rules.easiest_target
    if shifts < -256:
        return 1
    part = exponent & ((1 << RADIX_BITS) - 1)
    # 2^x for 0 <= x < 1 in 16 bits of fraction, at most 0.013 % wrong.
    cubic = 195_766_423_245_049 * part + 971_821_376 * part**2 + 5_127 * part**3 + (1 << 47)
    factor = (cubic >> 48) + (1 << RADIX_BITS)
    shifts -= RADIX_BITS
    product = rules.first_target * factor
    target = product << shifts if shifts >= 0 else product >> -shifts
    return max(1, min(target, rules.easiest_target))


def block_time(times_s: Sequence[int], previous_s: int) -> int:
    """The time of a block: the lower median of its votes' parent header times, so that no leader can pick it, and never
    before its predecessor's: half the votes of one block, dated 1970, would else make the target 1, and end the chain.
    """
    return max(sorted(times_s)[(len(times_s) - 1) // 2], previous_s)
