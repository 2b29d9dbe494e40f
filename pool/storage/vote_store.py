"""What the comparison of a chain's blocks with the books needs: rows by vote, and how far it has come. Everything takes
an open connection and leaves the commit to its caller.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, insert, select

from pool.accounting.found_block import FoundBlock
from pool.storage import block_store
from pool.storage.tables import blocks, share_logs, vote_scans

IN_ROWS = 500


def rows_of(connection: Connection, chain: str, votes: Sequence[str]) -> list[FoundBlock]:
    """All rows of these votes (displayed hashes), of whatever pool found them."""
    found = []
    for start in range(0, len(votes), IN_ROWS):
        part = votes[start : start + IN_ROWS]
        ids: set[int] = set()
        for column in (blocks.c.hash_hex, blocks.c.vote_hash_hex):  # one by one, so that each is found by its index
            query = select(blocks.c.id).where(blocks.c.chain == chain, column.in_(part))
            ids.update(connection.execute(query).scalars())
        found += [block_store.find(connection, row_id) for row_id in sorted(ids)]
    return found


def scanned(connection: Connection, pool: str, chain: str) -> tuple[int, str] | None:
    """(height, displayed hash) of the last block that was compared; the hash is empty where it is not known. None
    before the first comparison."""
    query = select(vote_scans.c.height, vote_scans.c.hash_hex)
    row = connection.execute(query.where(vote_scans.c.pool == pool, vote_scans.c.chain == chain)).one_or_none()
    return None if row is None else (row.height, row.hash_hex)


def set_scanned(connection: Connection, pool: str, chain: str, height: int, hash_hex: str) -> None:
    connection.execute(delete(vote_scans).where(vote_scans.c.pool == pool, vote_scans.c.chain == chain))
    row = {"pool": pool, "chain": chain, "height": height, "hash_hex": hash_hex}
    connection.execute(insert(vote_scans).values(row))


def lowest_height(connection: Connection, pool: str, chain: str) -> int | None:
    """Of what this pool ever found on a chain."""
    query = select(func.min(blocks.c.height)).join(share_logs, share_logs.c.id == blocks.c.log_id)
    height = connection.execute(query.where(blocks.c.chain == chain, share_logs.c.pool == pool)).scalar()
    return None if height is None else int(height)


def drained_ms(connection: Connection, pool: str) -> int | None:
    """The time up to which everything of all the pool's front ends is in the books; None when they have none."""
    query = select(func.min(share_logs.c.drained_ms)).where(share_logs.c.written_off_ms.is_(None))
    return connection.execute(query.where(share_logs.c.pool == pool)).scalar()
