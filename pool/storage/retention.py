"""How long shares are kept one by one: as long as configured, and while any window may still reach them.

Once every front end has drained past an hour, its shares are added up by route and chain set (share_sums). These sums
tell cheaply how far back a window reaches, and they are what stays of an hour whose shares are deleted, oldest first.
What each miner earned from each block is kept for ever elsewhere (credits, income events).

PostgreSQL keeps shares in one table, not in partitions: docs/adr/0014.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, delete, func, insert, literal_column, select

from pool.accounting.window import target_work
from pool.storage import front_ends
from pool.storage.database import Database
from pool.storage.front_ends import CLOCKS_MS
from pool.storage.pool_window import newest_sequence, of_logs
from pool.storage.tables import blocks, chain_sets, share_logs, share_sums, shares

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MARGIN = 2
"""Windows are taken to reach back over this many times their work: a target may become so much harder meanwhile."""

DELETE_SHARES = 10_000
"""Per transaction, so that no other writer waits for long."""

LOW_BITS = 20
"""Weights are added up in two halves, as SQLite's sum of whole numbers ends at 2**63."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far the windows of a chain reach back: `factor` times the work of a target, and a time at least."""

    factor: Fraction | int
    target: int
    window_min_s: int


class Retention:
    """Of one pool's shares. Synchronous; `step` does a small piece and is safe to repeat."""

    def __init__(self, database: Database, pool: str, share_days: int) -> None:
        self._database = database
        self._pool = pool
        self._share_days = share_days
        self._hour_in_deletion: int | None = None
        self._hours: dict[int, dict[int, int]] = {}

    def step(self, reaches: Mapping[str, Reach], now_ms: int) -> bool:
        """Adds up one hour or deletes some shares. Whether there may be more to do. `reaches` holds every chain."""
        with self._database.read() as connection:
            logs = front_ends.log_ids(connection, self._pool)
            hour_ms = _hour_to_sum(connection, logs)
            if hour_ms is not None and hour_ms + HOUR_MS + CLOCKS_MS > _drained_ms(connection, self._pool):
                hour_ms = None
            oldest_ms = _first_ms(connection, logs, 0) if hour_ms is None else None
            keep_ms = self._keep_from_ms(connection, logs, reaches, now_ms) if oldest_ms is not None else 0
        if hour_ms is not None:
            with self._database.write() as connection:
                self._hours[hour_ms] = _sum_hour(connection, logs, hour_ms)
            return True
        if oldest_ms is None or _hour_of(oldest_ms) + HOUR_MS > keep_ms:
            return False
        self._delete_some(logs, _hour_of(oldest_ms))
        return True

    def _keep_from_ms(
        self, connection: Connection, logs: list[int], reaches: Mapping[str, Reach], now_ms: int
    ) -> int:
        """Shares received from then on are kept one by one."""
        weights = self._chain_weights(connection, logs)
        keep_ms = now_ms - self._share_days * DAY_MS
        for chain, reach in reaches.items():
            keep_ms = min(keep_ms, _reached_ms(weights.get(chain, {}), reach, now_ms))
        query = select(blocks.c.chain, blocks.c.target_hex, blocks.c.found_ms)
        query = query.join(share_logs, share_logs.c.id == blocks.c.log_id)
        for block in connection.execute(query.where(share_logs.c.pool == self._pool, blocks.c.watched == 1)):
            if block.chain not in reaches:
                return 0  # no longer configured, and not final: nothing tells how its window was meant
            own = reaches[block.chain]
            reach = Reach(own.factor, int(block.target_hex, 16), own.window_min_s)
            keep_ms = min(keep_ms, _reached_ms(weights.get(block.chain, {}), reach, block.found_ms))
        return keep_ms

    def _chain_weights(self, connection: Connection, logs: list[int]) -> dict[str, dict[int, int]]:
        """By chain and hour: the weight that counts for a window of that chain, for the hours that have shares."""
        oldest_ms = _first_ms(connection, logs, 0) or 0
        self._hours = {hour: sums for hour, sums in self._hours.items() if hour + HOUR_MS > oldest_ms}
        hours = select(share_sums.c.hour_ms).where(share_sums.c.log_id.in_(logs)).distinct()
        for hour_ms in connection.execute(hours.where(share_sums.c.hour_ms > oldest_ms - HOUR_MS)).scalars().all():
            if hour_ms not in self._hours:
                self._hours[hour_ms] = _hour_weights(connection, logs, hour_ms)
        names = {row.id: row.names.split(",") for row in connection.execute(select(chain_sets))}
        found: dict[str, dict[int, int]] = {}
        for hour_ms, sums in self._hours.items():
            for chain_set_id, weight in sums.items():
                for chain in names[chain_set_id]:
                    known = found.setdefault(chain, {})
                    known[hour_ms] = known.get(hour_ms, 0) + weight
        return found

    def _delete_some(self, logs: list[int], hour_ms: int) -> None:
        with self._database.write() as connection:
            if self._hour_in_deletion != hour_ms:
                # Once more, for what a front end that was written off has brought since.
                self._hours[hour_ms] = _sum_hour(connection, logs, hour_ms)
                self._hour_in_deletion = hour_ms
            left = DELETE_SHARES
            for log_id in logs:
                last = newest_sequence(connection, log_id, hour_ms + HOUR_MS - 1)
                some = select(shares.c.sequence).where(shares.c.log_id == log_id, shares.c.sequence <= last)
                some = some.order_by(shares.c.sequence).limit(left)
                found = connection.execute(some).scalars().all()
                if found:
                    gone = delete(shares).where(shares.c.log_id == log_id, shares.c.sequence <= found[-1])
                    left -= connection.execute(gone).rowcount
                if left <= 0:
                    return


def _reached_ms(hour_weights: Mapping[int, int], reach: Reach, end_ms: int) -> int:
    """The beginning of the hour with which a window that ends at a time is surely full; 0 when it is not."""
    needed = MARGIN * target_work(reach.target) * reach.factor
    total = 0
    for hour_ms in sorted(hour_weights, reverse=True):
        if hour_ms + HOUR_MS <= end_ms:
            total += hour_weights[hour_ms]
            if total >= needed:
                return min(hour_ms, end_ms - MARGIN * reach.window_min_s * 1000)
    return 0


def _hour_of(time_ms: int) -> int:
    return time_ms - time_ms % HOUR_MS


def _drained_ms(connection: Connection, pool: str) -> int:
    """The time up to which all front ends have drained; 0 when there is none."""
    live = select(func.min(share_logs.c.drained_ms)).where(share_logs.c.pool == pool)
    return connection.execute(live.where(share_logs.c.written_off_ms.is_(None))).scalar() or 0


def _first_ms(connection: Connection, logs: list[int], from_ms: int) -> int | None:
    """When the oldest share received from a time on was received."""
    query = select(shares.c.time_ms).where(shares.c.time_ms >= from_ms, of_logs(connection, logs))
    return connection.execute(query.order_by(shares.c.time_ms).limit(1)).scalar_one_or_none()


def _hour_to_sum(connection: Connection, logs: list[int]) -> int | None:
    """The first hour with shares that is not added up yet."""
    last = connection.execute(select(func.max(share_sums.c.hour_ms)).where(share_sums.c.log_id.in_(logs))).scalar()
    first_ms = _first_ms(connection, logs, 0 if last is None else last + HOUR_MS)
    return None if first_ms is None else _hour_of(first_ms)


def _sum_hour(connection: Connection, logs: list[int], hour_ms: int) -> dict[int, int]:
    """Writes an hour's sums, in place of those that are there; the weight by chain set. A share that was late has a row
    and no weight, so that every hour with shares has rows.
    """
    column = shares.c
    groups = (column.log_id, column.route_id, column.chain_set_id)
    counts = column.stale == 0
    high: ColumnElement[int] = literal_column(str(LOW_BITS))
    low: ColumnElement[int] = literal_column(str((1 << LOW_BITS) - 1))
    sums = (
        func.sum(case((counts, column.weight.op(">>")(high)), else_=0)).label("high"),
        func.sum(case((counts, column.weight.op("&")(low)), else_=0)).label("low"),
    )
    query = select(*groups, func.sum(1 - column.stale).label("shares"), *sums)
    in_hour = (column.time_ms >= hour_ms, column.time_ms < hour_ms + HOUR_MS, of_logs(connection, logs))
    weights: dict[int, int] = {}
    rows: list[dict[str, Any]] = []
    for row in connection.execute(query.where(*in_hour).group_by(*groups)):
        weight = (int(row.high) << LOW_BITS) + int(row.low)
        weights[row.chain_set_id] = weights.get(row.chain_set_id, 0) + weight
        rows.append(
            {
                "hour_ms": hour_ms,
                "log_id": row.log_id,
                "route_id": row.route_id,
                "chain_set_id": row.chain_set_id,
                "shares": int(row.shares),
                "weight": str(weight),
            }
        )
    connection.execute(delete(share_sums).where(share_sums.c.hour_ms == hour_ms, share_sums.c.log_id.in_(logs)))
    if rows:
        connection.execute(insert(share_sums), rows)
    return weights


def _hour_weights(connection: Connection, logs: list[int], hour_ms: int) -> dict[int, int]:
    """An hour's weight by chain set, from its sums."""
    weights: dict[int, int] = {}
    query = select(share_sums.c.chain_set_id, share_sums.c.weight)
    for row in connection.execute(query.where(share_sums.c.hour_ms == hour_ms, share_sums.c.log_id.in_(logs))):
        weights[row.chain_set_id] = weights.get(row.chain_set_id, 0) + int(row.weight)
    return weights
