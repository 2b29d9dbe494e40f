"""Each step of a batch with everything that goes with it in the books: rows, coins, ledger. The caller's transaction.

Every step looks at the batch's state first and changes it only from there, so that two payers, or one that repeats
itself after a crash, can do no harm; the database's own rules stand behind it.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from sqlalchemy import Connection, insert, update

from pool.ledger import payment
from pool.ledger.transfer import LedgerError
from pool.payouts.batch import (
    Batch,
    BatchEvent,
    BatchKind,
    BatchState,
    BuiltBatch,
    StepRefusedError,
    after,
)
from pool.payouts.build import SignedIds
from pool.payouts.follow import Look
from pool.storage import ledger_store, payout_coins, payout_rows, payout_versions
from pool.storage.payout_tables import payout_attempts, payout_batches, payouts

REASON_LIMIT = 500


def plan(connection: Connection, batch: Batch, epoch: int, now_ms: int) -> bool:
    """A new batch, its payouts reserved. False, and nothing written, when its id is known. Raises LedgerError when
    somebody has not what he is to be paid, IntegrityError when another batch is on its way to its signature."""
    if payout_rows.find(connection, batch.id) is not None:
        return False
    cover = ledger_store.cover(connection, batch.chain)
    for payout in batch.payouts:
        if payout.account_id is not None:
            group = payment.reserve(batch.chain, payout.id, payout.account_id, payout.gross)
            ledger_store.post(connection, group, now_ms, cover)
    if batch.kind is BatchKind.WITHDRAW:
        total = sum(payout.gross for payout in batch.payouts)
        ledger_store.post(connection, payment.withdraw(batch.chain, batch.id, total), now_ms)
    payout_rows.add(connection, batch, epoch)
    return True


def build(connection: Connection, batch: Batch, built: BuiltBatch, fee_rate: int, epoch: int, now_ms: int) -> None:
    """Inputs are reserved, outputs fixed; payouts that did not fit are void and owed again."""
    _step(connection, batch, BatchEvent.BUILD, epoch, now_ms, **payout_rows.built_columns(built, fee_rate))
    payout_rows.add_built(connection, batch, built)
    _void_payouts(connection, batch, now_ms, only=frozenset(built.dropped))


def replan(connection: Connection, batch: Batch, reason: str, epoch: int, now_ms: int) -> None:
    """Nothing was signed: the coins are free, the payouts are planned still."""
    payout_rows.remove_built(connection, batch.id)
    _step(connection, batch, BatchEvent.REPLAN, epoch, now_ms, reason=reason, **payout_rows.NOT_BUILT)


def sign(connection: Connection, batch: Batch, raw: bytes, ids: SignedIds, epoch: int, now_ms: int) -> None:
    """The point of no return."""
    values = {"raw": raw, "txid": ids.txid, "wtxid": ids.wtxid, "reason": ""}
    _step(connection, batch, BatchEvent.SIGN, epoch, now_ms, **values)
    attempt(connection, batch, "sign", "signed", "", now_ms)


def replace(
    connection: Connection, batch: Batch, built: BuiltBatch, raw: bytes, ids: SignedIds, fee_rate: int, epoch: int,
    now_ms: int,
) -> None:  # fmt: skip
    """A further signed transaction of a signed batch: the one to be sent from now on, at once."""
    version = dataclasses.replace(
        batch, built=built, raw=raw, txid=ids.txid, wtxid=ids.wtxid, fee_rate=fee_rate,
        version=payout_versions.next_number(batch),
    )  # fmt: skip
    values = payout_versions.add(connection, batch, version, now_ms)
    again = {"sends": 0, "sent_ms": None, "bump_rate": None, "reason": ""}
    _step(connection, batch, BatchEvent.REPLACE, epoch, now_ms, **values, **again)
    attempt(connection, batch, "replace", "signed", f"fee {built.fee} at a rate of {fee_rate}", now_ms)


def end_bump(connection: Connection, batch: Batch, words: str, now_ms: int) -> None:
    """The operator's order to raise the fee cannot be carried out."""
    connection.execute(update(payout_batches).where(payout_batches.c.id == batch.id).values(bump_rate=None))
    attempt(connection, batch, "replace", "refused", words, now_ms)


def attempt(connection: Connection, batch: Batch, action: str, result: str, reason: str, now_ms: int) -> None:
    """Writes down what a wallet or node answered."""
    row = {"batch_id": batch.id, "made_ms": now_ms, "action": action, "result": result, "reason": reason[:REASON_LIMIT]}
    connection.execute(insert(payout_attempts), [row])
    if action == "send":
        column = payout_batches.c
        sent = update(payout_batches).where(column.id == batch.id)
        connection.execute(sent.values(sends=column.sends + 1, sent_ms=now_ms))


def seen(connection: Connection, batch: Batch, look: Look, now_ms: int) -> None:
    """Where the transaction was last seen, and which of them it is; moves nothing. Not for a settled batch whose place
    another version took: that one is reopened first."""
    if look.version is not None:
        payout_versions.choose(connection, batch, look.version, now_ms)
    values: dict[str, Any] = {
        "confirmations": look.confirmations, "block_hash_hex": look.block_hash_hex, "height": look.height,
        "updated_ms": now_ms,
    }  # fmt: skip
    connection.execute(update(payout_batches).where(payout_batches.c.id == batch.id).values(**values))


def move(
    connection: Connection,
    batch: Batch,
    event: BatchEvent,
    epoch: int,
    now_ms: int,
    *,
    reason: str = "",
    conflict_txid: bytes | None = None,
) -> BatchState:
    """Any other step. `conflict_txid` proves that a signed batch is dead."""
    values: dict[str, Any] = {"reason": reason[:REASON_LIMIT]}
    if event is BatchEvent.CONFLICT or (event is BatchEvent.VOID and conflict_txid is not None):
        values["conflict_txid"] = conflict_txid
    if event is BatchEvent.HOLD:
        values["held_from"] = batch.state.value
    elif batch.state is BatchState.HOLD:
        values["held_from"] = None
    if event is BatchEvent.CONFIRM:
        values["bump_rate"] = None
    if event is BatchEvent.SETTLE:
        values["settled_ms"] = now_ms
    if event is BatchEvent.VOID:
        values["watched"] = 0
        if not batch.signed:
            payout_rows.remove_built(connection, batch.id)
            values |= payout_rows.NOT_BUILT
    state = _step(connection, batch, event, epoch, now_ms, **values)
    if event is BatchEvent.SETTLE:
        _settle(connection, batch, now_ms)
    elif event is BatchEvent.VOID:
        _void(connection, batch, now_ms)
    return state


def retire(connection: Connection, batch: Batch) -> None:
    """A settled batch so deep that nothing is expected to move it any more."""
    column = payout_batches.c
    retired = update(payout_batches).where(column.id == batch.id, column.state == "settled").values(watched=0)
    if connection.execute(retired).rowcount:
        payout_coins.let_go(connection, batch)


def adopt(connection: Connection, batch: Batch, epoch: int, now_ms: int) -> bool:
    """Takes a signed batch, or a further transaction of one, that the books do not know, out of the payout file, as it
    was. False when they know it. A row of it from before its signature gives way. Raises LedgerError when the accounts
    have not what it pays.
    """
    assert batch.built is not None and batch.raw is not None and batch.txid is not None and batch.wtxid is not None
    payout_versions.make_way(connection, batch)
    known = payout_rows.find(connection, batch.id)
    if known is not None and known.signed:
        if batch.txid in {version.txid for version in known.versions}:
            return False
        values = payout_versions.add(connection, known, batch, now_ms)
        if known.replaceable:
            _step(connection, known, BatchEvent.REPLACE, epoch, now_ms, **values)
        return True
    _make_room(connection, batch, epoch, now_ms)
    if known is None:
        plan(connection, dataclasses.replace(batch, state=BatchState.PLANNED), epoch, now_ms)
    elif known.state is BatchState.BUILT:
        replan(connection, known, "its signed transaction is in the payout file", epoch, now_ms)
    planned = payout_rows.find(connection, batch.id)
    assert planned is not None
    # What the file does not pay had been dropped when it was built.
    paid = {output.payout_id for output in batch.built.outputs}
    dropped = tuple(payout.id for payout in planned.payouts if payout.id not in paid)
    build(connection, planned, dataclasses.replace(batch.built, dropped=dropped), batch.fee_rate or 0, epoch, now_ms)
    built = payout_rows.find(connection, batch.id)
    assert built is not None
    ids = SignedIds(batch.txid, batch.wtxid, batch.built.vsize)
    sign(connection, built, batch.raw, ids, epoch, now_ms)
    return True


def _make_room(connection: Connection, batch: Batch, epoch: int, now_ms: int) -> None:
    """A chain has one batch before its sending, so another that stands there had left when this one was planned: it was
    sent if it is signed, and given up if not."""
    other = payout_rows.before_sending(connection, batch.chain)
    if other is None or other.id == batch.id:
        return
    reason = f"batch {batch.id} came after it"
    if not other.signed:
        move(connection, other, BatchEvent.VOID, epoch, now_ms, reason=reason)
    elif other.state is BatchState.HOLD:
        move(connection, other, BatchEvent.RELEASE, epoch, now_ms, reason=reason)
        _make_room(connection, batch, epoch, now_ms)
    else:
        move(connection, other, BatchEvent.SEND, epoch, now_ms, reason=reason)


def _step(
    connection: Connection, batch: Batch, event: BatchEvent, epoch: int, now_ms: int, **values: Any
) -> BatchState:
    """The batch's state, changed only from where it is thought to be. Raises StepRefusedError."""
    state = after(batch.state, event, batch.held_from)
    column = payout_batches.c
    changed = update(payout_batches).where(column.id == batch.id, column.state == batch.state.value)
    row = {"state": state.value, "epoch": epoch, "updated_ms": now_ms} | values
    if connection.execute(changed.values(**row)).rowcount != 1:
        raise StepRefusedError(f"batch {batch.id} is no longer {batch.state}")
    return state


def _settle(connection: Connection, batch: Batch, now_ms: int) -> None:
    """The payment is final. A batch that a reorg had reopened is in the books already, and nothing is booked twice."""
    assert batch.built is not None
    accounts = {payout.id: payout.account_id for payout in batch.payouts}
    parts: dict[int, int] = {}
    for output in batch.built.outputs:
        account_id = accounts[output.payout_id]
        if account_id is not None:
            group = payment.settle(batch.chain, output.payout_id, account_id, output.net)
            ledger_store.post(connection, group, now_ms)
            parts[account_id] = parts.get(account_id, 0) + output.fee_part
    payout_versions.book_fee(connection, batch, parts, now_ms)
    for output in batch.built.outputs:
        paid = {"txid": batch.txid, "vout": output.vout, "net": output.net, "fee_part": output.fee_part}
        row = update(payouts).where(payouts.c.id == output.payout_id)
        connection.execute(row.values(state="settled", **paid))
    payout_coins.settle_coins(connection, batch, now_ms)


def _void(connection: Connection, batch: Batch, now_ms: int) -> None:
    """Never paid by this batch. What had been booked as settled is undone first."""
    payout_versions.unbook_fee(connection, batch, now_ms)
    _void_payouts(connection, batch, now_ms)
    taken = ledger_store.find_group(connection, f"withdraw:{batch.chain}:{batch.id}")
    if taken is not None:
        ledger_store.post(connection, payment.unwithdraw(taken, batch.id), now_ms)
    payout_coins.unsettle_coins(connection, batch)


def _void_payouts(
    connection: Connection, batch: Batch, now_ms: int, only: frozenset[str] | None = None
) -> None:
    for payout in batch.payouts:
        if only is not None and payout.id not in only:
            continue
        if payout.account_id is not None:
            settled = ledger_store.find_group(connection, f"settle:{batch.chain}:{payout.id}")
            if settled is not None:
                ledger_store.post(connection, payment.unsettle(settled, payout.id), now_ms)
            group = payment.void(batch.chain, payout.id, payout.account_id, payout.gross)
            if not ledger_store.post(connection, group, now_ms):
                raise LedgerError(f"{group.id} is booked, but the payout is not void")
        connection.execute(update(payouts).where(payouts.c.id == payout.id).values(state="void"))
