"""What node and wallet show of a signed batch: where its transaction is, or which other one took a coin of it."""

from __future__ import annotations

from chains.primitives.serialize import MalformedError
from chains.primitives.transaction import parse_transaction
from chains.wallet import ChainWallet, Outpoint, Tip
from pool.payouts.batch import Batch, BatchState
from pool.payouts.follow import Conflict, Look, look_from
from pool.services.payout_books import InThread, PayoutBooks

REACH = 3
"""A conflict is looked for so many times as deep as a coinbase matures; of an older one the wallet tells no name."""


async def look_at(
    batch: Batch, tip: Tip, wallet: ChainWallet, books: PayoutBooks, maturity: int, in_thread: InThread
) -> Look:
    """A look at a signed batch. Raises NodeUnavailableError and WalletRefusedError."""
    assert batch.txid is not None
    transaction = await wallet.transaction(batch.txid)
    if transaction is not None and transaction.confirmations > 0:
        return look_from(transaction, None)
    suspicious = transaction is None or transaction.confirmations < 0 or batch.state is BatchState.CONFLICTED
    if not suspicious:
        return look_from(transaction, None)
    since = max(0, min(batch.height or tip.height, tip.height) - REACH * maturity)
    return look_from(transaction, await _conflict(batch, since, wallet, books, in_thread))


async def _conflict(
    batch: Batch, since: int, wallet: ChainWallet, books: PayoutBooks, in_thread: InThread
) -> Conflict | None:
    """The confirmed transaction, if there is one, that spends an input of the batch. The coin is the wallet's own, so
    the wallet knows who spent it."""
    assert batch.built is not None
    inputs = set(batch.built.inputs)
    for transaction in await wallet.transactions_since(since):
        if transaction.txid == batch.txid or transaction.confirmations <= 0:
            continue
        try:
            spent = parse_transaction(transaction.raw).inputs
        except MalformedError:
            continue  # of a form that no payout has, so it is no payout's; the coin's absence tells all the same
        if inputs & {Outpoint(i.previous_txid, i.previous_index) for i in spent}:
            owner = await in_thread(books.batch_of_txid, transaction.txid)
            same_family = owner is not None and owner == batch.replaces
            return Conflict(transaction.txid, transaction.confirmations, owner is not None, same_family)
    return None
