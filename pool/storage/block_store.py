"""Found blocks and their credits in SQL. Everything takes an open connection and leaves the commit to its caller."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from pool.accounting.found_block import BlockState, FoundBlock
from pool.blocks.solution_store import SolutionRecord
from pool.storage.database import add_missing
from pool.storage.tables import blocks, credits, share_logs

REASON_LIMIT = 500
"""A node's reason is text from outside; longer ones are cut."""


def add(
    connection: Connection, log_id: int, record: SolutionRecord, state: BlockState, reason: str, now_ms: int
) -> bool:
    """The row of a found block. False when it is there already."""
    row = {
        "chain": record.chain,
        "hash_hex": record.block_hash_hex,
        "height": record.height,
        "state": state,
        "reward": None,
        "fee": None,
        "log_id": log_id,
        "share_sequence": record.share_sequence,
        "target_hex": record.target_hex,
        "found_ms": record.found_ms,
        "confirmations": 0,
        "reason": reason[:REASON_LIMIT],
        "orphaned_times": 0,
        "watched": 1,
        "updated_ms": now_ms,
        "scheme": record.scheme,
    }
    return bool(add_missing(connection, blocks, [row]))


def answered(connection: Connection, chain: str, hash_hex: str, state: BlockState, reason: str, now_ms: int) -> None:
    """The final answer of the submission. It moves a block only while nothing but the submission is known of it."""
    changed = update(blocks).where(
        blocks.c.chain == chain, blocks.c.hash_hex == hash_hex, blocks.c.state == "submitted"
    )
    connection.execute(changed.values(state=state, reason=reason[:REASON_LIMIT], updated_ms=now_ms))


def log_name(connection: Connection, block_id: int) -> str:
    """The share log that found a block."""
    query = select(share_logs.c.name).join(blocks, blocks.c.log_id == share_logs.c.id)
    return str(connection.execute(query.where(blocks.c.id == block_id)).scalar_one())


def watched(connection: Connection, pool: str, chain: str) -> list[FoundBlock]:
    """The chain's blocks, found by front ends of this pool, that something may still move; oldest first."""
    query = select(blocks).join(share_logs, share_logs.c.id == blocks.c.log_id)
    query = query.where(blocks.c.chain == chain, blocks.c.watched == 1, share_logs.c.pool == pool)
    return [_found_block(row) for row in connection.execute(query.order_by(blocks.c.id))]


def newest_mature(connection: Connection, pool: str, chain: str) -> FoundBlock | None:
    """The highest final block of this pool on a chain."""
    query = select(blocks).join(share_logs, share_logs.c.id == blocks.c.log_id)
    query = query.where(blocks.c.chain == chain, blocks.c.state == "mature", share_logs.c.pool == pool)
    row = connection.execute(query.order_by(blocks.c.height.desc()).limit(1)).one_or_none()
    return None if row is None else _found_block(row)


def find(connection: Connection, block_id: int) -> FoundBlock:
    """One block by its row."""
    return _found_block(connection.execute(select(blocks).where(blocks.c.id == block_id)).one())


def paid_at(connection: Connection, chain: str, height: int) -> str | None:
    """The hash of our block that is credited at this height, if there is one (invariant I5 allows no second)."""
    query = select(blocks.c.hash_hex).where(blocks.c.chain == chain, blocks.c.height == height)
    return connection.execute(query.where(blocks.c.state.in_(("immature", "mature")))).scalar_one_or_none()


def change(connection: Connection, block_id: int, now_ms: int, **values: Any) -> None:
    """Sets columns of a block."""
    connection.execute(update(blocks).where(blocks.c.id == block_id).values(updated_ms=now_ms, **values))


def credited_amounts(connection: Connection, block_id: int) -> dict[int, int]:
    """Account id to what the block's events credited to it."""
    amount = func.sum(credits.c.amount).label("amount")
    query = select(credits.c.account_id, amount).where(credits.c.block_id == block_id)
    return {row.account_id: int(row.amount) for row in connection.execute(query.group_by(credits.c.account_id))}


def _found_block(row: Row[Any]) -> FoundBlock:
    return FoundBlock(
        id=row.id,
        chain=row.chain,
        hash_hex=row.hash_hex,
        height=row.height,
        state=row.state,
        reward=row.reward,
        fee=row.fee,
        share_sequence=row.share_sequence,
        target_hex=row.target_hex,
        found_ms=row.found_ms,
        confirmations=row.confirmations,
        orphaned_times=row.orphaned_times,
        watched=bool(row.watched),
        lost_times=row.lost_times,
        scheme=row.scheme,
    )
