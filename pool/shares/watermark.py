"""How far a share log is drained: what is known to be in the books, and nothing before it can still come."""

from __future__ import annotations

from typing import NamedTuple


class Watermark(NamedTuple):
    """Every share of the log up to `sequence`, and every share it received before `time_ms` (wall clock), is stored, or
    was never acknowledged and never will be.
    """

    sequence: int
    time_ms: int


UNDRAINED = Watermark(0, 0)
