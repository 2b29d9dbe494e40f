"""How difficult a connection's shares should be, from the shares themselves.

Pure and monotonic: the time comes in with every call. A share credited with difficulty d stands for d units of work
(2^32 hashes each, for sha256d), so work over time estimates the hashrate whatever mixture of difficulties the
shares had. The number of shares says how far the estimate can be trusted: its relative error is 1/sqrt(n).

A change needs evidence: the estimate must leave a band of BAND·(1 + CONFIDENCE/sqrt(n)) around the present value.
Eight shares are enough to see that a miner is ten times too fast, forty seconds of silence that it is too slow,
while a settled miner needs a hundred shares to move by a half.

A new connection is searched for: until SEARCH_INTERVALS are over every share counts, whatever difficulties there were
meanwhile, and the connection is told SEARCH_AIM of what it should have. So three minutes at the default interval bring
ninety shares instead of forty-five, and the estimate that ends the search is right to ±25 % for 95 of 100 miners; from
forty-five no estimate is, for its error is 1.96/sqrt(45), ±29 %.
"""

from __future__ import annotations

import math
from decimal import Decimal
from functools import lru_cache

FIRST_SHARES = 8  # before that an estimate is noise; at 100 times too fast they come in a third of a second
FIRST_SILENT_INTERVALS = 5.0  # shares expected and not seen while still searching: e^-5 = 0.7 % false alarms
SILENT_INTERVALS = 10.0  # the same once settled: 0.005 %
SEARCH_INTERVALS = 42.0  # 168 s at the default of 4 s; the last word within three minutes
SEARCH_AIM = 0.5
SEARCH_END = 1.1  # what is told already is not told again at the end of the search
LOOK_INTERVALS = 2.0  # from one look at a silent miner to the next, while searching
SEARCH_STEPS = 4  # retargets until silence has to last longer
BAND = 1.25
CONFIDENCE = 2.0
STEP_UP_SEARCHING = 256.0  # a burst after a stall looks like any speed; what is too high is found out by silence
STEP_UP = 8.0
MEMORY_SHARES = 128  # then older evidence counts half, so that a changed miner is noticed


def nice(difficulty: float) -> float:
    """The nearest number that miners and people read alike: a power of two below 1, whole with three digits above."""
    if difficulty < 1.0:
        mantissa, exponent = math.frexp(difficulty)
        return math.ldexp(1.0, exponent if mantissa >= math.sqrt(0.5) else exponent - 1)
    whole = round(difficulty)
    scale = _scale(whole)
    return float((whole + scale // 2) // scale * scale)


@lru_cache(maxsize=4096)  # every connection asks for the same caps of a job
def nice_down(difficulty: float) -> float:
    """The largest nice number not above `difficulty`."""
    if difficulty < 1.0:
        return math.ldexp(1.0, math.frexp(difficulty)[1] - 1)
    whole = int(difficulty)
    return float(whole - whole % _scale(whole))


def nice_up(difficulty: float) -> float:
    """The smallest nice number not below `difficulty`."""
    if difficulty <= 1.0:
        mantissa, exponent = math.frexp(difficulty)
        return math.ldexp(1.0, exponent - 1 if mantissa == 0.5 else exponent)
    whole = math.ceil(difficulty)
    return float(-(-whole // _scale(whole)) * _scale(whole))


def _scale(whole: int) -> int:
    return int(10 ** max(0, len(str(whole)) - 3))


def wire_number(difficulty: float) -> bytes:
    """JSON without an exponent, an integer when whole (one cgminer reads a float as 0)."""
    if difficulty == int(difficulty):
        return b"%d" % int(difficulty)
    return format(Decimal(repr(difficulty)), "f").encode()


class Vardiff:
    """The estimate of one connection. `difficulty` is what its hashrate calls for, `assigned` what it was told.

    The two differ while it is searched for, and when a floor, ceiling or cap binds. Difficulties are floats in units of
    difficulty 1, times are monotonic seconds, `interval_s` is the wanted time between shares.
    """

    __slots__ = (
        "_check_count",
        "_count",
        "_exposure",
        "_maximum",
        "_minimum",
        "_search_until",
        "_seen",
        "_silence_at",
        "_start",
        "_told_at",
        "_work",
        "assigned",
        "difficulty",
        "interval_s",
        "retargets",
        "searching",
    )

    def __init__(self, start: float, minimum: float, maximum: float, interval_s: float, now: float) -> None:
        self.interval_s = interval_s
        self._minimum = minimum
        self._maximum = maximum
        self.retargets = 0
        self.difficulty = self.assigned = min(max(start, minimum), maximum)
        self._search(now)
        self.restart(now)

    @property
    def rate(self) -> float:
        """Estimated work per second, in units of difficulty 1."""
        return self.difficulty / self.interval_s

    @property
    def wanted(self) -> float:
        """What the connection should be told: `difficulty`, and less once a search has found something out."""
        if self.searching and self.retargets:
            return max(nice(self.difficulty * SEARCH_AIM), self._minimum)
        return self.difficulty

    def measured(self, now: float) -> float | None:
        """Work per second by the shares that count, in units of difficulty 1; the estimate it stands on while these are
        too few, None before the first one."""
        if self._count >= FIRST_SHARES and now > self._start:
            return self._work / (now - self._start)
        return self.rate if self.retargets else None

    @property
    def silence_at(self) -> float:
        """When silent() is worth asking again."""
        return self._silence_at

    def _search(self, now: float) -> None:
        """`_seen` shares in `_exposure`, which is time by the difficulty that was told: together the work of all."""
        self.searching = True
        self._search_until = now + SEARCH_INTERVALS * self.interval_s
        self._seen = self._exposure = 0.0
        self._told_at = now

    def restart(self, now: float, settle_s: float = 0.0) -> None:
        """Forget the evidence, but for a search's; shares that arrive within `settle_s` were made on other terms and do
        not count."""
        self._start = self._told_at = now + settle_s
        self._work = 0.0
        self._count = 0
        self._check_count = FIRST_SHARES
        if self.searching:
            self._check_count = 2 if self._seen >= FIRST_SHARES else FIRST_SHARES
        expected = FIRST_SILENT_INTERVALS if self.retargets < SEARCH_STEPS else SILENT_INTERVALS
        self._silence_at = self._start + expected * self._expected_interval_s()

    def assign(self, difficulty: float, now: float, settle_s: float = 0.0) -> None:
        """The connection is told a new difficulty now."""
        self._expose(now)
        self.assigned = difficulty
        self.restart(now, settle_s)

    def set(self, difficulty: float, now: float) -> None:
        """Begin anew from a value somebody asked for."""
        self.difficulty = min(max(difficulty, self._minimum), self._maximum)
        self.retargets = 0
        self._search(now)
        self.restart(now)

    def go_on(self, rate: float, settled: bool, now: float) -> None:
        """Begin where a connection of the same miner was: settled, or in a search that has found something."""
        self.difficulty = min(max(nice(rate * self.interval_s), self._minimum), self._maximum)
        self.assigned = self.difficulty
        self.retargets = SEARCH_STEPS if settled else 1
        self._search(now)
        self.searching = not settled
        self.restart(now)

    def bound(self, minimum: float, maximum: float, interval_s: float) -> None:
        """Other limits and another wish from now on; the evidence stays."""
        self.difficulty *= interval_s / self.interval_s
        self._minimum, self._maximum, self.interval_s = minimum, maximum, interval_s
        self.difficulty = min(max(self.difficulty, minimum), maximum)

    def share(self, difficulty: float, now: float) -> bool:
        """Count an accepted share; True when `difficulty` changed by it."""
        if now < self._start:
            return False
        self._count += 1
        self._work += difficulty
        if self.searching:
            worth = difficulty / self.assigned
            self._seen += worth
            if self._seen < FIRST_SHARES or (self._count < self._check_count and now < self._search_until):
                return False
            # The evidence ends with a share, so the last one is not evidence of its own time.
            return self._look(now, self._seen - worth)
        if self._count < self._check_count:
            return False
        # The window ends with a share, so the last one is not evidence of its own length: (n-1)/t is unbiased.
        return self._evaluate(now, self._work * (self._count - 1) / self._count)

    def silent(self, now: float) -> bool:
        """Look whether fewer shares came than should have; True when `difficulty` changed."""
        if now < self._silence_at:
            return False
        if self.searching:
            return self._look(now, max(self._seen, 0.5))  # nothing seen is taken for half a share
        return self._evaluate(now, self._work)

    def _expose(self, now: float) -> None:
        if now > self._told_at:
            self._exposure += (now - self._told_at) / self.assigned
            self._told_at = now

    def _look(self, now: float, seen: float) -> bool:
        """While searching: whether all that was seen calls for another difficulty; the last look ends the search."""
        self._expose(now)
        estimate = seen / max(self._exposure, 1e-3 / self.assigned) * self.interval_s
        ratio = estimate / self.difficulty
        expected = self._exposure * self.rate
        if now >= self._search_until:
            self.searching = False
            told = nice(min(max(estimate, self._minimum), self._maximum)) / self.assigned
            moved = not 1.0 / SEARCH_END <= told <= SEARCH_END
        elif ratio >= 1.0:
            moved = self._seen >= FIRST_SHARES and ratio > BAND * (1.0 + CONFIDENCE / math.sqrt(self._seen))
            estimate = self.difficulty * min(ratio, STEP_UP_SEARCHING)
        else:
            enough = expected >= FIRST_SILENT_INTERVALS * 0.999
            moved = enough and ratio * BAND * (1.0 + CONFIDENCE / math.sqrt(max(expected, 1.0))) < 1.0
        bounded = min(max(nice(estimate), self._minimum), self._maximum)
        if moved and (bounded != self.difficulty or not self.searching):
            self.difficulty = bounded
            self.retargets += 1
            self.restart(now)
            return True
        if self.searching:
            self._check_count = self._count + max(4, self._count // 8)
            self._silence_at = now + max(0.2 * (now - self._start), LOOK_INTERVALS * self._expected_interval_s())
        else:
            self.restart(now)
        return False

    def _expected_interval_s(self) -> float:
        """Seconds between shares if the estimate is right, at the difficulty the miner was told."""
        return self.interval_s * self.assigned / self.difficulty

    def _evaluate(self, now: float, work: float) -> bool:
        elapsed = max(now - self._start, 1e-3)
        expected_shares = elapsed / self._expected_interval_s()
        ratio = work / (self.rate * elapsed)
        if ratio >= 1.0:
            band = BAND * (1.0 + CONFIDENCE / math.sqrt(self._count))
            step = STEP_UP_SEARCHING if self.retargets < SEARCH_STEPS else STEP_UP
            moved = self._count >= FIRST_SHARES and ratio > band
            wanted = self.difficulty * min(ratio, step)
        else:
            enough = FIRST_SILENT_INTERVALS if self.retargets < SEARCH_STEPS else SILENT_INTERVALS
            band = BAND * (1.0 + CONFIDENCE / math.sqrt(max(expected_shares, 1.0)))
            moved = expected_shares >= enough * 0.999 and ratio * band < 1.0
            # Nothing seen is taken for half a share.
            wanted = self.difficulty * max(work, 0.5 * self.assigned) / (self.rate * elapsed)
        if moved:
            wanted = min(max(nice(wanted), self._minimum), self._maximum)
            moved = wanted != self.difficulty
        if moved:
            self.difficulty = wanted
            self.retargets += 1
            self.restart(now)
            return True
        self._check_count = max(self._count + 4, int(self._count * 1.4))
        self._silence_at = now + max(0.4 * elapsed, FIRST_SILENT_INTERVALS * self._expected_interval_s())
        if max(expected_shares, self._count) >= MEMORY_SHARES:
            self._count //= 2
            self._work /= 2.0
            self._start = now - elapsed / 2.0
            self._check_count = max(FIRST_SHARES, self._check_count // 2)
        return False
