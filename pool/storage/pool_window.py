"""A pool's shares in window order: newest first, of all its front ends together.

Within one share log the order is the log's own. Between logs it is the time of receipt, then the log, then the
sequence, so that whoever reads a window again reads the same one. A clock that was set back does not reorder a log:
its shares count as received no later than the one after them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from heapq import merge
from typing import NamedTuple

from sqlalchemy import Connection, and_, or_, select

from pool.accounting.window import WindowShare
from pool.storage.tables import shares

FETCH_ROWS = 2000


class SolvingPlace(NamedTuple):
    """Where a window begins: with the last share of the log that found the block, and what the others received up to
    `time_ms`.
    """

    log_id: int
    sequence: int
    time_ms: int


def pool_shares(
    connection: Connection,
    logs: Collection[int],
    place: SolvingPlace,
    counting: frozenset[int],
    solvers: frozenset[tuple[int, int]],
) -> Iterator[WindowShare]:
    """The shares of `logs` up to `place` that count for a chain, newest first, fetched as far as they are read."""
    last = {place.log_id: place.sequence}
    for log_id in sorted(set(logs) - {place.log_id}):
        sequence = newest_sequence(connection, log_id, place.time_ms)
        if sequence:
            last[log_id] = sequence
    readings = [_log_shares(connection, log_id, sequence, counting, solvers) for log_id, sequence in last.items()]
    if len(readings) == 1:
        return readings[0]
    ordered = merge(*(_with_order(reading) for reading in readings), key=lambda item: item[0], reverse=True)
    return (share for _, share in ordered)


def newest_sequence(connection: Connection, log_id: int, until_ms: int) -> int:
    """The newest share of a log that was received up to a time; 0 when there is none."""
    query = select(shares.c.sequence).where(shares.c.log_id == log_id, shares.c.time_ms <= until_ms)
    query = query.order_by(shares.c.time_ms.desc(), shares.c.sequence.desc()).limit(1)
    return connection.execute(query).scalar_one_or_none() or 0


def _log_shares(
    connection: Connection,
    log_id: int,
    last_sequence: int,
    counting: frozenset[int],
    solvers: frozenset[tuple[int, int]],
) -> Iterator[WindowShare]:
    column = shares.c
    columns = (
        column.sequence, column.time_ms, column.route_id, column.weight, column.chain_set_id, column.stale,
        column.log_id,
    )  # fmt: skip
    own = [sequence for log, sequence in solvers if log == log_id]
    counts = or_(and_(column.stale == 0, column.chain_set_id.in_(counting)), column.sequence.in_(own))
    query = (
        select(*columns)
        .where(column.log_id == log_id, column.sequence <= last_sequence, counts)
        .order_by(column.sequence.desc())
    )
    result = connection.execute(query.execution_options(yield_per=FETCH_ROWS))
    return (WindowShare(*row) for row in result)


def _with_order(reading: Iterator[WindowShare]) -> Iterator[tuple[tuple[int, int, int], WindowShare]]:
    time_ms: int | None = None
    for share in reading:
        time_ms = share.time_ms if time_ms is None else min(time_ms, share.time_ms)
        yield (time_ms, share.log_id, share.sequence), share
