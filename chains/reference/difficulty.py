"""The target of the next block, from the headers before it alone.

An exponential moving average with a memory of ten blocks: a block that took as long as it should leaves the target as
it is, each further interval eases it by a tenth. A solve time is clamped to 0..20 intervals, so a chain left alone for
a night is only 2.9 times easier when its miners return, and one that a hundredfold faster miner left behind recovers
within a few blocks. Blocks that the node made without work (their nonce says so) leave the target alone, or a test that
advances a chain by a hundred blocks would end all mining on it. No real chain does exactly this; it exists so that a
demonstration finds blocks at a known pace.
"""

from __future__ import annotations

from chains.primitives.header import Header
from chains.primitives.target import bits_to_target, target_to_bits
from chains.reference.rules import Rules

MEMORY_BLOCKS = 10
LONGEST_INTERVALS = 20
UNWORKED_NONCE = 0xFFFFFFFF
LEAST_TARGET = 2**176  # 2^80 hashes: beyond any miner, and wide enough for a tenth of it to be a whole number


def next_bits(rules: Rules, previous: Header, time_before_s: int | None) -> int:
    """The bits that a child of the previous block must carry.

    `time_before_s` is the time of the block before the previous one; None when that is the genesis block or does not
    exist, whose times say nothing about mining.
    """
    if rules.block_interval_s is None or time_before_s is None or previous.nonce == UNWORKED_NONCE:
        return previous.bits
    interval = rules.block_interval_s
    solve_time = min(max(previous.time - time_before_s, 0), LONGEST_INTERVALS * interval)
    target = bits_to_target(previous.bits)
    target = target * (interval * (MEMORY_BLOCKS - 1) + solve_time) // (interval * MEMORY_BLOCKS)
    return target_to_bits(max(min(target, rules.max_target), LEAST_TARGET))
