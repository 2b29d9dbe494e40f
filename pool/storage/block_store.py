"""Found blocks and their credits in SQL. Everything takes an open connection and leaves the commit to its caller.

On a chain of votes (docs/adr/0020) a row is a vote in one place. A vote begins in a row that is named by its hash and
gets a place, and `vote_hash_hex`, when it is credited there; for each other place that it comes to there is another
row, named `HASH.1`, `HASH.2` and so on. One of them at most is paid. `superseded` are rows of a vote that another row
tells of now.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, case, func, insert, or_, select, update

from pool.accounting.found_block import BlockState, FoundBlock, Place
from pool.blocks.solution_store import SolutionRecord
from pool.storage.database import add_missing
from pool.storage.tables import PAID, blocks, credits, share_logs

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


def newest(connection: Connection) -> int:
    """The highest row's number, of any pool and chain; 0 when there is none."""
    return connection.execute(select(func.max(blocks.c.id))).scalar() or 0


def watched(connection: Connection, pool: str, chain: str) -> list[FoundBlock]:
    """The chain's blocks, found by front ends of this pool, that something may still move; oldest first."""
    query = select(blocks).join(share_logs, share_logs.c.id == blocks.c.log_id)
    query = query.where(blocks.c.chain == chain, blocks.c.watched == 1, share_logs.c.pool == pool)
    return [_found_block(row) for row in connection.execute(query.order_by(blocks.c.id))]


def newest_mature(connection: Connection, pool: str, chain: str) -> FoundBlock | None:
    """The highest final block of this pool on a chain."""
    query = select(blocks).join(share_logs, share_logs.c.id == blocks.c.log_id)
    query = query.where(blocks.c.chain == chain, blocks.c.state == "mature", PAID, share_logs.c.pool == pool)
    row = connection.execute(query.order_by(blocks.c.height.desc()).limit(1)).one_or_none()
    return None if row is None else _found_block(row)


def find(connection: Connection, block_id: int) -> FoundBlock:
    """One block by its row."""
    return _found_block(connection.execute(select(blocks).where(blocks.c.id == block_id)).one())


def paid_against(connection: Connection, block: FoundBlock, height: int, place: Place | None) -> str | None:
    """The name of a row whose being paid forbids that this one is paid too (invariant I5): another block of ours at its
    height; of a vote, another row of it, and a vote in another block of its height or at the same index."""
    paid = select(blocks).where(blocks.c.chain == block.chain, PAID, blocks.c.id != block.id)
    if place is not None:
        other = connection.execute(paid.where(blocks.c.vote_hash_hex == block.solve_hex)).first()
        if other is not None:
            return str(other.hash_hex)
        in_another = blocks.c.container_hash_hex.is_distinct_from(place.container_hex)
        paid = paid.where(or_(in_another, blocks.c.event_index == place.event_index))
    row = connection.execute(paid.where(blocks.c.height == height)).first()
    return None if row is None else str(row.hash_hex)


def row_in_place(connection: Connection, chain: str, place: Place) -> FoundBlock | None:
    """The row of the vote that is in a place, or was."""
    query = select(blocks).where(blocks.c.chain == chain, blocks.c.container_hash_hex == place.container_hex)
    row = connection.execute(query.where(blocks.c.event_index == place.event_index)).one_or_none()
    return None if row is None else _found_block(row)


def add_place(connection: Connection, block: FoundBlock, now_ms: int) -> FoundBlock:
    """Another row of a vote, for a place in which it was not before."""
    vote = block.solve_hex
    first = connection.execute(select(blocks).where(blocks.c.chain == block.chain, blocks.c.hash_hex == vote)).one()
    of_vote = select(func.count()).where(blocks.c.chain == block.chain, blocks.c.vote_hash_hex == vote)
    number = connection.execute(of_vote).scalar_one()
    kept = ("chain", "height", "log_id", "share_sequence", "target_hex", "found_ms", "scheme", "vote_hash_hex")
    row = {name: first._mapping[name] for name in kept} | {
        "hash_hex": f"{vote}.{number}",
        "state": "submitted",
        "confirmations": 0,
        "reason": "",
        "orphaned_times": 0,
        "watched": 1,
        "updated_ms": now_ms,
    }
    made = connection.execute(insert(blocks).values(row)).inserted_primary_key
    assert made is not None
    return find(connection, made[0])


def supersede_others(connection: Connection, block_id: int) -> None:
    """This row tells of its vote from now on."""
    row = connection.execute(select(blocks.c.chain, blocks.c.vote_hash_hex).where(blocks.c.id == block_id)).one()
    if row.vote_hash_hex is not None:
        of_vote = (blocks.c.chain == row.chain, blocks.c.vote_hash_hex == row.vote_hash_hex)
        superseded = case((blocks.c.id == block_id, 0), else_=1)
        connection.execute(update(blocks).where(*of_vote).values(superseded=superseded))


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
        vote_hash_hex=row.vote_hash_hex,
        place=None if row.container_hash_hex is None else Place(row.container_hash_hex, row.event_index),
    )
