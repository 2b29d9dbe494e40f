"""What the books say of the blocks that pay a wallet. Everything takes an open connection."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, func, select

from pool.payouts.reconcile import Income
from pool.storage.payout_tables import wallet_coins
from pool.storage.tables import blocks

_CHUNK = 400  # names per query, well below SQLite's limit of variables

BLOCK_NAME = func.coalesce(blocks.c.container_hash_hex, blocks.c.hash_hex)
"""The block whose coins a row of `blocks` is about: of a vote, the one that has it."""


def incomes(connection: Connection, chain: str, block_hashes: Collection[str]) -> dict[str, Income]:
    """Mature blocks of which no coin is entered, and the blocks asked for. A vote's block is the one that has it."""
    column, coin = blocks.c, wallet_coins.c
    of_block = (coin.chain == column.chain, coin.cause == BLOCK_NAME, coin.source == "income")
    entered = select(coin.vout).where(*of_block)
    waiting = select(BLOCK_NAME).where(
        column.chain == chain, column.state == "mature", column.reward > 0, ~entered.exists()
    )
    names = sorted({*block_hashes, *connection.execute(waiting).scalars()})
    rows: dict[str, list[Any]] = {}
    query = select(
        BLOCK_NAME.label("name"), column.height, column.reward, column.state, column.container_hash_hex
    ).where(column.chain == chain)  # fmt: skip
    for start in range(0, len(names), _CHUNK):
        some = names[start : start + _CHUNK]
        alone = (column.hash_hex.in_(some), column.container_hash_hex.is_(None))
        for condition in (alone, (column.container_hash_hex.in_(some),)):
            for row in connection.execute(query.where(*condition)):
                rows.setdefault(row.name, []).append(row)
    return {name: _income(name, found) for name, found in rows.items()}


def _income(name: str, rows: Sequence[Any]) -> Income:
    """What the rows of one block say: a single one, or one for each vote in it."""
    final = [row for row in rows if row.state == "mature"]
    still = [row for row in rows if row.state in ("submitted", "immature")]
    amount = sum(row.reward or 0 for row in (*final, *still))
    done = bool(final) and not still
    partly = 0 if done else sum(row.reward or 0 for row in final)
    return Income(name, rows[0].height, amount, done, partly, rows[0].container_hash_hex is not None)
