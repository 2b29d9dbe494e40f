"""The terms of a connection: what a share must be worth now, and what it had to be worth when its job was sent.

difficulty = max(floor, min(vardiff, ceiling, cap))

floor    the port's minimum, or what the miner asked for within the port's bounds
cap      the easiest chain target of the job that does not flood us, so that no solve of that chain goes unseen

A share is judged and credited at the lower of its job's difficulty and the present one. Nobody can gain by that: a
miner that held back its better shares until a rise would have the same header credited higher, and is not.
"""

from __future__ import annotations

from stratum.offer import PortPolicy
from stratum.rate_memory import Pace
from stratum.vardiff import Vardiff, nice, nice_down, nice_up

CHANGE_POINTS = 16  # older ones fold into the lowest: a job sixteen changes ago is hardly ever still alive


class Terms:
    """`sent` is the difficulty the miner was last told, None before the first."""

    __slots__ = (
        "_asked", "_asked_minimum", "_goes_on", "_last", "_last_sequence", "_newest", "_points", "_policy", "_typed",
        "sent", "vardiff",
    )  # fmt: skip

    def __init__(self, policy: PortPolicy, now: float) -> None:
        self._policy = policy
        self._asked: float | None = None
        self._asked_minimum = 0.0
        self._typed = False
        self._goes_on = False
        self.vardiff = Vardiff(
            policy.start_difficulty,
            policy.minimum_difficulty,
            policy.maximum_difficulty,
            policy.share_interval_s,
            now,
        )
        self.sent: float | None = None
        self._points: list[tuple[int, float]] = []  # (first job sequence, its difficulty), ascending
        self._last_sequence, self._last = 0, 0.0  # the newest change point
        self._newest = 0  # the newest job sent

    @property
    def floor(self) -> float:
        asked = self._policy.minimum_difficulty if self._asked is None else self._asked
        return max(asked, self._asked_minimum)

    def ask(self, difficulty: float, now: float, typed: bool = False) -> bool:
        """The miner asks for a difficulty: its floor and where vardiff begins. False when it changes nothing.

        What a person typed (`d=` in the password) holds against what firmware suggests by itself.
        """
        if self._typed and not typed:
            return False
        self._typed = typed
        wanted = self._policy.clamp(nice(difficulty))
        if wanted == self._asked:
            return False
        self._asked = wanted
        self._begin(wanted, now)
        return True

    def ask_minimum(self, difficulty: float, now: float) -> bool:
        """BIP310 minimum-difficulty: never less than this, as far as the port allows."""
        wanted = self._policy.clamp(nice_up(difficulty))
        if wanted == self._asked_minimum:
            return False
        self._asked_minimum = wanted
        if self.vardiff.difficulty < wanted:
            self._begin(wanted, now)
        return True

    def _begin(self, difficulty: float, now: float) -> None:
        """What firmware asks for at each connection is a floor to one that goes on, and the end of nothing."""
        if self.sent is not None or not self._goes_on:
            self.vardiff.set(difficulty, now)

    def go_on(self, pace: Pace, now: float) -> None:
        """The miner was here before its first job on this connection, and this fast."""
        self._goes_on = True
        self.vardiff.go_on(pace.rate, pace.settled, now)

    @property
    def pace(self) -> Pace | None:
        """How fast the miner is, None while nothing is known or nobody asks."""
        vardiff = self.vardiff
        if not self._policy.vardiff or (vardiff.searching and not vardiff.retargets):
            return None
        return Pace(vardiff.rate, not vardiff.searching)

    def adopt(self, policy: PortPolicy) -> None:
        """The port has other terms now. What the miner asked for is kept, as far as they allow it."""
        self._policy = policy
        if self._asked is not None:
            self._asked = policy.clamp(self._asked)
        if self._asked_minimum:
            self._asked_minimum = policy.clamp(self._asked_minimum)
        self.vardiff.bound(policy.minimum_difficulty, policy.maximum_difficulty, policy.share_interval_s)

    def target(self, caps: tuple[float, ...]) -> float:
        """The difficulty for a job whose chains have the difficulties `caps`."""
        policy = self._policy
        if policy.vardiff:
            wanted = self.vardiff.wanted
        else:
            wanted = policy.clamp(policy.start_difficulty) if self._asked is None else self._asked
        wanted = min(wanted, policy.maximum_difficulty)
        # Shares per minute at difficulty c are rate·60/c; a chain easier than this would flood us and does not cap.
        bound = self.vardiff.rate * 60.0 / policy.cap_max_shares_per_min
        for chain_difficulty in caps:
            if chain_difficulty >= wanted:
                break
            cap = nice_down(chain_difficulty)
            if cap >= bound:
                wanted = min(wanted, cap)
                break
        return max(self.floor, wanted)

    def bind(self, sequence: int, difficulty: float) -> None:
        """A job is sent (again) under `difficulty`; of two for one job the lower holds."""
        self.sent = difficulty
        points = self._points
        if points and sequence <= self._newest:
            difficulty = min(difficulty, self.for_job(sequence))
        self._newest = sequence
        if points and difficulty == self._last:
            return
        if points and points[-1][0] == sequence:
            points[-1] = (sequence, difficulty)
        else:
            points.append((sequence, difficulty))
        self._last_sequence, self._last = sequence, difficulty
        if len(points) > CHANGE_POINTS:
            oldest = points.pop(0)
            points[0] = (oldest[0], min(oldest[1], points[0][1]))

    @property
    def is_even(self) -> bool:
        """Whether a newer job under the difficulty that the miner was told changes nothing here but `reach`."""
        return self.sent is not None and self.sent == self._last

    def reach(self, sequence: int) -> None:
        """Jobs up to this one were sent under the difficulty that the miner was told."""
        self._newest = max(self._newest, sequence)

    def for_job(self, sequence: int) -> float:
        """What a share of this job must be worth and is credited with."""
        sent = self.sent
        if sent is None:
            return self.target(())
        if sequence >= self._last_sequence:
            own = self._last
        else:
            own = self._points[0][1]
            for first, difficulty in reversed(self._points):
                if first <= sequence:
                    own = difficulty
                    break
        return own if own < sent else sent
