"""What the operator orders of a chain's payouts: withdrawals, sweeps, consolidations, and decisions about batches.

Nothing here signs or sends: an order is a planned batch, or a step of one that waits, and the chain's payer goes on
from there. An order is named by the operator, so that giving it twice is giving it once. Everything takes an open
connection and leaves the commit to its caller.
"""

from __future__ import annotations

from sqlalchemy import Connection, select

from pool.ledger.transfer import LedgerError
from pool.payouts.batch import Batch, BatchEvent, BatchKind, BatchState, FeePolicy, Payout, StepRefusedError
from pool.storage import payout_rows, payout_steps
from pool.storage.payout_tables import payer_epochs, payout_batches


class OrderRefusedError(LedgerError):
    """An order that cannot be taken: one sentence."""


def order(
    connection: Connection, chain: str, kind: BatchKind, reference: str, outputs: tuple[Payout, ...], now_ms: int
) -> Batch:
    """A planned batch of the operator's, named `KIND-CHAIN-REFERENCE`; the same order again gives the same batch as it
    is by now. Raises OrderRefusedError, and LedgerError when a withdrawal is not covered (I13)."""
    batch_id = f"{kind}-{chain}-{reference}"
    known = payout_rows.find(connection, batch_id)
    wanted = [(payout.script, payout.gross) for payout in outputs]
    if known is not None:
        if [(payout.script, payout.gross) for payout in known.payouts] != wanted:
            raise OrderRefusedError(f"{reference} was used for another {kind}; take another reference")
        return known
    column = payout_batches.c
    waiting = select(column.id).where(
        column.chain == chain,
        column.state.in_(("planned", "built", "signed")) | column.held_from.in_(("planned", "built", "signed")),
    )
    other = connection.execute(waiting).scalar_one_or_none()
    if other is not None:
        raise OrderRefusedError(f"batch {other} is not sent yet; try again when it is")
    batch = Batch(batch_id, chain, kind, BatchState.PLANNED, FeePolicy.POOL, outputs, now_ms, now_ms)
    payout_steps.plan(connection, batch, epoch(connection, chain), now_ms)
    return batch


def payout_id(chain: str, kind: BatchKind, reference: str) -> str:
    """The id of the one payout of an order."""
    return f"{kind}-{chain}-{reference}-0"


def release_batch(
    connection: Connection, batch_id: str, reason: str, now_ms: int, *, chain: str | None = None
) -> BatchState:
    """A batch on hold goes on where it was; one that is not on hold stays as it is. Raises OrderRefusedError, here and
    below also when it is not of the chain that is named."""
    batch = _known(connection, batch_id, chain)
    if batch.state is not BatchState.HOLD:
        return batch.state
    number = epoch(connection, batch.chain)
    return payout_steps.move(connection, batch, BatchEvent.RELEASE, number, now_ms, reason=f"released: {reason}")


def hold_batch(
    connection: Connection, batch_id: str, reason: str, now_ms: int, *, chain: str | None = None
) -> BatchState:
    """A batch waits from here on. Raises OrderRefusedError, also for one that is final."""
    batch = _known(connection, batch_id, chain)
    if batch.state is BatchState.HOLD:
        return batch.state
    number = epoch(connection, batch.chain)
    try:
        return payout_steps.move(connection, batch, BatchEvent.HOLD, number, now_ms, reason=f"operator: {reason}")
    except StepRefusedError as error:
        raise OrderRefusedError(str(error)) from error


def void_batch(
    connection: Connection, batch_id: str, reason: str, now_ms: int, *, conflict_txid: bytes | None = None,
    chain: str | None = None,
) -> BatchState:  # fmt: skip
    """Gives a batch on hold up: what it reserved is available again. One that was signed only with the transaction that
    makes it impossible, which the caller has looked up. Raises OrderRefusedError."""
    batch = _known(connection, batch_id, chain)
    if batch.state is BatchState.VOID:
        return batch.state
    if batch.state is not BatchState.HOLD:
        raise OrderRefusedError(f"batch {batch_id} is {batch.state}; only one on hold can be given up")
    if conflict_txid is not None and conflict_txid in {version.txid for version in batch.versions}:
        raise OrderRefusedError(f"that is a transaction of batch {batch_id} itself")
    if batch.signed and conflict_txid is None:
        raise OrderRefusedError(f"batch {batch_id} is signed and may be paid any time; name the transaction in its way")
    return payout_steps.move(
        connection, batch, BatchEvent.VOID, epoch(connection, batch.chain), now_ms, reason=f"operator: {reason}",
        conflict_txid=conflict_txid,
    )  # fmt: skip


def epoch(connection: Connection, chain: str) -> int:
    """The present payer's number: an order is part of its time."""
    column = payer_epochs.c
    return connection.execute(select(column.epoch).where(column.chain == chain)).scalar_one_or_none() or 0


def _known(connection: Connection, batch_id: str, chain: str | None) -> Batch:
    batch = payout_rows.find(connection, batch_id)
    if batch is None:
        raise OrderRefusedError(f"there is no batch {batch_id}")
    if chain is not None and batch.chain != chain:
        raise OrderRefusedError(f"batch {batch_id} is one of {batch.chain}, not of {chain}")
    return batch
