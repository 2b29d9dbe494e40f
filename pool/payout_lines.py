"""What `pool payouts show` says, line by line, out of a snapshot of the books."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, select

from pool.payouts.batch import Batch, BatchState
from pool.payouts.reconcile import named
from pool.storage import payout_coins, payout_holds, payout_rows
from pool.storage.payout_store import funds
from pool.storage.payout_tables import payout_attempts, payouts

WAITS_FOR_OPERATOR = (BatchState.HOLD, BatchState.CONFLICTED)
ATTEMPTS_SHOWN = 20


def standing_lines(
    connection: Connection, chains: Sequence[str], last: int, reasons: Mapping[str, Sequence[str]]
) -> tuple[list[str], bool]:
    """How the chains' payouts stand, and whether nothing waits for the operator. `reasons` are the lines that say why
    nothing is paid now, by chain."""
    lines: list[str] = []
    good = True
    for chain in chains:
        found = funds(connection, chain)
        lines.append(
            f"{chain}: wallet {found.cover.wallet}, owed {found.cover.owed}, above it {found.cover.surplus}"
            f" ({found.pending_fees} of it for fees on their way)"
        )
        for hold in payout_holds.in_force(connection, chain):
            good = False
            lines.append(f"  on hold since {_time(hold.placed_ms)}, cause {hold.cause}: {hold.reason}")
        lines += [f"  {reason}" for reason in reasons.get(chain, ())]
        for batch in payout_rows.latest(connection, chain, last):
            good = good and batch.state not in WAITS_FOR_OPERATOR
            lines.append("  " + _batch_line(batch))
        for coin in payout_coins.deposits(connection, chain):
            lines.append(f"  deposit {named(coin.outpoint)} of {coin.amount}")
        for bad in payout_holds.quarantined(connection, chain):
            lines.append(f"  quarantined account {bad.account_id} address {bad.address!a}: {bad.reason}")
    return lines, good


def batch_lines(connection: Connection, batch_id: str, chain: str | None = None) -> tuple[list[str], bool]:
    """One batch, its payouts and what was answered; an unknown one, or of another chain, is not good."""
    batch = payout_rows.find(connection, batch_id)
    if batch is None:
        return [f"there is no batch {batch_id}"], False
    if chain is not None and batch.chain != chain:
        return [f"batch {batch_id} is one of {batch.chain}, not of {chain}"], False
    lines = [_batch_line(batch)]
    query = select(payouts).where(payouts.c.batch_id == batch_id).order_by(payouts.c.place)
    for row in connection.execute(query):
        paid = f", {row.net} arrived as output {row.vout}" if row.state == "settled" else ""
        lines.append(f"  {row.state} {row.gross} to {row.address}{paid}")
    attempts = payout_attempts.c
    answers = select(payout_attempts).where(attempts.batch_id == batch_id).order_by(attempts.id.desc())
    for row in reversed(connection.execute(answers.limit(ATTEMPTS_SHOWN)).all()):
        lines.append(f"  {_time(row.made_ms)} {row.action}: {row.result}{f', {row.reason}' if row.reason else ''}")
    return lines, batch.state not in WAITS_FOR_OPERATOR


def _batch_line(batch: Batch) -> str:
    words = [f"batch {batch.id} {batch.kind} {batch.state} since {_time(batch.updated_ms)}:"]
    words.append(f"{len(batch.payouts)} payouts of {sum(payout.gross for payout in batch.payouts)}")
    if batch.built is not None:
        words.append(f"fee {batch.built.fee}")
    if batch.txid is not None:
        words.append(f"txid {batch.txid[::-1].hex()} confirmations {batch.confirmations}")
    if batch.held_from is not None:
        words.append(f"held from {batch.held_from}")
    return " ".join(words) + (f": {batch.reason}" if batch.reason else "")


def _time(time_ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_ms / 1000))
