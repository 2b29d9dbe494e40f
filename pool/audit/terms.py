"""The terms that credits are checked under: fee and window per chain, now and in the past.

The books do not keep the terms a block was credited under, only the fee that came of them. So the configured ones are
taken, and those that were in force before are told to the audit by whoever changed them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

PPM = 1_000_000


@dataclass(frozen=True, slots=True)
class CreditTerms:
    """Fee in millionths; the PPLNS window spans `factor` times the block's work and at least `window_min_s`."""

    fee_ppm: int
    factor: Fraction | int
    window_min_s: float

    def __str__(self) -> str:
        return f"fee_ppm={self.fee_ppm} factor={float(self.factor):g} window_min_s={self.window_min_s:g}"


@dataclass(frozen=True, slots=True)
class PastTerms:
    """The terms of a chain's blocks up to and including `last_height`."""

    chain: str
    last_height: int
    terms: CreditTerms


class TermsBook:
    """The terms of any block: the past ones with the lowest last height that covers it, else the present ones."""

    def __init__(self, present: Mapping[str, CreditTerms], past: Sequence[PastTerms] = ()) -> None:
        self.present = dict(present)
        self._past = sorted(past, key=lambda item: item.last_height)

    def of(self, chain: str, height: int) -> CreditTerms | None:
        """None for a chain that is not configured (any more)."""
        for item in self._past:
            if item.chain == chain and height <= item.last_height:
                return item.terms
        return self.present.get(chain)


def parse_past_terms(text: str) -> PastTerms:
    """`CHAIN:LAST_HEIGHT:FEE_PPM:FACTOR:WINDOW_MIN_S`, such as `namecoin:812000:10000:2:3600`. Raises ValueError."""
    expected = "expected CHAIN:LAST_HEIGHT:FEE_PPM:FACTOR:WINDOW_MIN_S, such as namecoin:812000:10000:2:3600"
    parts = text.split(":")
    if len(parts) != 5:
        raise ValueError(expected)
    try:
        terms = CreditTerms(int(parts[2]), Fraction(parts[3]), int(parts[4]))
        past = PastTerms(parts[0], int(parts[1]), terms)
    except (ValueError, ZeroDivisionError):
        raise ValueError(expected) from None
    if not (0 <= terms.fee_ppm <= PPM and terms.factor > 0 and terms.window_min_s >= 0 and past.last_height >= 0):
        raise ValueError(expected)
    return past
