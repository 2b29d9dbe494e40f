"""Payouts once more: every payout against the ledger's groups and the signed bytes that paid it, every batch against
its bytes, and the coins of the books against the ledger's wallet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from chains.primitives.serialize import MalformedError
from chains.primitives.transaction import Transaction, parse_transaction
from pool.audit.finding import Finding
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
    transaction = _parsed(batch)
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
            output = _output(transaction, row.vout) if row.txid == batch.txid else None
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


def _signed_faults(connection: Connection, batch: Row[Any], transaction: Transaction) -> list[str]:
    """The batch's transaction and, when its fee was raised, all others that it has: each pays the same and spends the
    first so many of the inputs."""
    inputs = connection.execute(
        select(batch_inputs).where(batch_inputs.c.batch_id == batch.id).order_by(batch_inputs.c.place)
    ).all()
    column = versions.c
    others = connection.execute(select(versions).where(column.batch_id == batch.id).order_by(column.number)).all()
    if not others:
        return _balance_faults(connection, batch.id, batch.fee, transaction, inputs)
    faults = [] if batch.txid in {row.txid for row in others} else ["its transaction is none of those that it has"]
    for row in others:
        version = _parsed(row)
        if version is None or (version.txid, version.wtxid) != (row.txid, row.wtxid):
            faults.append(f"the bytes of its transaction {row.number} are not that of its id")
            continue
        spent = inputs[: row.input_count]
        faults += _balance_faults(connection, batch.id, row.fee, version, spent)
    return faults


def _balance_faults(
    connection: Connection, batch_id: str, fee: int, transaction: Transaction, inputs: Sequence[Row[Any]]
) -> list[str]:
    """What goes in is what goes out and the fee, and every planned output is there."""
    faults = []
    if [(i.previous_txid, i.previous_index) for i in transaction.inputs] != [(i.txid, i.vout) for i in inputs]:
        faults.append("its inputs are not those that were reserved")
    elif sum(i.amount for i in inputs) != sum(output.amount_sat for output in transaction.outputs) + fee:
        faults.append("its inputs and outputs differ by something else than its fee")
    for row in connection.execute(select(payout_outputs).where(payout_outputs.c.batch_id == batch_id)):
        output = _output(transaction, row.vout)
        if output is None or output[0] != row.net:
            faults.append(f"output {row.vout} does not hold the {row.net} of payout {row.payout_id}")
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
    awaited = sum(income.amount for income in view.incomes.values() if income.mature)
    if coins + awaited == view.wallet:
        return []
    return [Finding("I9", chain, f"the wallet's coins are {coins} and {awaited} awaited, its balance is {view.wallet}")]


def _moved(connection: Connection, group_id: str) -> int | None:
    group = ledger_store.find_group(connection, group_id)
    return sum(transfer.amount for transfer in group.transfers) if group is not None else None


def _output(transaction: Transaction | None, vout: int) -> tuple[int, str] | None:
    if transaction is None or vout >= len(transaction.outputs):
        return None
    return transaction.outputs[vout].amount_sat, transaction.outputs[vout].script.hex()


def _parsed(batch: Row[Any]) -> Transaction | None:
    if batch.raw is None:
        return None
    try:
        return parse_transaction(batch.raw)
    except MalformedError:
        return None
