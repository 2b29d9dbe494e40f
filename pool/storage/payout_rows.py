"""Batches between their rows and their values. Everything takes an open connection and leaves the commit to others."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, insert, select

from chains.wallet import Coin, Outpoint
from pool.payouts.batch import (
    EXCLUSIVE,
    Batch,
    BatchKind,
    BatchState,
    BuiltBatch,
    Change,
    FeePolicy,
    PaidOutput,
    Payout,
)
from pool.storage.payout_tables import batch_inputs, payout_batches, payout_outputs, payout_versions, payouts


def find(connection: Connection, batch_id: str) -> Batch | None:
    """A batch with everything that belongs to it."""
    return next(iter(_load(connection, select(payout_batches).where(payout_batches.c.id == batch_id))), None)


def watched(connection: Connection, chain: str) -> list[Batch]:
    """The chain's batches that something may still move, oldest first."""
    query = select(payout_batches).where(payout_batches.c.chain == chain, payout_batches.c.watched == 1)
    return _load(connection, query)


def before_sending(connection: Connection, chain: str) -> Batch | None:
    """The batch of a chain that no node was given yet, also when it is on hold there; there is at most one."""
    column = payout_batches.c
    early = [state.value for state in EXCLUSIVE]
    query = select(payout_batches).where(column.chain == chain, column.state.in_(early) | column.held_from.in_(early))
    return next(iter(_load(connection, query)), None)


def latest(connection: Connection, chain: str | None, limit: int) -> list[Batch]:
    """The newest batches, newest first."""
    query = select(payout_batches).order_by(payout_batches.c.created_ms.desc(), payout_batches.c.id.desc())
    if chain is not None:
        query = query.where(payout_batches.c.chain == chain)
    return _load(connection, query.limit(limit), newest_first=True)


def add(connection: Connection, batch: Batch, epoch: int) -> None:
    """The rows of a planned batch; what its payouts need in the ledger is there already."""
    connection.execute(
        insert(payout_batches).values(
            id=batch.id, chain=batch.chain, kind=batch.kind.value, state=batch.state.value, reason=batch.reason,
            fee_policy=batch.fee_policy.value, epoch=epoch, created_ms=batch.created_ms, updated_ms=batch.updated_ms,
        )
    )  # fmt: skip
    rows = [
        {
            "id": payout.id, "batch_id": batch.id, "place": place, "chain": batch.chain,
            "account_id": payout.account_id, "address": payout.address, "script_hex": payout.script.hex(),
            "gross": payout.gross, "minimum": payout.minimum, "state": "open",
        }
        for place, payout in enumerate(batch.payouts)
    ]  # fmt: skip
    if rows:
        connection.execute(insert(payouts), rows)


def add_built(connection: Connection, batch: Batch, built: BuiltBatch) -> None:
    """The inputs, now reserved, and the outputs. Raises IntegrityError when another batch has one of the coins."""
    add_inputs(connection, batch, built.coins)
    if built.outputs:
        connection.execute(
            insert(payout_outputs),
            [
                {"batch_id": batch.id, "payout_id": o.payout_id, "vout": o.vout, "net": o.net, "fee_part": o.fee_part}
                for o in built.outputs
            ],
        )


def add_inputs(connection: Connection, batch: Batch, coins: Sequence[Coin], first: int = 0) -> None:
    """The inputs from the place `first` on, reserved. Raises IntegrityError when another batch has one of them."""
    rows = [
        {
            "batch_id": batch.id, "place": place, "chain": batch.chain, "txid": coin.outpoint.txid,
            "vout": coin.outpoint.vout, "amount": coin.amount, "script_hex": coin.script.hex(), "active": 1,
        }
        for place, coin in enumerate(coins)
        if place >= first
    ]  # fmt: skip
    if rows:
        connection.execute(insert(batch_inputs), rows)


def add_version(connection: Connection, batch: Batch, signed_ms: int) -> None:
    """One signed transaction of a batch that has several: the present one of this value."""
    built = batch.built
    assert built is not None
    connection.execute(
        insert(payout_versions).values(
            batch_id=batch.id, number=batch.version, chain=batch.chain, signed_ms=signed_ms,
            input_count=len(built.coins), raw=batch.raw, txid=batch.txid, wtxid=batch.wtxid,
            **built_columns(built, batch.fee_rate or 0),
        )
    )  # fmt: skip


def remove_built(connection: Connection, batch_id: str) -> None:
    """Takes an unsigned batch's inputs and outputs back; the coins are free again."""
    connection.execute(delete(batch_inputs).where(batch_inputs.c.batch_id == batch_id))
    connection.execute(delete(payout_outputs).where(payout_outputs.c.batch_id == batch_id))


def built_columns(built: BuiltBatch, fee_rate: int) -> dict[str, Any]:
    """What a built batch's own row says."""
    change = built.change
    return {
        "fee_rate": fee_rate, "fee": built.fee, "pool_fee": built.pool_fee, "vsize": built.vsize,
        "unsigned_bytes": built.raw, "change_vout": change.vout if change else None,
        "change_amount": change.amount if change else None,
        "change_script_hex": change.script.hex() if change else None,
    }  # fmt: skip


NOT_BUILT: dict[str, Any] = dict.fromkeys(
    ("fee_rate", "fee", "pool_fee", "vsize", "unsigned_bytes", "change_vout", "change_amount", "change_script_hex")
)


def _load(connection: Connection, query: Select[Any], *, newest_first: bool = False) -> list[Batch]:
    if not newest_first:
        query = query.order_by(payout_batches.c.created_ms, payout_batches.c.id)
    rows = list(connection.execute(query))
    ids = [row.id for row in rows]
    # A dropped payout is void and no part of its batch any more, unless the whole batch is.
    wanted = select(payouts).where(payouts.c.batch_id.in_(ids)).order_by(payouts.c.batch_id, payouts.c.place)
    paid = _by_batch(connection.execute(wanted))
    coins = _by_batch(
        connection.execute(
            select(batch_inputs).where(batch_inputs.c.batch_id.in_(ids)).order_by(batch_inputs.c.place)
        )
    )
    outputs = _by_batch(
        connection.execute(
            select(payout_outputs).where(payout_outputs.c.batch_id.in_(ids)).order_by(payout_outputs.c.vout)
        )
    )
    versions = _by_batch(
        connection.execute(
            select(payout_versions).where(payout_versions.c.batch_id.in_(ids)).order_by(payout_versions.c.number.desc())
        )
    )
    return [
        _with_versions(
            _batch(row, paid.get(row.id, []), coins.get(row.id, []), outputs.get(row.id, [])),
            versions.get(row.id, []),
        )
        for row in rows
    ]


def _with_versions(batch: Batch, versions: Sequence[Row[Any]]) -> Batch:
    """A batch that has several transactions: their inputs are so many of the batch's first ones."""
    if not versions or batch.built is None:
        return batch
    coins = batch.built.coins
    made = []
    for row in versions:
        change = _change(row)
        built = dataclasses.replace(
            batch.built, raw=row.unsigned_bytes, coins=coins[: row.input_count], change=change, fee=row.fee,
            pool_fee=row.pool_fee, vsize=row.vsize,
        )  # fmt: skip
        version = dataclasses.replace(
            batch, built=built, raw=row.raw, txid=row.txid, wtxid=row.wtxid, fee_rate=row.fee_rate, version=row.number,
            replaced_ms=versions[0].signed_ms,
        )  # fmt: skip
        made.append(version)
    present = next(version for version in made if version.txid == batch.txid)
    return dataclasses.replace(present, others=tuple(version for version in made if version is not present))


def _by_batch(rows: Iterable[Row[Any]]) -> dict[str, list[Row[Any]]]:
    found: dict[str, list[Row[Any]]] = {}
    for row in rows:
        found.setdefault(row.batch_id, []).append(row)
    return found


def _batch(
    row: Row[Any], paid: Sequence[Row[Any]], coins: Sequence[Row[Any]], outputs: Sequence[Row[Any]]
) -> Batch:
    dropped = tuple(p.id for p in paid if p.state == "void") if row.state != "void" else ()
    return Batch(
        id=row.id,
        chain=row.chain,
        kind=BatchKind(row.kind),
        state=BatchState(row.state),
        fee_policy=FeePolicy(row.fee_policy),
        payouts=tuple(
            Payout(p.id, p.account_id, p.address, bytes.fromhex(p.script_hex), p.gross, p.minimum)
            for p in paid
            if p.id not in dropped
        ),
        created_ms=row.created_ms,
        updated_ms=row.updated_ms,
        held_from=BatchState(row.held_from) if row.held_from is not None else None,
        reason=row.reason,
        fee_rate=row.fee_rate,
        built=_built(row, coins, outputs, dropped) if row.unsigned_bytes is not None else None,
        raw=row.raw,
        txid=row.txid,
        wtxid=row.wtxid,
        confirmations=row.confirmations,
        block_hash_hex=row.block_hash_hex,
        height=row.height,
        conflict_txid=row.conflict_txid,
        sends=row.sends,
        sent_ms=row.sent_ms,
        bump_rate=row.bump_rate,
    )


def _built(
    row: Row[Any], coins: Sequence[Row[Any]], outputs: Sequence[Row[Any]], dropped: tuple[str, ...]
) -> BuiltBatch:
    # Confirmations and coinbase were judged when the coins were chosen; a signer needs neither.
    inputs = tuple(
        Coin(Outpoint(c.txid, c.vout), c.amount, bytes.fromhex(c.script_hex), 0, False) for c in coins
    )
    return BuiltBatch(
        raw=row.unsigned_bytes,
        coins=inputs,
        outputs=tuple(PaidOutput(o.payout_id, o.vout, o.net, o.fee_part) for o in outputs),
        change=_change(row),
        fee=row.fee,
        pool_fee=row.pool_fee,
        vsize=row.vsize,
        dropped=dropped,
    )


def _change(row: Row[Any]) -> Change | None:
    if row.change_vout is None:
        return None
    return Change(row.change_vout, row.change_amount, bytes.fromhex(row.change_script_hex))
