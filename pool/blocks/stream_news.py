"""What a front end hears from the accountant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pool.shares.record import Position


@dataclass(frozen=True, slots=True)
class FeedAgain:
    """The accountant misses shares: feed again from `position`. Each `ticket` is obeyed once."""

    ticket: str
    position: Position


@dataclass(frozen=True, slots=True)
class FrontEndNews:
    """`consumed` is how far the log is stored in SQL, None when nobody has said it; `attended` tells whether an
    accountant is at work. `reserves` is what the operator has for buying shares, by chain.
    """

    consumed: Position | None
    again: FeedAgain | None
    attended: bool
    reserves: Mapping[str, int] = field(default_factory=dict)
