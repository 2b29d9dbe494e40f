"""A pool's shares in window order: newest first, of all its front ends together.

Within one share log the order is the log's own. Between logs it is the time of receipt, then the log, then the
sequence, so that whoever reads a window again reads the same one. A clock that was set back does not reorder a log:
its shares count as received no later than the one after them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from heapq import merge
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, or_, select

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


class Stretch(NamedTuple):
    """Sequences of one log, both ends included. `reach_ms` is the earliest time in what comes before it in the window
    without being read; None where nothing does.
    """

    first: int
    last: int
    reach_ms: int | None = None


class WindowPlace(NamedTuple):
    """Which shares may be in a block's window: by log of the pool the newest one's sequence, the chain sets that hold
    the block's chain, and the block's solvers as (log, sequence), which count whatever they are.
    """

    last_sequences: Mapping[int, int]
    counting: frozenset[int]
    solvers: frozenset[tuple[int, int]]

    def solvers_of(self, log_id: int) -> frozenset[int]:
        """The solvers' sequences in one log."""
        return frozenset(sequence for log, sequence in self.solvers if log == log_id)


def last_sequences(connection: Connection, logs: Collection[int], place: SolvingPlace) -> dict[int, int]:
    """By log: its newest share that a window of this place may hold; logs without one are left out."""
    last = {place.log_id: place.sequence}
    for log_id in sorted(set(logs) - {place.log_id}):
        sequence = newest_sequence(connection, log_id, place.time_ms)
        if sequence:
            last[log_id] = sequence
    return last


def pool_shares(
    connection: Connection, place: WindowPlace, stretches: Mapping[int, Sequence[Stretch]] | None = None
) -> Iterator[WindowShare]:
    """The shares that count for a chain, newest first, fetched as far as they are read. Of each log all up to its last
    sequence, or those in its stretches, which come newest first.
    """
    if stretches is None:
        stretches = {log_id: [Stretch(0, last)] for log_id, last in place.last_sequences.items()}
    readings = [_log_shares(connection, log_id, place, parts) for log_id, parts in stretches.items()]
    if len(readings) == 1:
        return (share for _, share in readings[0])
    ordered = merge(*readings, key=lambda item: item[0], reverse=True)
    return (share for _, share in ordered)


def of_logs(connection: Connection, logs: Collection[int]) -> ColumnElement[bool]:
    """Shares of these logs, in a query that goes by time: SQLite would go by the log otherwise, and read all it has."""
    log_id = shares.c.log_id
    return (log_id + 0 if connection.dialect.name == "sqlite" else log_id).in_(logs)


def newest_sequence(connection: Connection, log_id: int, until_ms: int) -> int:
    """The newest share of a log that was received up to a time; 0 when there is none."""
    if connection.execute(select(shares.c.sequence).where(shares.c.log_id == log_id).limit(1)).first() is None:
        return 0
    query = select(shares.c.sequence).where(of_logs(connection, [log_id]), shares.c.time_ms <= until_ms)
    query = query.order_by(shares.c.time_ms.desc(), shares.c.sequence.desc()).limit(1)
    return connection.execute(query).scalar_one_or_none() or 0


def _log_shares(
    connection: Connection, log_id: int, place: WindowPlace, stretches: Sequence[Stretch]
) -> Iterator[tuple[tuple[int, int, int], WindowShare]]:
    """Shares with their place in the window's order."""
    column = shares.c
    columns = (
        column.sequence, column.time_ms, column.route_id, column.weight, column.chain_set_id, column.stale,
        column.log_id,
    )  # fmt: skip
    counts = or_(
        and_(column.stale == 0, column.chain_set_id.in_(place.counting)),
        column.sequence.in_(place.solvers_of(log_id)),
    )
    for first, last, reach_ms in stretches:
        query = select(*columns).where(column.log_id == log_id, column.sequence.between(first, last), counts)
        result = connection.execute(query.order_by(column.sequence.desc()).execution_options(yield_per=FETCH_ROWS))
        for row in result:
            share = WindowShare(*row)
            reach_ms = share.time_ms if reach_ms is None else min(reach_ms, share.time_ms)
            yield (reach_ms, log_id, share.sequence), share
