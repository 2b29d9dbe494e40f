"""The transaction fees that FPPS pays for, beside the subsidy.

A chain's template offers fees: its value less the subsidy of its height. While the height stays they grow; what the
last template of a height offered is that height's *sample*, taken when a template of another height comes. The mean is
⌊sum of the last 144 samples / their number⌋. Until there is a sample, what the first template offers stands in for it.

What is promised changes at most every ten minutes, however often templates do: each promise is in the records of the
shares made under it. Pure: time is handed in.
"""

from __future__ import annotations

from collections import deque

SAMPLES = 144
"""A day of Bitcoin blocks: long enough that one big fee moves little, short enough to follow a rush."""

CHANGE_S = 600.0


class MeanFees:
    """One chain's. Amounts in smallest units, times in monotonic seconds."""

    def __init__(self) -> None:
        self._samples: deque[int] = deque(maxlen=SAMPLES)
        self._height: int | None = None
        self._offered = 0
        self._promised = 0
        self._promised_at: float | None = None

    def offered(self, height: int, fees: int) -> None:
        """A template of this height offers so much in fees; a value below the subsidy offers none."""
        if self._height is not None and height != self._height:
            self._samples.append(self._offered)
        self._height, self._offered = height, max(0, fees)

    def mean(self) -> int:
        """The mean as of now, whatever has been promised."""
        if not self._samples:
            return self._offered
        return sum(self._samples) // len(self._samples)

    def promised(self, now: float) -> int:
        """What shares are paid for now: the mean as of at most ten minutes ago."""
        if self._promised_at is None or now >= self._promised_at + CHANGE_S:
            if self._height is None:
                return 0
            self._promised, self._promised_at = self.mean(), now
        return self._promised
