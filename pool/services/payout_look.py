"""What node and wallet show of a signed batch: where its transaction is, or which other one took a coin of it."""

from __future__ import annotations

import dataclasses

from chains.wallet import ChainWallet, Tip, WalletTransaction
from pool.payouts.batch import Batch, BatchState
from pool.payouts.follow import Conflict, Look, look_from
from pool.payouts.form import form_of
from pool.payouts.terms import PayoutTerms
from pool.services.payout_books import InThread, PayoutBooks

REACH = 3
"""A conflict is looked for so many times as deep as a coinbase matures; of an older one the wallet tells no name."""


async def look_at(
    batch: Batch, tip: Tip, wallet: ChainWallet, books: PayoutBooks, terms: PayoutTerms, in_thread: InThread
) -> Look:
    """A look at a signed batch, at each of its transactions. Raises NodeUnavailableError and WalletRefusedError."""
    known: dict[int, WalletTransaction | None] = {}
    for version in batch.versions:
        assert version.txid is not None
        transaction = await wallet.transaction(version.txid)
        if transaction is not None and transaction.confirmations > 0:
            look = look_from(transaction, None)
            return look if version is batch else dataclasses.replace(look, version=version.version)
        known[version.version] = transaction
    # The first transaction spends what all of them spend and nothing else, so its conflicts are those of all.
    transaction = known[0]
    suspicious = all(one is None or one.confirmations < 0 for one in known.values())
    if not suspicious and batch.state is not BatchState.CONFLICTED:
        return Look()
    since = max(0, min(batch.height or tip.height, tip.height) - REACH * terms.maturity)
    return look_from(transaction, await _conflict(batch, since, wallet, books, terms, in_thread))


async def _conflict(
    batch: Batch, since: int, wallet: ChainWallet, books: PayoutBooks, terms: PayoutTerms, in_thread: InThread
) -> Conflict | None:
    """The confirmed transaction, if there is one, that spends an input of all the batch's transactions, or has their
    account's turn, and is none of them. The coin is the wallet's own, so the wallet knows who spent it."""
    first = min(batch.versions, key=lambda version: version.version).built
    assert first is not None
    form = form_of(terms)
    claims, own = form.claims(first), {version.txid for version in batch.versions}
    for transaction in await wallet.transactions_since(since):
        if transaction.txid in own or transaction.confirmations <= 0:
            continue
        if claims & form.claimed(transaction.raw):
            owner = await in_thread(books.batch_of_txid, transaction.txid)
            return Conflict(transaction.txid, transaction.confirmations, owner is not None)
    return None
