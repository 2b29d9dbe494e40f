"""What a look at the chain means for a signed batch: never send again, always send the same.

A look is taken at a synced node only. Whatever an answer to a broadcast says, the chain decides (P1, P8): a transaction
that is in a block confirms, one that fell out of its block is sent again as the same bytes, and only a conflicting
transaction buried as deep as a coinbase matures makes a batch dead. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from chains.wallet import SendAnswer, SendResult, WalletTransaction
from pool.payouts.batch import Batch, BatchEvent, BatchState

FIRST_RESEND_MS = 30_000
LAST_RESEND_MS = 600_000
ALARM_MS = 3_600_000
"""A batch that no node took, or no miner, within an hour is told as an alarm."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """A confirmed transaction, none of the batch's own, that spends an input which all of its versions have: `txid` is
    None when the wallet tells only that there is one. `ours` says that some other batch of the books made it.
    """

    txid: bytes | None
    depth: int
    ours: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """A batch's transaction as a synced node and its wallet show it; `confirmations` is 0 while it is in no block.
    `version` is the number of the one that is in a block, when it is another than the books go by.
    """

    confirmations: int = 0
    block_hash_hex: str | None = None
    height: int | None = None
    conflict: Conflict | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Follow:
    """What to do now: at most one event, and whether the bytes are to be sent again. `words` go to log and books."""

    event: BatchEvent | None = None
    send: bool = False
    words: str = ""


def look_from(transaction: WalletTransaction | None, conflict: Conflict | None) -> Look:
    """A look out of the wallet's answer. A negative number of confirmations is a conflict, known by name or not."""
    if transaction is None:
        return Look(conflict=conflict)
    if transaction.confirmations < 0:
        return Look(conflict=conflict or Conflict(None, -transaction.confirmations))
    if transaction.confirmations > 0:
        return Look(transaction.confirmations, transaction.block_hash_hex, transaction.height)
    return Look(conflict=conflict)


def follow(batch: Batch, look: Look, *, final: int, maturity: int) -> Follow:
    """The one step that a look asks for. `final` are the confirmations of a settled payout, `maturity` the depth from
    which a conflict is for good. A batch that is void or on hold is not moved.
    """
    state = batch.state
    if state in (BatchState.HOLD, BatchState.VOID) or not batch.signed:
        return Follow()
    if look.confirmations > 0:
        if state is BatchState.SETTLED and look.version is not None:
            return Follow(BatchEvent.REOPEN, words="a reorg put another transaction of the batch in its place")
        return _seen(state, look.confirmations, final)
    if state is BatchState.SETTLED:
        return Follow(BatchEvent.REOPEN, words="a reorg took a settled transaction out of the chain")
    conflict = look.conflict
    if state is BatchState.CONFLICTED and conflict is not None and conflict.depth >= maturity:
        return _dead(conflict)
    if state is BatchState.CONFIRMING and conflict is None:
        return Follow(BatchEvent.DROP, words="its block left the chain")
    if conflict is not None and state is not BatchState.CONFLICTED:
        return Follow(BatchEvent.CONFLICT, words=_named(conflict))
    return Follow(send=conflict is None)  # a conflicting transaction in a block makes sending pointless


def _seen(state: BatchState, confirmations: int, final: int) -> Follow:
    if state is BatchState.SETTLED:
        if confirmations >= final:
            return Follow()
        return Follow(BatchEvent.REOPEN, words=f"a reorg left {confirmations} confirmations")
    if state is not BatchState.CONFIRMING:
        return Follow(BatchEvent.CONFIRM)
    return Follow(BatchEvent.SETTLE) if confirmations >= final else Follow()


def _dead(conflict: Conflict) -> Follow:
    """A conflict is deep. Only when it is known and a stranger's may the batch's payouts be planned again."""
    if conflict.txid is None:
        return Follow(BatchEvent.HOLD, words="an input is spent for good by a transaction that the wallet cannot name")
    if conflict.ours:
        return Follow(BatchEvent.HOLD, words=f"{_named(conflict)}, a transaction of another batch of ours")
    return Follow(BatchEvent.VOID, words=_named(conflict))


def _named(conflict: Conflict) -> str:
    name = conflict.txid[::-1].hex() if conflict.txid is not None else "an unknown transaction"
    return f"an input is spent by {name}, {conflict.depth} deep"


def after_send(state: BatchState, answer: SendAnswer, *, found: bool) -> Follow:
    """What the answer to a broadcast means. `found` tells whether wallet or chain know our own txid, looked up after
    the answer. Fees too low and refusals change nothing: the same bytes are sent again (an alarm tells after an hour).
    """
    if answer.result in (SendResult.SENT, SendResult.KNOWN, SendResult.CONFIRMED):
        if state is BatchState.SIGNED:
            return Follow(BatchEvent.SEND)
        return Follow(BatchEvent.CLEAR) if state is BatchState.CONFLICTED else Follow()
    unsure = state in (BatchState.SIGNED, BatchState.BROADCAST) and not found
    if answer.result is SendResult.MISSING_INPUTS and unsure:
        return Follow(BatchEvent.CONFLICT, words=f"an input is gone: {answer.reason}")
    return Follow(words=answer.reason)


def resend_due(batch: Batch, now_ms: int) -> bool:
    """Whether the bytes are to be sent again: after 30 s, 1 min, 2 min … at most every 10 minutes. A clock that went
    back makes it due."""
    if batch.sent_ms is None or now_ms < batch.sent_ms:
        return True
    return now_ms - batch.sent_ms >= min(LAST_RESEND_MS, FIRST_RESEND_MS << min(max(batch.sends - 1, 0), 10))


def is_stuck(batch: Batch, now_ms: int) -> bool:
    """Whether a signed batch, or what took its place, is in no block after an hour, or waits for an operator."""
    if batch.state in (BatchState.CONFLICTED, BatchState.HOLD):
        return True
    waits = batch.state in (BatchState.SIGNED, BatchState.BROADCAST)
    return waits and now_ms - (batch.replaced_ms or batch.created_ms) >= ALARM_MS
