"""The whole pool's hashrate over an hour, a day and a week, for the plots of the overview page.

The last hour comes from what is in memory of the shares already (recent_shares.py), hours that are over from their sums
(retention.py), each read once. An hour that is over and not added up yet, as in its first minute, is read from its
shares where they are few, and otherwise missing for so long: ten thousand miners send six million an hour.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, select

from pool.storage.miner_views import DAY_HOURS, LEAST_STEP_MS, STEP_MS, WEEK_HOURS
from pool.storage.pool_window import newest_sequence
from pool.storage.recent_shares import HOUR_MS, RecentShares
from pool.storage.tables import share_logs, share_sums, shares

READ_ROWS = 400_000
"""Rows of one reading, of sums as of shares: some tenths of a second. What is behind them comes with the next one."""

FRESH_HOURS = 3
"""Hours that may not be added up yet."""

KEPT_MS = 5000


class PoolHashrates:
    """Of all logs of a database. Not for several threads at a time."""

    def __init__(self, recent: RecentShares) -> None:
        self._recent = recent
        self._hours: dict[int, int] = {}  # weight by hour, of those that are added up
        self._answer: tuple[int, dict[str, Any]] | None = None

    def series(self, connection: Connection, now_ms: int) -> dict[str, Any]:
        """By span (`1h`, `24h`, `7d`): the points of its plot, oldest first, each over `step_ms`, the last one ending
        at `end_ms`; None where nothing is on record. As for an address (miner_views.py), and kept for five seconds."""
        if self._answer is None or not 0 <= now_ms - self._answer[0] < KEPT_MS:
            self._answer = now_ms, self._made(connection, now_ms)
        return self._answer[1]

    def _made(self, connection: Connection, now_ms: int) -> dict[str, Any]:
        self._recent.totals(connection, now_ms)
        hour_ms = now_ms - now_ms % HOUR_MS
        first_ms = hour_ms - WEEK_HOURS * HOUR_MS
        self._read_hours(connection, first_ms, hour_ms)
        week = [self._hour(connection, start_ms, hour_ms) for start_ms in range(first_ms, hour_ms, HOUR_MS)]
        end_ms = hour_ms
        if now_ms - hour_ms >= LEAST_STEP_MS:
            end_ms = now_ms
            week.append(self._recent.weight_since(hour_ms) * 1000 // (now_ms - hour_ms))
        hour = [weight * 1000 // STEP_MS for weight in self._recent.weights(now_ms, STEP_MS)]
        return {
            "1h": {"step_ms": STEP_MS, "end_ms": now_ms, "points": hour},
            "24h": {"step_ms": HOUR_MS, "end_ms": end_ms, "points": week[-DAY_HOURS:]},
            "7d": {"step_ms": HOUR_MS, "end_ms": end_ms, "points": week[-WEEK_HOURS:]},
        }

    def _hour(self, connection: Connection, start_ms: int, hour_ms: int) -> int | None:
        weight = self._hours.get(start_ms)
        if weight is None and start_ms >= hour_ms - FRESH_HOURS * HOUR_MS:
            weight = _of_shares(connection, start_ms)
        return None if weight is None else weight * 1000 // HOUR_MS

    def _read_hours(self, connection: Connection, first_ms: int, hour_ms: int) -> None:
        """Takes hours in that are added up and not known yet, the newest first, and forgets those before the week."""
        self._hours = {start_ms: weight for start_ms, weight in self._hours.items() if start_ms >= first_ms}
        oldest_ms = connection.execute(select(func.min(share_sums.c.hour_ms))).scalar()
        if oldest_ms is None:
            return
        left = READ_ROWS
        for start_ms in range(hour_ms - HOUR_MS, max(first_ms, oldest_ms) - 1, -HOUR_MS):
            if start_ms in self._hours:
                continue
            query = select(share_sums.c.weight).where(share_sums.c.hour_ms == start_ms)
            weights = connection.execute(query).scalars().all()
            if weights:
                self._hours[start_ms] = sum(map(int, weights))
                left -= len(weights)
            if left <= 0:
                return


def _of_shares(connection: Connection, start_ms: int) -> int | None:
    """The weight of an hour's shares that counted; None where there are too many to be read for a picture."""
    total = rows = 0
    column = shares.c
    for log_id in connection.execute(select(share_logs.c.id)).scalars().all():
        first, last = (newest_sequence(connection, log_id, time_ms - 1) for time_ms in (start_ms, start_ms + HOUR_MS))
        query = select(column.weight).where(column.log_id == log_id, column.sequence > first, column.sequence <= last)
        weights = connection.execute(query.where(column.stale == 0).limit(READ_ROWS - rows + 1)).scalars().all()
        rows += len(weights)
        if rows > READ_ROWS:
            return None
        total += sum(weights)
    return total
