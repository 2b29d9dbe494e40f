"""The shares of watched workers as offline notices need them: minute by minute, and each only once.

Shares of one log are stored in the order of their sequences, so what is new lies behind the last one read. The first
reading goes back as far as the longest wish needs, not at all without one; in pieces, because that may be some hours of
a large pool's.
"""

from __future__ import annotations

from sqlalchemy import Connection, and_, func, select

from pool.miners.worker_outages import MINUTE_MS, NewShares, SeenPool, SeenWorker
from pool.storage.front_ends import front_ends, log_ids
from pool.storage.notice_store import watched
from pool.storage.pool_window import newest_sequence
from pool.storage.settings_tables import offline_notices
from pool.storage.tables import routes, shares

READ_ROWS = 200_000
LIVE_MS = 60 * MINUTE_MS
"""A front end that has drained nothing for so long is gone, and no longer waited for."""

BACK_MS = 60 * MINUTE_MS
"""How much longer ago than twice the longest wish the first reading begins: outages that are told of on their end."""


class NoticeReading:
    """Of one pool's logs. Not for several threads at a time."""

    def __init__(self, pool: str) -> None:
        self._pool = pool
        self._read: dict[int, int] = {}

    def new(self, connection: Connection, now_ms: int) -> NewShares:
        """What was stored since the last call, at most READ_ROWS shares."""
        wishes = watched(connection)
        from_ms = now_ms
        if wishes:
            from_ms -= 2 * max(wish.after_min for wish in wishes) * MINUTE_MS + BACK_MS
        workers: list[SeenWorker] = []
        pool: list[SeenPool] = []
        read, whole = dict(self._read), True
        stored_to_ms = self._stored_to_ms(connection, now_ms)
        for log_id in log_ids(connection, self._pool):
            first = read.get(log_id)
            if first is None:
                first = newest_sequence(connection, log_id, from_ms)
            read[log_id], whole = _end(connection, log_id, first)
            if read[log_id] > first:
                _minutes(connection, log_id, first, read[log_id], workers, pool)
            if not whole:
                break
        self._read = read
        return NewShares(wishes, workers, pool, stored_to_ms, whole)

    def _stored_to_ms(self, connection: Connection, now_ms: int) -> int:
        """Of those front ends that are not gone, the one that is behind the others."""
        drained = [
            front_end.drained.time_ms
            for front_end in front_ends(connection, self._pool)
            if front_end.written_off_ms is None and front_end.drained.time_ms > now_ms - LIVE_MS
        ]
        return min(drained, default=0)


def _end(connection: Connection, log_id: int, first: int) -> tuple[int, bool]:
    """The last sequence of at most READ_ROWS shares behind `first`, and whether nothing lies behind it."""
    column = shares.c
    behind = select(column.sequence).where(column.log_id == log_id, column.sequence > first).order_by(column.sequence)
    # Sequences have gaps at a pool's starts: the place that a limit ends at is asked for, not computed.
    last = connection.execute(behind.offset(READ_ROWS - 1).limit(1)).scalar()
    if last is not None:
        return last, False
    newest = connection.execute(select(func.max(column.sequence)).where(column.log_id == log_id)).scalar()
    return max(first, newest or 0), True


def _minutes(
    connection: Connection, log_id: int, first: int, last: int, workers: list[SeenWorker], pool: list[SeenPool]
) -> None:
    """Adds what came between two sequences of a log; a stale share is a sign of life like any other."""
    column = shares.c
    rows = and_(column.log_id == log_id, column.sequence > first, column.sequence <= last)
    minute = (column.time_ms // MINUTE_MS).label("minute")
    times = (func.min(column.time_ms), func.max(column.time_ms))
    everybody = select(minute, *times).where(rows).group_by(minute)
    pool += [SeenPool(row[1], row[2]) for row in connection.execute(everybody)]
    query = (
        select(routes.c.login_parent, column.worker, *times)
        .join(routes, routes.c.id == column.route_id)
        .join(offline_notices, offline_notices.c.address == routes.c.login_parent)
        .where(rows)
        .group_by(routes.c.login_parent, column.worker, minute)
    )
    workers += [SeenWorker(*row) for row in connection.execute(query)]
