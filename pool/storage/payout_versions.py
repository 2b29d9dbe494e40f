"""Batches whose fee was raised: the order, the further transactions, which of them counts, and its fee in the ledger.

A batch's own row holds the transaction that counts at the time: the one last seen in the chain, else the newest. Every
one of them is kept, once there are several. Everything takes an open connection and leaves the commit to its caller.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from sqlalchemy import Connection, select, update

from pool.ledger import payment
from pool.ledger.account import EXPENSE_TXFEE
from pool.ledger.transfer import LedgerError, movements
from pool.payouts.batch import Batch
from pool.storage import ledger_store, payout_rows
from pool.storage.payout_tables import batch_inputs, payout_batches, payout_versions


class BumpRefusedError(LedgerError):
    """A fee that cannot be raised: one sentence."""


def order_bump(connection: Connection, batch_id: str, fee_rate: int) -> Batch:
    """The operator wants the batch to pay this rate (per 1000 virtual bytes); the chain's payer goes on from there.
    Ordering it twice is ordering it once. Raises BumpRefusedError."""
    batch = payout_rows.find(connection, batch_id)
    if batch is None:
        raise BumpRefusedError(f"there is no batch {batch_id}")
    check_not_spent(connection, batch)
    column = payout_batches.c
    ordered = update(payout_batches).where(column.id == batch_id, column.state == batch.state.value)
    if not batch.replaceable or connection.execute(ordered.values(bump_rate=fee_rate)).rowcount != 1:
        raise BumpRefusedError(
            f"batch {batch_id} is {batch.state}; only one that is signed or broadcast has a fee to raise"
        )
    return dataclasses.replace(batch, bump_rate=fee_rate)


def check_not_spent(connection: Connection, batch: Batch) -> None:
    """Raises BumpRefusedError when a later batch spends what comes back from this one, which a reorg took out of its
    block again: a further transaction would leave the later one without its coin, signed and never to be mined."""
    made = [version.txid for version in batch.versions if version.txid is not None]
    column = payout_batches.c
    query = select(column.id).join(batch_inputs, batch_inputs.c.batch_id == column.id)
    query = query.where(batch_inputs.c.chain == batch.chain, batch_inputs.c.txid.in_(made), column.state != "void")
    later = connection.execute(query.limit(1)).scalar_one_or_none()
    if later is not None:
        raise BumpRefusedError(
            f"batch {later} spends the change of batch {batch.id}: another transaction would take it away"
        )


def add(connection: Connection, batch: Batch, version: Batch, now_ms: int) -> dict[str, Any]:
    """Keeps a further signed transaction of a batch, reserves what it spends beyond the others, and returns the columns
    of the batch's row that would make it the present one. `version` has the number that the batch has not."""
    built = version.built
    assert built is not None and batch.built is not None
    if not batch.others:
        payout_rows.add_version(connection, batch, batch.updated_ms)
    payout_rows.add_version(connection, version, now_ms)
    known = max(len(one.built.coins) for one in batch.versions if one.built is not None)
    payout_rows.add_inputs(connection, batch, built.coins, known)
    return _present(version)


def next_number(batch: Batch) -> int:
    return max(version.version for version in batch.versions) + 1


def choose(connection: Connection, batch: Batch, number: int, now_ms: int) -> None:
    """Another version of the batch is the one in the chain."""
    version = next(version for version in batch.versions if version.version == number)
    column = payout_batches.c
    chosen = update(payout_batches).where(column.id == batch.id, column.state == batch.state.value)
    connection.execute(chosen.values(updated_ms=now_ms, **_present(version)))


def _present(version: Batch) -> dict[str, Any]:
    assert version.built is not None
    return payout_rows.built_columns(version.built, version.fee_rate or 0) | {
        "raw": version.raw, "txid": version.txid, "wtxid": version.wtxid
    }  # fmt: skip


def known_txids(connection: Connection, chain: str) -> frozenset[bytes]:
    """Every signed transaction of a chain's batches."""
    found: set[bytes] = set()
    for table in (payout_batches, payout_versions):
        query = select(table.c.txid).where(table.c.chain == chain, table.c.txid.is_not(None))
        found.update(connection.execute(query).scalars())
    return frozenset(found)


def batch_of_txid(connection: Connection, txid: bytes) -> str | None:
    """Which batch made a transaction."""
    for table, name in ((payout_batches, "id"), (payout_versions, "batch_id")):
        found = connection.execute(select(table.c[name]).where(table.c.txid == txid)).scalar_one_or_none()
        if found is not None:
            return str(found)
    return None


def make_way(connection: Connection, batch: Batch) -> None:
    """What a batch's further transactions had reserved and a later transaction of ours spends: it had been free."""
    assert batch.built is not None
    column = batch_inputs.c
    replaced = select(payout_versions.c.batch_id)
    for outpoint in batch.built.inputs:
        same = (column.chain == batch.chain, column.txid == outpoint.txid, column.vout == outpoint.vout)
        others = update(batch_inputs).where(*same, column.batch_id != batch.id, column.batch_id.in_(replaced))
        connection.execute(others.values(active=0))


def book_fee(connection: Connection, batch: Batch, parts: dict[int, int], now_ms: int) -> None:
    """The fee of a batch that is final, once; if it was booked for another version, only what the pool pays differs."""
    assert batch.built is not None
    if not ledger_store.post(connection, payment.fee(batch.chain, batch.id, batch.built.pool_fee, parts), now_ms):
        _correct(connection, batch, batch.built.pool_fee, now_ms)


def unbook_fee(connection: Connection, batch: Batch, now_ms: int) -> None:
    """The fee of a batch that will never be paid was none."""
    fee = ledger_store.find_group(connection, f"fee:{batch.chain}:{batch.id}")
    if fee is not None:
        _correct(connection, batch, movements(fee).get(EXPENSE_TXFEE, 0), now_ms)
        ledger_store.post(connection, payment.unfee(fee, batch.id), now_ms)


def booked_pool_fee(connection: Connection, chain: str, batch_id: str) -> tuple[int, int]:
    """What the ledger says that a booked batch cost the pool, and how often that was corrected."""
    booked, times = 0, 0
    group = ledger_store.find_group(connection, f"fee:{chain}:{batch_id}")
    while group is not None:
        booked += movements(group).get(EXPENSE_TXFEE, 0)
        times += 1
        group = ledger_store.find_group(connection, f"refee:{chain}:{batch_id}:{times}")
    return booked, max(times - 1, 0)


def _correct(connection: Connection, batch: Batch, pool_fee: int, now_ms: int) -> None:
    booked, times = booked_pool_fee(connection, batch.chain, batch.id)
    if booked != pool_fee:
        group = payment.refee(batch.chain, batch.id, times + 1, pool_fee - booked)
        ledger_store.post(connection, group, now_ms)
