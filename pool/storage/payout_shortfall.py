"""What the change of an account lacks, because a reorganisation took what its transfers had taken.

A transfer stands without a reward that its batch took, if the rest of the balance covers it; a transaction does not.
The books have lost the reward's block, and its coin with it, so the newest change is so much less as is missing: by
the same reckoning as the wallet's (chains/accounts/coins.py). Everything takes an open connection.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from sqlalchemy import Connection, and_, func, select

from chains.accounts.transfer import MAGIC
from pool.payouts.reconcile import BookedCoin, CoinSource
from pool.storage.payout_incomes import BLOCK_NAME
from pool.storage.payout_tables import batch_inputs, payout_batches, wallet_coins
from pool.storage.tables import blocks

_CHAIN_ID_SIZE = 32  # before a transfer's bytes (chains/account_wallet.py)


def of_change(connection: Connection, chain: str, coins: Sequence[BookedCoin]) -> list[BookedCoin]:
    """The newest change among the coins less what it lacks; nothing where nothing is missing."""
    missing = _missing(connection, chain)
    changes = {coin.cause: coin for coin in coins if coin.source is CoinSource.CHANGE and not coin.spent}
    if not missing or not changes:
        return []
    column = payout_batches.c
    newest = select(column.id).where(column.id.in_(changes)).order_by(column.height.desc(), column.created_ms.desc())
    found = connection.execute(newest.limit(1)).scalar_one_or_none()
    coin = changes.get(str(found))
    if coin is None or coin.amount <= missing:
        return []
    return [dataclasses.replace(coin, amount=coin.amount - missing)]


def _missing(connection: Connection, chain: str) -> int:
    """What settled transfers took by their batches over what is there."""
    inputs, coin, batch = batch_inputs.c, wallet_coins.c, payout_batches.c
    taken = (
        select(inputs.amount, batch.raw)
        .join(wallet_coins, and_(coin.chain == inputs.chain, coin.txid == inputs.txid, coin.vout == inputs.vout))
        .join(payout_batches, batch.id == inputs.batch_id)
        .where(inputs.chain == chain, batch.state == "settled", coin.spent_batch_id == batch.id)
    )
    lost = select(BLOCK_NAME).where(blocks.c.chain == chain, blocks.c.state == "lost")
    final = select(BLOCK_NAME).where(blocks.c.chain == chain, blocks.c.state == "mature", BLOCK_NAME.in_(lost))
    names = {*connection.execute(lost).scalars()} - {*connection.execute(final).scalars()}
    missing = 0
    if names:
        rows = connection.execute(taken.where(coin.source == CoinSource.INCOME.value, coin.cause.in_(names)))
        for row in rows:
            is_transfer = row.raw[_CHAIN_ID_SIZE : _CHAIN_ID_SIZE + len(MAGIC)] == MAGIC
            missing += row.amount if is_transfer else 0
    # A change that was spent for less than it was made with, while something was missing of it.
    less = taken.where(coin.source == CoinSource.CHANGE.value, coin.amount != inputs.amount)
    difference = connection.execute(less.with_only_columns(func.sum(inputs.amount - coin.amount))).scalar()
    return missing + int(difference or 0)
