"""The front ends of a pool in SQL: one share log each, how far each is drained, and who follows the pool's blocks.

A block's window holds shares of every front end, so it is computed only when each of them has drained past the solve.
One that will never come back is written off by the operator; if it does come back it counts again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, or_, select, update

from pool.accounting.books_away import UnusableLogError
from pool.shares.record import Position
from pool.shares.watermark import Watermark
from pool.storage.database import add_missing
from pool.storage.tables import blocks, pool_leads, share_logs

CLOCKS_MS = 2000
"""What the clocks of two front ends may differ by: another one's shares are waited for so much longer."""


class LogOfAnotherPoolError(UnusableLogError):
    """A share log's name belongs to another pool in these books. Nothing has been written."""


@dataclass(frozen=True, slots=True)
class FrontEnd:
    """A front end as the books know it. `position` and `sequence` tell what of its share log is stored."""

    name: str
    position: Position
    sequence: int
    drained: Watermark
    written_off_ms: int | None
    updated_ms: int


def register(connection: Connection, name: str, pool: str) -> int:
    """The row of a front end's log, made when there is none. Raises LogOfAnotherPoolError."""
    query = select(share_logs.c.id, share_logs.c.pool).where(share_logs.c.name == name)
    row = connection.execute(query).one_or_none()
    if row is None:
        values = {"name": name, "pool": pool, "segment": 0, "byte_offset": 0, "sequence": 0, "updated_ms": 0}
        add_missing(connection, share_logs, [values])
        row = connection.execute(query).one()
    if not row.pool and connection.get_execution_options().get("writes", False):
        connection.execute(update(share_logs).where(share_logs.c.id == row.id).values(pool=pool))
    elif row.pool and row.pool != pool:
        raise LogOfAnotherPoolError(f"the share log {name!r} belongs to the pool {row.pool!r}, not to {pool!r}")
    return int(row.id)


def front_ends(connection: Connection, pool: str) -> list[FrontEnd]:
    """All front ends that a pool ever had, by name."""
    rows = connection.execute(select(share_logs).where(share_logs.c.pool == pool).order_by(share_logs.c.name))
    return [_front_end(row) for row in rows]


def log_ids(connection: Connection, pool: str) -> list[int]:
    """The rows of a pool's share logs."""
    return list(connection.execute(select(share_logs.c.id).where(share_logs.c.pool == pool)).scalars())


def drain(connection: Connection, log_id: int, watermark: Watermark, now_ms: int) -> None:
    """Moves a watermark forwards, never back. Whoever was written off and has drained further is back."""
    row = share_logs.c
    known = connection.execute(
        select(row.drained_sequence, row.drained_ms, row.written_off_ms).where(row.id == log_id)
    ).one()
    back = known.written_off_ms is not None and watermark.time_ms > known.written_off_ms
    connection.execute(
        update(share_logs)
        .where(row.id == log_id)
        .values(
            drained_sequence=max(known.drained_sequence, watermark.sequence),
            drained_ms=max(known.drained_ms, watermark.time_ms),
            written_off_ms=None if back else known.written_off_ms,
            updated_ms=now_ms,
        )
    )


def write_off(connection: Connection, pool: str, name: str, now_ms: int) -> bool:
    """Windows no longer wait for this front end. False when the pool has none of this name."""
    changed = update(share_logs).where(share_logs.c.pool == pool, share_logs.c.name == name)
    return bool(connection.execute(changed.values(written_off_ms=now_ms)).rowcount)


def window_drained(connection: Connection, block_id: int) -> bool:
    """Whether all shares that can be in a block's window are stored: its own front end has drained past the solving
    share, and every other one of the pool past the time of the solve.
    """
    query = select(blocks.c.log_id, blocks.c.share_sequence, blocks.c.found_ms, share_logs.c.pool)
    block = connection.execute(
        query.join(share_logs, share_logs.c.id == blocks.c.log_id).where(blocks.c.id == block_id)
    ).one()
    logs = share_logs.c
    rows = select(logs.id, logs.drained_sequence, logs.drained_ms).where(logs.written_off_ms.is_(None))
    for row in connection.execute(rows.where(or_(logs.id == block.log_id, logs.pool == block.pool))):
        if row.id != block.log_id:
            if row.drained_ms < block.found_ms + CLOCKS_MS:
                return False
        # A solve that the share log refused has no sequence: its window ends with what was received before.
        elif row.drained_ms <= block.found_ms and not 0 < block.share_sequence <= row.drained_sequence:
            return False
    return True


def take_lead(connection: Connection, pool: str, holder: str, now_ms: int, lasts_ms: int) -> bool:
    """Whether `holder` leads a pool's accountants from now on for a time. Who has the lead keeps it by asking again."""
    row = connection.execute(select(pool_leads).where(pool_leads.c.pool == pool)).one_or_none()
    if row is not None and row.holder != holder and now_ms < row.until_ms <= now_ms + lasts_ms:
        return False
    values = {"holder": holder, "until_ms": now_ms + lasts_ms}
    if row is None:
        connection.execute(insert(pool_leads).values(pool=pool, **values))
    else:
        connection.execute(update(pool_leads).where(pool_leads.c.pool == pool).values(**values))
    return True


def _front_end(row: Row[Any]) -> FrontEnd:
    return FrontEnd(
        name=row.name,
        position=Position(row.segment, row.byte_offset),
        sequence=row.sequence,
        drained=Watermark(row.drained_sequence, row.drained_ms),
        written_off_ms=row.written_off_ms,
        updated_ms=row.updated_ms,
    )
