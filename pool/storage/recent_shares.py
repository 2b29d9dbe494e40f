"""What the shares of the last hour add up to, second by second, kept in memory and brought up to date by what is new.

Adding the whole hour up anew would read nine million rows at ten thousand miners. Shares of one log are stored in the
order of their sequences, so what is new lies behind the last one read. A share that a block's own record told, after a
crash took it from the log, may come before that place and is left out: one in millions, of a figure that is shown.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, func, select

from pool.storage.pool_window import newest_sequence
from pool.storage.tables import routes, share_logs, shares

SECOND_MS = 1000
MINUTES_5_MS = 5 * 60 * 1000
HOUR_MS = 60 * 60 * 1000
HALF = 2**32

READ_ROWS = 400_000
"""Rows of one reading, some tenths of a second: the first one of a large pool is done in several."""

ROUTES_IN = 500
FORGET_MS = 30_000


class Totals(NamedTuple):
    """Weights and shares that counted, when the newest came, and who was there in the last five minutes. `whole` is
    false while there is more to be read.
    """

    weight_5m: int
    weight_1h: int
    shares_1h: int
    last_share_ms: int | None
    miners: int
    workers: int
    whole: bool


class RecentShares:
    """Of all logs of a database. Not for several threads at a time."""

    def __init__(self) -> None:
        self._read: dict[int, int] = {}
        self._seconds: dict[int, tuple[int, int]] = {}
        self._last_ms: dict[tuple[int, str], int] = {}
        self._parents: dict[int, str] = {}
        self._newest_ms = 0
        self._forgot_ms = 0

    def totals(self, connection: Connection, now_ms: int) -> Totals:
        """Reads what is new, at most READ_ROWS."""
        left = READ_ROWS
        for log_id in connection.execute(select(share_logs.c.id)).scalars().all():
            left -= self._read_log(connection, log_id, now_ms, left)
        self._forget(now_ms)
        recent_s, hour_s = (now_ms - MINUTES_5_MS) // SECOND_MS, (now_ms - HOUR_MS) // SECOND_MS
        active = [pair for pair, last_ms in self._last_ms.items() if last_ms > now_ms - MINUTES_5_MS]
        self._learn_parents(connection, {route_id for route_id, _ in active})
        return Totals(
            weight_5m=sum(weight for second, (weight, _) in self._seconds.items() if second > recent_s),
            weight_1h=sum(weight for second, (weight, _) in self._seconds.items() if second > hour_s),
            shares_1h=sum(count for second, (_, count) in self._seconds.items() if second > hour_s),
            last_share_ms=self._newest_ms if self._newest_ms > now_ms - HOUR_MS else None,
            miners=len({self._parents[route_id] for route_id, _ in active}),
            workers=len(active),
            whole=left > 0,
        )

    def weights(self, now_ms: int, step_ms: int) -> list[int]:
        """The last hour by step, oldest first, as far as totals() has read."""
        found = [0] * (HOUR_MS // step_ms)
        for second, (weight, _) in self._seconds.items():
            step = (second * SECOND_MS - (now_ms - HOUR_MS)) // step_ms
            if 0 <= step < len(found):
                found[step] += weight
        return found

    def weight_since(self, time_ms: int) -> int:
        """Of a time within the last hour, to the second."""
        return sum(weight for second, (weight, _) in self._seconds.items() if second * SECOND_MS >= time_ms)

    def _read_log(self, connection: Connection, log_id: int, now_ms: int, limit: int) -> int:
        """Takes a log's next rows in. Returns `limit` when there are more, else 0."""
        if limit <= 0:
            return 0
        first = self._read.get(log_id)
        if first is None:
            first = newest_sequence(connection, log_id, now_ms - HOUR_MS)
        column = shares.c
        newest = connection.execute(select(func.max(column.sequence)).where(column.log_id == log_id)).scalar()
        if newest is None or newest <= first:
            self._read[log_id] = first
            return 0
        # Sequences have gaps at a pool's starts: the place that a limit ends at is asked for, not computed.
        behind = select(column.sequence).where(column.log_id == log_id, column.sequence > first)
        last = connection.execute(behind.order_by(column.sequence).offset(limit - 1).limit(1)).scalar()
        until = newest if last is None else last
        rows = and_(column.log_id == log_id, column.sequence > first, column.sequence <= until)
        self._add_seconds(connection, rows, now_ms)
        self._add_workers(connection, rows, now_ms)
        self._read[log_id] = until
        return 0 if last is None else limit

    def _add_seconds(self, connection: Connection, rows: ColumnElement[bool], now_ms: int) -> None:
        column = shares.c
        second = (column.time_ms // SECOND_MS).label("second")
        # In two halves: SQLite's SUM fails beyond 63 bits.
        high, low = func.sum(column.weight // HALF), func.sum(column.weight % HALF)
        query = select(second, high, low, func.count(), func.max(column.time_ms))
        query = query.where(rows, column.stale == 0, column.time_ms > now_ms - HOUR_MS).group_by(second)
        for row in connection.execute(query):
            weight, count = self._seconds.get(row[0], (0, 0))
            self._seconds[row[0]] = (weight + int(row[1]) * HALF + int(row[2]), count + row[3])
            self._newest_ms = max(self._newest_ms, row[4])

    def _add_workers(self, connection: Connection, rows: ColumnElement[bool], now_ms: int) -> None:
        column = shares.c
        query = select(column.route_id, column.worker, func.max(column.time_ms))
        query = query.where(rows, column.stale == 0, column.time_ms > now_ms - MINUTES_5_MS)
        for route_id, worker, time_ms in connection.execute(query.group_by(column.route_id, column.worker)):
            self._last_ms[route_id, worker] = max(time_ms, self._last_ms.get((route_id, worker), 0))

    def _learn_parents(self, connection: Connection, route_ids: set[int]) -> None:
        unknown = sorted(route_ids - self._parents.keys())
        for start in range(0, len(unknown), ROUTES_IN):
            query = select(routes.c.id, routes.c.login_parent)
            found = connection.execute(query.where(routes.c.id.in_(unknown[start : start + ROUTES_IN])))
            self._parents.update((row.id, row.login_parent) for row in found)

    def _forget(self, now_ms: int) -> None:
        """Now and then: what is over an hour old, and who has been away for five minutes."""
        if 0 <= now_ms - self._forgot_ms < FORGET_MS:
            return
        self._forgot_ms = now_ms
        first = (now_ms - HOUR_MS) // SECOND_MS
        self._seconds = {second: sums for second, sums in self._seconds.items() if second >= first}
        self._last_ms = {pair: last for pair, last in self._last_ms.items() if last > now_ms - MINUTES_5_MS}
        present = {route_id for route_id, _ in self._last_ms}
        self._parents = {route_id: parent for route_id, parent in self._parents.items() if route_id in present}
