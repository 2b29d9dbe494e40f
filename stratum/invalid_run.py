"""ckpool's ladder for a connection that sends nothing but invalid shares: fresh work, reconnect, good-bye.

Only another invalid share climbs it, so a slow miner with one stale share is left alone however long it stays silent.
"""

from __future__ import annotations

from typing import Literal

from stratum.limits import Limits

Step = Literal["fresh_job", "reconnect", "drop"]


class InvalidRun:
    """The invalid shares since the last valid one."""

    __slots__ = ("_limits", "_since", "_step", "_weight")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._since: float | None = None
        self._weight = 0.0
        self._step = 0

    def valid(self) -> None:
        self._since = None
        self._weight = 0.0
        self._step = 0

    def invalid(self, penalty: float, now: float) -> Step | None:
        """Count one; the step to take now, each step once."""
        if self._since is None:
            self._since = now
        self._weight += penalty
        limits = self._limits
        if self._weight < limits.invalid_run_shares:
            return None
        lasted_s = now - self._since
        if lasted_s >= limits.invalid_drop_s:
            return "drop"
        if lasted_s >= limits.invalid_reconnect_s and self._step < 2:
            self._step = 2
            return "reconnect"
        if lasted_s >= limits.invalid_fresh_job_s and self._step < 1:
            self._step = 1
            return "fresh_job"
        return None
