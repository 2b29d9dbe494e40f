"""How fast a connection talks, counted per read and looked at once a second, so that a share costs nothing more.

Two speeds matter. Well above the rate that its port aims at, a rise of the difficulty waits no longer for the next job.
At a flood the connection ends: no difficulty slowed it down, so it is broken or hostile. Both must last, because a
fast miner's first shares, and what it saved up while it was cut off, come at once.
"""

from __future__ import annotations

import math
from typing import Literal

from stratum.limits import Limits
from stratum.offer import PortPolicy

SECOND_S = 1.0
LONGEST_S = 2.0  # of a burst and the silence behind it no more than this counts as one of them

Step = Literal["retarget", "flood"]


class MessageRate:
    """The owner adds to `count` and asks look() from `due` on."""

    __slots__ = ("_fast_per_s", "_fast_s", "_flood_per_s", "_flood_s", "_limits", "_since", "count", "due")

    def __init__(self, limits: Limits, policy: PortPolicy, exempt: bool, now: float) -> None:
        """`exempt`: an address without limits, where only the first speed matters."""
        self._limits = limits
        self._fast_per_s = limits.fast_ratio / policy.share_interval_s
        # What a port asks for by its own settings is no flood.
        asked_per_s = max(1.0 / policy.share_interval_s, policy.cap_max_shares_per_min / 60.0)
        self._flood_per_s = math.inf if exempt else max(limits.flood_per_s, limits.fast_ratio * asked_per_s)
        self._fast_s = self._flood_s = 0.0  # how long it has lasted; slower seconds take away again
        self._since = now
        self.count = 0
        self.due = now + SECOND_S

    def look(self, now: float) -> Step | None:
        """A second is over: what is to be done about it, if anything."""
        elapsed = max(now - self._since, SECOND_S)
        per_s = self.count / elapsed
        lasted = min(elapsed, LONGEST_S)
        self._since, self.count, self.due = now, 0, now + SECOND_S
        self._flood_s = max(0.0, self._flood_s + (lasted if per_s > self._flood_per_s else -elapsed))
        if self._flood_s >= self._limits.flood_s:
            return "flood"
        self._fast_s = max(0.0, self._fast_s + (lasted if per_s > self._fast_per_s else -elapsed))
        if self._fast_s >= self._limits.fast_s:
            self._fast_s = 0.0
            return "retarget"
        return None
