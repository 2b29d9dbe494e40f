"""Reward schemes as a share records them: one word per chain that it counts for.

    regbtc                          PPLNS: a found block is divided among the shares of a window
    regbtc:solo                     SOLO: a found block belongs to whoever solved it
    regbtc:pps:REWARD:WORK:FEE      PPS: the share itself is bought by the operator, at this rate
    regbtc:fpps:REWARD:WORK:FEE     FPPS: the same, and REWARD has the mean transaction fees in it

A rate is what the job promised: REWARD smallest units for WORK expected hashes, less FEE parts per million. The word is
all that is needed to pay the share, so nothing that changes later (a fee, a target) changes what it earned. A chain's
name has no colon in it. A share with another word than the chain's bare name is in no PPLNS window. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Literal, NamedTuple, get_args

Scheme = Literal["pplns", "solo", "pps", "fpps"]

SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
PER_SHARE: tuple[Scheme, ...] = ("pps", "fpps")
"""The schemes under which the operator buys each share and keeps the blocks."""

PPM = 1_000_000


class Rate(NamedTuple):
    """What a hash earns: `reward` smallest units for `work` expected hashes, less `fee_ppm` millionths."""

    reward: int
    work: int
    fee_ppm: int

    def value(self, weight: int) -> Fraction:
        """What `weight` expected hashes earn, exactly; a share can be worth a small part of a unit."""
        return Fraction(weight * self.reward * (PPM - self.fee_ppm), self.work * PPM)


class Counted(NamedTuple):
    """A chain that a share counts for, and how; `rate` for PPS and FPPS only."""

    chain: str
    scheme: Scheme
    rate: Rate | None = None


def word_of(counted: Counted) -> str:
    """The word that a share's record has for this."""
    if counted.scheme == "pplns":
        return counted.chain
    if counted.rate is None:
        return f"{counted.chain}:{counted.scheme}"
    rate = counted.rate
    return f"{counted.chain}:{counted.scheme}:{rate.reward}:{rate.work}:{rate.fee_ppm}"


def read_word(word: str) -> Counted:
    """What a record's word says. Raises ValueError for a word that none of ours is."""
    chain, *rest = word.split(":")
    match rest:
        case []:
            return Counted(chain, "pplns")
        case ["solo"]:
            return Counted(chain, "solo")
        case [("pps" | "fpps") as scheme, reward, work, fee_ppm] if all(map(_is_number, (reward, work, fee_ppm))):
            rate = Rate(int(reward), int(work), int(fee_ppm))
            if rate.work > 0 and rate.fee_ppm <= PPM:
                return Counted(chain, "pps" if scheme == "pps" else "fpps", rate)
    raise ValueError(f"{word[:80]!r} is no word of a share for a chain")


def counted_for(words: Iterable[str], chain: str) -> Counted | None:
    """How a share counts for one chain; None when it does not."""
    for word in words:
        if word.partition(":")[0] == chain:
            return read_word(word)
    return None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
