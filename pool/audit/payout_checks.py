"""Payouts once more: every payout against the ledger's groups and the signed bytes that paid it, every batch against
its bytes, and the coins of the books against the ledger's wallet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from pool.audit.finding import Finding
from pool.audit.paid_bytes import PaidBytes, paid_bytes
from pool.ledger.account import EXPENSE_TXFEE
from pool.storage import ledger_store, payout_coins, payout_versions
from pool.storage.payout_tables import batch_inputs, payout_batches, payout_outputs, payouts
from pool.storage.payout_tables import payout_versions as versions


def check_payouts(connection: Connection) -> list[Finding]:
    """Findings of all chains; nothing for books that never paid anybody."""
    found: list[Finding] = []
    column = payout_batches.c
    for row in connection.execute(select(payout_batches).order_by(column.chain, column.created_ms, column.id)).all():
        found += _batch(connection, row)
    for chain in connection.execute(select(column.chain).distinct().order_by(column.chain)).scalars().all():
        found += _coins(connection, chain)
    return found


def _batch(connection: Connection, batch: Row[Any]) -> list[Finding]:
    """I7 and I8 of a batch's payouts."""
    found: list[Finding] = []
    subject = f"{batch.chain} batch {batch.id}"
    transaction = paid_bytes(batch.raw)
    if batch.raw is not None:
        if transaction is None or (transaction.txid, transaction.wtxid) != (batch.txid, batch.wtxid):
            return [Finding("I8", subject, "its signed bytes are not the transaction of its id")]
        found += [Finding("I8", subject, fault) for fault in _signed_faults(connection, batch, transaction)]
    settled_fees: dict[int, int] = {}
    for row in connection.execute(select(payouts).where(payouts.c.batch_id == batch.id).order_by(payouts.c.place)):
        found += [Finding("I7", f"{subject} payout {row.id}", fault) for fault in _ledger_faults(connection, row)]
        if row.state == "settled":
            if row.account_id is not None:
                settled_fees[row.account_id] = settled_fees.get(row.account_id, 0) + row.fee_part
            output = transaction.output(row.vout) if transaction is not None and row.txid == batch.txid else None
            if output != (row.net, row.script_hex):
                found.append(Finding("I8", f"{subject} payout {row.id}", "no output of the transaction pays it"))
    if batch.state == "settled":
        borne = _fee_borne(connection, batch)
        if borne != batch.fee or batch.fee != batch.pool_fee + sum(settled_fees.values()):
            found.append(Finding("I7", subject, f"its fee is {batch.fee}, the ledger has {borne}"))
    return found


def _fee_borne(connection: Connection, batch: Row[Any]) -> int | None:
    """What the ledger has of a batch's fee: the miners' parts, and the pool's as it was last corrected."""
    group = ledger_store.find_group(connection, f"fee:{batch.chain}:{batch.id}")
    if group is None:
        return None
    parts = sum(transfer.amount for transfer in group.transfers if transfer.debit != EXPENSE_TXFEE)
    return parts + payout_versions.booked_pool_fee(connection, batch.chain, batch.id)[0]


def _signed_faults(connection: Connection, batch: Row[Any], transaction: PaidBytes) -> list[str]:
    """The batch's transaction and, when its fee was raised, all others that it has: each pays the same and spends the
    first so many of the inputs."""
    inputs = connection.execute(
        select(batch_inputs).where(batch_inputs.c.batch_id == batch.id).order_by(batch_inputs.c.place)
    ).all()
    column = versions.c
    others = connection.execute(select(versions).where(column.batch_id == batch.id).order_by(column.number)).all()
    if not others:
        return _balance_faults(connection, batch.id, batch, transaction, inputs)
    faults = [] if batch.txid in {row.txid for row in others} else ["its transaction is none of those that it has"]
    for row in others:
        version = paid_bytes(row.raw)
        if version is None or (version.txid, version.wtxid) != (row.txid, row.wtxid):
            faults.append(f"the bytes of its transaction {row.number} are not that of its id")
            continue
        spent = inputs[: row.input_count]
        faults += _balance_faults(connection, batch.id, row, version, spent)
    return faults


def _balance_faults(
    connection: Connection, batch_id: str, row: Row[Any], paid: PaidBytes, inputs: Sequence[Row[Any]]
) -> list[str]:
    """What goes in is what goes out and the fee, and every planned output is there. `row` has the fee, and the change,
    which the bytes of a transfer do not have."""
    faults = []
    if paid.inputs is not None and list(paid.inputs) != [(i.txid, i.vout) for i in inputs]:
        faults.append("its inputs are not those that were reserved")
    elif paid.fee not in (None, row.fee):
        faults.append(f"its transfer's fee is {paid.fee}, not {row.fee}")
    else:
        out = sum(amount for amount, _ in paid.outputs) + (0 if paid.fee is None else row.change_amount or 0)
        if sum(i.amount for i in inputs) != out + row.fee:
            faults.append("its inputs and outputs differ by something else than its fee")
    for planned in connection.execute(select(payout_outputs).where(payout_outputs.c.batch_id == batch_id)):
        output = paid.output(planned.vout)
        if output is None or output[0] != planned.net:
            faults.append(f"output {planned.vout} does not hold the {planned.net} of payout {planned.payout_id}")
    return faults


def _ledger_faults(connection: Connection, row: Row[Any]) -> list[str]:
    """reserve = settle + the miner's part of the fee, or reserve = void, or it is open."""
    if row.account_id is None:
        return []
    reserved, settled, voided, unsettled = (
        _moved(connection, f"{kind}:{row.chain}:{row.id}") for kind in ("reserve", "settle", "void", "unsettle")
    )
    faults = []
    if reserved != row.gross:
        faults.append(f"{row.gross} were to be paid, {reserved} were reserved")
    standing = None if settled == unsettled else settled
    expected = {"open": (None, None), "settled": (row.net, None), "void": (None, row.gross)}[row.state]
    # A settled payout whose block a reorg took stays settled until its transaction can never come back.
    if (standing, voided) != expected:
        faults.append(f"it is {row.state}, the ledger has settled {standing} and given back {voided}")
    return faults


def _coins(connection: Connection, chain: str) -> list[Finding]:
    """The coins of the books, with the income that the wallet has not shown yet, are what the ledger says it holds."""
    view = payout_coins.books_view(connection, chain, (), ())
    coins = sum(coin.amount for coin in view.coins.values())
    awaited = sum(income.amount if income.mature else income.partly for income in view.incomes.values())
    if coins + awaited == view.wallet:
        return []
    return [Finding("I9", chain, f"the wallet's coins are {coins} and {awaited} awaited, its balance is {view.wallet}")]


def _moved(connection: Connection, group_id: str) -> int | None:
    group = ledger_store.find_group(connection, group_id)
    return sum(transfer.amount for transfer in group.transfers) if group is not None else None
