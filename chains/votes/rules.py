"""What a chain of votes is told by its kind: names, sizes, times. No rule reads anything else."""

from __future__ import annotations

from dataclasses import dataclass

from chains.votes.header import BlockHeader

MAX_VOTES = 1024
"""Votes of one block, at most: their ids are 32 KiB of every block message."""


@dataclass(frozen=True, slots=True)
class VoteRules:
    """One chain's constants. `magic` begins every datum, `signing_tag` is the BIP340 tag of block signatures, `k` the
    votes of a block, `interval_s` the seconds that a block should take, `first_target` the vote target of genesis and
    of the first block, `half_life_s` how slowly the target follows the clock, `easiest_target` its upper end."""

    magic: bytes
    context: bytes
    signing_tag: str
    k: int
    interval_s: int
    genesis: BlockHeader
    first_target: int
    half_life_s: int
    easiest_target: int = 2**256 - 1

    def __post_init__(self) -> None:
        if len(self.magic) != 4 or len(self.context) != 32:
            raise ValueError("a datum's magic has 4 bytes, a context 32")
        if not 1 <= self.k <= MAX_VOTES:
            raise ValueError(f"a block has 1 to {MAX_VOTES} votes")
        if self.interval_s < 1 or self.half_life_s < 1:
            raise ValueError("interval and half-life are at least one second")
        if not 0 < self.first_target <= self.easiest_target < 2**256:
            raise ValueError("targets go from 1 over the first to the easiest below 2^256")
