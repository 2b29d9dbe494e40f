"""Who worked how much for a chain, and who solved its blocks: what the odds of withholding are computed from.

Reads shares that are kept one by one, so it looks back as far as they go (`books.share_days`).
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from pool.storage.tables import blocks, chain_sets, routes, share_solves, shares

HALF = 2**31


class ChainWork(NamedTuple):
    """On one chain since some time: the work of each parent address, and the blocks that each solved, whatever became
    of them."""

    work: dict[str, int]
    solved: dict[str, int]


def chain_work(connection: Connection, since_ms: int) -> dict[str, ChainWork]:
    """By chain. A share counts for every chain it was mined for, a stale one for none."""
    found: dict[str, ChainWork] = defaultdict(lambda: ChainWork(defaultdict(int), defaultdict(int)))
    # Summed in two halves: SQLite's SUM fails beyond 63 bits.
    high, low = func.sum(shares.c.weight // HALF), func.sum(shares.c.weight % HALF)
    work = (
        select(chain_sets.c.names, routes.c.login_parent, high, low)
        .select_from(shares)
        .join(routes, routes.c.id == shares.c.route_id)
        .join(chain_sets, chain_sets.c.id == shares.c.chain_set_id)
        .where(shares.c.time_ms >= since_ms, shares.c.stale == 0)
        .group_by(chain_sets.c.names, routes.c.login_parent)
    )
    for names, miner, high_sum, low_sum in connection.execute(work):
        for chain in names.split(","):
            if chain:
                found[chain].work[miner] += int(high_sum) * HALF + int(low_sum)
    of_block = (share_solves.c.chain == blocks.c.chain) & (share_solves.c.block_hash_hex == blocks.c.hash_hex)
    solved = (
        select(blocks.c.chain, routes.c.login_parent, func.count())
        .join(share_solves, of_block)
        .join(shares, (shares.c.log_id == share_solves.c.log_id) & (shares.c.sequence == share_solves.c.sequence))
        .join(routes, routes.c.id == shares.c.route_id)
        .where(shares.c.time_ms >= since_ms, shares.c.stale == 0, blocks.c.state != "rejected")
        .group_by(blocks.c.chain, routes.c.login_parent)
    )
    for chain, miner, count in connection.execute(solved):
        found[chain].solved[miner] += int(count)
    return dict(found)
