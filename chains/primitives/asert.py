"""ASERT: a target that is a function of the schedule alone, doubling for every half-life that a chain is behind it.

The arithmetic is that of aserti3-2d (Bitcoin Cash, 2020), whose cubic stands in for 2^x. Nothing a miner does to single
times or blocks accumulates: only how far the chain is from its schedule counts, and that heals itself.
"""

from __future__ import annotations

RADIX_BITS = 16


def asert_target(first_target: int, behind_s: int, half_life_s: int, easiest_target: int) -> int:
    """`first_target` times 2^(behind_s / half_life_s), within 1 and the easiest target. `behind_s` is the time since
    the anchor less the time that so many blocks should have taken; negative when the chain is ahead."""
    exponent = (behind_s << RADIX_BITS) // half_life_s
    shifts = exponent >> RADIX_BITS
    if shifts > 256:
        return easiest_target
    if shifts < -256:
        return 1
    part = exponent & ((1 << RADIX_BITS) - 1)
    # 2^x for 0 <= x < 1 in 16 bits of fraction, at most 0.013 % wrong.
    cubic = 195_766_423_245_049 * part + 971_821_376 * part**2 + 5_127 * part**3 + (1 << 47)
    product = first_target * ((cubic >> 48) + (1 << RADIX_BITS))
    shifts -= RADIX_BITS
    return max(1, min(product << shifts if shifts >= 0 else product >> -shifts, easiest_target))
