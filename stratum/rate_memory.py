"""How fast miners were who may come back: what vardiff knew of a connection, by its extranonce1, for a while.

A miner that shows the session id of a connection before begins where that one was, and is not searched for again. It is
a rate and nothing else: no account, no share, no extranonce1 comes back by it.

Nothing is kept per entry but a number. There are two generations: what is noted goes into the young one; when that has
lasted KEEP_S or is full, it becomes the old one, and the old one is forgotten. So an entry lives for one to two times
KEEP_S after it was noted last, and whoever floods this makes others be searched for anew, which costs them minutes of
unusual share intervals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

KEEP_S = 600.0
"""Miners are back within a minute of a restart, and within a few minutes of an outage of their own line."""

GENERATION_SIZE = 1 << 17
"""131,072 connections, some 130 bytes each."""


@dataclass(frozen=True, slots=True)
class Pace:
    """`rate` is work per second in units of difficulty 1; `settled` tells that the search for it was over."""

    rate: float
    settled: bool


class RateMemory:
    """Times are monotonic seconds."""

    def __init__(self, keep_s: float = KEEP_S, generation_size: int = GENERATION_SIZE) -> None:
        self._keep_s = keep_s
        self._generation_size = generation_size
        self._young: dict[bytes, float] = {}  # negative: not settled
        self._old: dict[bytes, float] = {}
        self._turns_at: float | None = None
        self.on_left: Callable[[bytes, Pace], None] | None = None
        """Hears what is new of those who leave."""

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def note(self, extranonce1: bytes, pace: Pace, now: float) -> bool:
        """Keep it; True when it is another one than is known, or the known one will be forgotten next."""
        self._age(now)
        value = pace.rate if pace.settled else -pace.rate
        if self._young.get(extranonce1) == value:
            return False
        if len(self._young) >= self._generation_size and extranonce1 not in self._young:
            self._turn(now)
        self._young[extranonce1] = value
        return True

    def left(self, extranonce1: bytes, pace: Pace, now: float) -> None:
        """A connection has ended."""
        if self.note(extranonce1, pace, now) and self.on_left is not None:
            self.on_left(extranonce1, pace)

    def recall(self, extranonce1: bytes, now: float) -> Pace | None:
        self._age(now)
        value = self._young.get(extranonce1)
        if value is None:
            value = self._old.get(extranonce1)
        return None if value is None else Pace(abs(value), value > 0.0)

    def all(self, now: float) -> dict[bytes, Pace]:
        """Everything that is known."""
        self._age(now)
        return {key: Pace(abs(value), value > 0.0) for key, value in (self._old | self._young).items()}

    def _age(self, now: float) -> None:
        if self._turns_at is None:
            self._turns_at = now + self._keep_s
        elif now >= self._turns_at + self._keep_s:  # nobody has looked for two generations
            self._turn(now)
            self._turn(now)
        elif now >= self._turns_at:
            self._turn(self._turns_at)

    def _turn(self, began: float) -> None:
        self._young, self._old = {}, self._young
        self._turns_at = began + self._keep_s
