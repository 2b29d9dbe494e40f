"""What makes one B_k chain that chain: a name and the numbers that all its nodes must agree on."""

from __future__ import annotations

from dataclasses import dataclass

from chains.mm2_proof.tree import context_of
from chains.primitives.hashes import sha256d
from chains.primitives.target import DIFFICULTY_1
from chains.votes.header import BlockHeader, genesis_header
from chains.votes.rules import VoteRules

MAGIC = b"BKV1"
SIGNING_TAG = "bk/block"
HALF_LIFE_BLOCKS = 30
"""How many intervals the target needs to double. A block of k votes measures the hash rate to 1/sqrt(k), so 30 of them
know it well, and half a day of ten-minute blocks follows a doubling."""


@dataclass(frozen=True, slots=True)
class BkParameters:
    """`name` is the MM2 context's text; `subsidy` is what the votes of a block earn together, in smallest units;
    `maturity_blocks` how many blocks later; `first_difficulty` that of a vote until the clock has spoken, Bitcoin's
    difficulty in units of 2^-32, so that 1 is one expected hash and 2^32 difficulty 1."""

    name: str
    k: int = 8
    interval_s: int = 60
    subsidy: int = 50_00000000
    maturity_blocks: int = 20
    first_difficulty: int = 1 << 20
    body_bytes: int = 1_000_000

    def __post_init__(self) -> None:
        if not self.name or self.subsidy < 0 or self.maturity_blocks < 1 or self.first_difficulty < 1:
            raise ValueError("a B_k chain has a name, a subsidy, a maturity and a first difficulty")

    @property
    def context(self) -> bytes:
        return context_of(self.name)

    def genesis(self) -> BlockHeader:
        """Every number is in it: nodes that disagree about one of them have another genesis and refuse each other."""
        numbers = f"k={self.k} interval_s={self.interval_s} subsidy={self.subsidy} maturity={self.maturity_blocks}"
        text = f"{self.name} {numbers} difficulty={self.first_difficulty} body_bytes={self.body_bytes}"
        return genesis_header(sha256d(text.encode()))

    def rules(self) -> VoteRules:
        return VoteRules(
            magic=MAGIC,
            context=self.context,
            signing_tag=SIGNING_TAG,
            k=self.k,
            interval_s=self.interval_s,
            genesis=self.genesis(),
            first_target=min((DIFFICULTY_1["sha256d"] << 32) // self.first_difficulty, EASIEST_TARGET),
            half_life_s=HALF_LIFE_BLOCKS * self.interval_s,
            easiest_target=EASIEST_TARGET,
        )


EASIEST_TARGET = 2**256 - 1
