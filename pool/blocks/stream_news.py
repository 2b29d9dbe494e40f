"""What a front end hears from the accountant."""

from __future__ import annotations

from dataclasses import dataclass

from pool.shares.record import Position


@dataclass(frozen=True, slots=True)
class FeedAgain:
    """The accountant misses shares: feed again from `position`. Each `ticket` is obeyed once."""

    ticket: str
    position: Position


@dataclass(frozen=True, slots=True)
class FrontEndNews:
    """`consumed` is how far the log is stored in SQL, None when nobody has said it; `attended` tells whether an
    accountant is at work.
    """

    consumed: Position | None
    again: FeedAgain | None
    attended: bool
