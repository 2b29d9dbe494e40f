"""The terms that credits are checked under: those that the books keep with each income event.

Events of before the books kept terms have only the fee that came of them. For those the configured terms are taken, and
what was in force before is told to the audit by whoever changed it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from pool.shares.scheme import PER_SHARE, PPM
from pool.storage.income_store import IncomeEvent


@dataclass(frozen=True, slots=True)
class CreditTerms:
    """Fee in millionths; the PPLNS window spans `factor` times the block's work and at least `window_min_s`."""

    fee_ppm: int
    factor: Fraction | int
    window_min_s: Fraction | float

    def __str__(self) -> str:
        return f"fee_ppm={self.fee_ppm} factor={float(self.factor):g} window_min_s={float(self.window_min_s):g}"


def terms_of(event: IncomeEvent, otherwise: CreditTerms | None) -> CreditTerms | None:
    """The terms an event was credited by; `otherwise` where the books do not tell them."""
    kept = event.terms
    if event.scheme in PER_SHARE:
        return CreditTerms(0, 1, 0)  # nothing is divided
    if kept.fee_ppm is None:
        return otherwise
    return CreditTerms(
        kept.fee_ppm, 1 if kept.factor is None else kept.factor, Fraction(kept.window_min_ms or 0, 1000)
    )


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
