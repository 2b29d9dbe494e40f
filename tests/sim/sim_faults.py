"""What goes wrong, and when: crashes and errors at named points, decided by the seed or by a number.

A point lies before and after everything that cannot be undone: a commit, an fsync, a rename, a call to a node. "After"
with an error is the lost reply: it happened, and who asked does not know.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random


class Crash(BaseException):
    """The process is gone. Nothing may catch this and go on: once it was raised, every later point raises it too."""


class InjectedError(Exception):
    """An error that the simulator made; whoever reports it did nothing wrong. The text says so as well."""


@dataclass(slots=True)
class Faults:
    """`crash_rate` and `error_rate` are per point; `crash_at` is the number of the one point to crash at instead.

    Points count only while `armed`. `seen` counts them by name, `trace` lists them when it is kept.
    """

    random: Random
    crash_rate: float = 0.0
    error_rate: float = 0.0
    crash_at: int | None = None
    error_at: int | None = None
    crashes_left: int = 5
    armed: bool = False
    dead: bool = False
    count: int = 0
    crashes: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    trace: list[str] | None = None
    last_crash: str = ""

    def point(self, name: str, error: Callable[[str], Exception] = InjectedError) -> None:
        """Raises Crash, or the error, or nothing."""
        if self.dead:
            raise Crash(name)
        if not self.armed:
            return
        self.count += 1
        self.seen[name] += 1
        if self.trace is not None:
            self.trace.append(name)
        if self.count == self.crash_at or (
            self.crash_rate and self.crashes_left and self.random.random() < self.crash_rate
        ):
            self.die(name)
        if self.count == self.error_at or (self.error_rate and self.random.random() < self.error_rate):
            raise error(f"injected at {name}")

    def die(self, name: str) -> None:
        """The process ends here."""
        self.dead = True
        self.crashes += 1
        self.crashes_left -= 1
        self.last_crash = name
        raise Crash(name)
