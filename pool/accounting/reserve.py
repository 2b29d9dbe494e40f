"""Whether the operator's money lasts for PPS: below a minimum, new jobs of the chain count for PPLNS.

The reserve is what the operator has available less what shares have earned and were not credited yet. It returns to PPS
only at a higher mark, so that a pool at the edge does not change its scheme with every share. Pure.
"""

from __future__ import annotations

from typing import Literal

Change = Literal["low", "restored"]


class ReserveGuard:
    """One chain's. Amounts in smallest units; `resume` is not below `minimum`. Suspended until a reserve is known."""

    def __init__(self, minimum: int, resume: int) -> None:
        if not 0 < minimum <= resume:
            raise ValueError(f"expected 0 < minimum <= resume, these are {minimum} and {resume}")
        self.minimum = minimum
        self.resume = resume
        self.reserve: int | None = None
        self.suspended = True

    def update(self, reserve: int) -> Change | None:
        """Takes the reserve as it is now. Tells a change of the scheme; the first reserve of all needs only the
        minimum for PPS.
        """
        first = self.reserve is None
        self.reserve = reserve
        before = self.suspended
        if reserve < self.minimum:
            self.suspended = True
        elif first or reserve >= self.resume:
            self.suspended = False
        if self.suspended == before and not (first and self.suspended):
            return None
        return "low" if self.suspended else "restored"
