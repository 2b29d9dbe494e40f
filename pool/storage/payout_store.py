"""One chain's payouts in SQL, as the payer works with them: each method is one transaction and may be repeated.

Every write begins with the fence (pool/storage/payer_lock.py): a payer that lost its chain writes nothing any more.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, func, select

from chains.wallet import Outpoint
from pool.payouts.batch import Batch, BatchEvent, BatchState, BuiltBatch
from pool.payouts.build import SignedIds
from pool.payouts.cold import ColdReturn
from pool.payouts.follow import Look
from pool.payouts.plan import Claim
from pool.payouts.reconcile import BookedCoin, BooksView, Reconciliation
from pool.payouts.standing import LOST_BOOKS, Funds, Hold, UnknownAccountError
from pool.storage import ledger_store, payout_coins, payout_holds, payout_rows, payout_steps, payout_versions
from pool.storage.database import Database
from pool.storage.payer_lock import PayerLock
from pool.storage.payout_file import PayoutFile, RecordedBatch, batch_of, record_of
from pool.storage.payout_tables import chain_holds, payout_batches, payout_quarantine
from pool.storage.settings_store import payout_terms
from pool.storage.tables import accounts, balances


class SqlPayouts:
    """Synchronous; every call comes from the one worker thread of the books."""

    def __init__(self, database: Database, lock: PayerLock, file: PayoutFile) -> None:
        self._database = database
        self._lock = lock
        self._file = file
        self.chain = lock.chain

    # -- reading ----------------------------------------------------------------------------------------------------

    def batches(self) -> list[Batch]:
        """The batches that something may still move, oldest first."""
        with self._database.read() as connection:
            return payout_rows.watched(connection, self.chain)

    def holds(self) -> list[Hold]:
        with self._database.read() as connection:
            return payout_holds.in_force(connection, self.chain)

    def claims(self) -> list[Claim]:
        """Every account of the chain that is owed something for good."""
        with self._database.read() as connection:
            return claims(connection, self.chain)

    def funds(self) -> Funds:
        with self._database.read() as connection:
            return funds(connection, self.chain)

    def last_planned_ms(self) -> int | None:
        """When the newest batch of payouts that was not void was planned."""
        column = payout_batches.c
        query = select(func.max(column.created_ms)).where(
            column.chain == self.chain, column.kind == "payout", column.state != "void"
        )
        with self._database.read() as connection:
            return connection.execute(query).scalar_one_or_none()

    def books_view(self, shown: Sequence[Outpoint], block_hashes: Collection[str]) -> BooksView:
        with self._database.read() as connection:
            return payout_coins.books_view(connection, self.chain, shown, block_hashes)

    def spendable(self) -> frozenset[Outpoint]:
        """The coins of ours that no batch has reserved."""
        with self._database.read() as connection:
            return payout_coins.spendable(connection, self.chain)

    def cold_coins(self) -> list[BookedCoin]:
        with self._database.read() as connection:
            return payout_coins.cold_coins(connection, self.chain)

    def has_history(self) -> bool:
        """Whether these books ever signed a payment on the chain, or an operator has let it go on without one."""
        batch, hold = payout_batches.c, chain_holds.c
        signed = select(batch.id).where(batch.chain == self.chain, batch.raw.is_not(None))
        known = select(hold.id).where(
            hold.chain == self.chain, hold.cause == LOST_BOOKS, hold.released_ms.is_not(None)
        )
        with self._database.read() as connection:
            return any(connection.execute(query.limit(1)).first() is not None for query in (signed, known))

    def batch_of_txid(self, txid: bytes) -> str | None:
        """Which batch made a transaction."""
        with self._database.read() as connection:
            return payout_versions.batch_of_txid(connection, txid)

    def unknown_records(self) -> list[str]:
        """Batches of which the payout file has a signed transaction and the books do not: the books are older."""
        with self._database.read() as connection:
            known = payout_versions.known_txids(connection, self.chain)
        return self._file.batches_beyond(known)

    # -- writing ----------------------------------------------------------------------------------------------------

    def holds_lock(self) -> bool:
        """Whether this is still the chain's payer, asked before anything is signed."""
        return self._lock.held

    def plan(self, batch: Batch, now_ms: int) -> None:
        """A planned batch with everything reserved."""
        with self._database.write() as connection:
            self._lock.fence(connection)
            payout_steps.plan(connection, batch, self._lock.epoch, now_ms)

    def quarantine(self, quarantines: Sequence[tuple[int, str, str]], now_ms: int) -> None:
        """Addresses (account id, address, reason) that cannot be paid to."""
        with self._database.write() as connection:
            self._lock.fence(connection)
            for account_id, address, reason in quarantines:
                payout_holds.quarantine(connection, account_id, address, reason, now_ms)

    def build(self, batch: Batch, built: BuiltBatch, fee_rate: int, now_ms: int) -> None:
        with self._database.write() as connection:
            self._lock.fence(connection)
            payout_steps.build(connection, batch, built, fee_rate, self._lock.epoch, now_ms)

    def replan(self, batch: Batch, reason: str, now_ms: int) -> None:
        with self._database.write() as connection:
            self._lock.fence(connection)
            payout_steps.replan(connection, batch, reason, self._lock.epoch, now_ms)

    def sign(self, batch: Batch, raw: bytes, ids: SignedIds, now_ms: int) -> None:
        with self._database.write() as connection:
            self._lock.fence(connection)
            payout_steps.sign(connection, batch, raw, ids, self._lock.epoch, now_ms)

    def replace(
        self, batch: Batch, built: BuiltBatch, raw: bytes, ids: SignedIds, fee_rate: int, now_ms: int
    ) -> None:
        """A further transaction of a signed batch."""
        with self._database.write() as connection:
            self._lock.fence(connection)
            payout_steps.replace(connection, batch, built, raw, ids, fee_rate, self._lock.epoch, now_ms)

    def end_bump(self, batch: Batch, words: str, now_ms: int) -> None:
        """The order to raise a batch's fee is over without a new transaction."""
        with self._database.write() as connection:
            self._lock.fence(connection)
            payout_steps.end_bump(connection, batch, words, now_ms)

    def file(self, batch: Batch, now_ms: int) -> None:
        """All that is signed of a batch into the payout file, on disk when this returns. Nothing is sent before."""
        for version in sorted(batch.versions, key=lambda version: version.version):
            recorded = self._file.record(version.id, version.version)
            if recorded is not None and version.raw is not None and recorded.raw == version.raw.hex():
                continue
            with self._database.read() as connection:
                ids = [payout.account_id for payout in version.payouts if payout.account_id is not None]
                names = _account_names(connection, ids)
                sources = payout_coins.sources(connection, self.chain, version.built.inputs if version.built else ())
            self._file.append(record_of(version, names, sources, now_ms))

    def attempt(self, batch: Batch, action: str, result: str, reason: str, now_ms: int) -> None:
        with self._database.write() as connection:
            self._lock.fence(connection)
            payout_steps.attempt(connection, batch, action, result, reason, now_ms)

    def seen(self, batch: Batch, look: Look, now_ms: int) -> None:
        with self._database.write() as connection:
            self._lock.fence(connection)
            payout_steps.seen(connection, batch, look, now_ms)

    def move(
        self,
        batch: Batch,
        event: BatchEvent,
        now_ms: int,
        *,
        reason: str = "",
        conflict_txid: bytes | None = None,
    ) -> BatchState:
        with self._database.write() as connection:
            self._lock.fence(connection)
            return payout_steps.move(
                connection, batch, event, self._lock.epoch, now_ms, reason=reason, conflict_txid=conflict_txid
            )

    def retire(self, batch: Batch) -> None:
        with self._database.write() as connection:
            self._lock.fence(connection)
            payout_steps.retire(connection, batch)

    def enter(self, found: Reconciliation, now_ms: int) -> None:
        """The coins that a reconciliation found, with the ledger's part."""
        with self._database.write() as connection:
            self._lock.fence(connection)
            payout_coins.enter(connection, self.chain, found, now_ms)

    def come_back(self, found: ColdReturn, now_ms: int) -> bool:
        """Swept coins that are back, with the ledger's part; False when that is booked."""
        with self._database.write() as connection:
            self._lock.fence(connection)
            return payout_coins.come_back(connection, self.chain, found, now_ms)

    def hold(self, cause: str, reason: str, now_ms: int) -> bool:
        """Puts the chain on hold; not fenced, because stopping is always right. False when it was."""
        with self._database.write() as connection:
            return payout_holds.place(connection, self.chain, cause, reason, now_ms)

    def release(self, cause: str, reason: str, now_ms: int) -> int:
        with self._database.write() as connection:
            self._lock.fence(connection)
            return payout_holds.release(connection, self.chain, cause, reason, now_ms)

    def adopt(self, batch_id: str, now_ms: int) -> bool:
        """Takes what only the payout file knows of a batch into the books. Raises LedgerError when they cannot take it.
        """
        records = self._file.records(batch_id)
        assert records, "it was named by unknown_records"
        taken = False
        with self._database.write() as connection:
            self._lock.fence(connection)
            for record in records:
                ids = _accounts_of(connection, record)
                for coin in record.coins:
                    known = (coin.outpoint, coin.amount, coin.source, coin.cause, now_ms)
                    payout_coins.know(connection, self.chain, *known)
                taken |= payout_steps.adopt(connection, batch_of(record, ids), self._lock.epoch, now_ms)
        return taken

    def close(self) -> None:
        """Lets somebody else pay."""
        self._file.close()
        self._lock.close()


def claims(connection: Connection, chain: str) -> list[Claim]:
    """Every account of a chain with an available balance, by its own and its owner's terms."""
    suffix = ".available"
    query = select(balances.c.account, balances.c.amount).where(
        balances.c.chain == chain, balances.c.account.like(f"liab.%{suffix}"), balances.c.amount > 0
    )
    amounts = {
        int(row.account.removeprefix("liab.").removesuffix(suffix)): row.amount for row in connection.execute(query)
    }
    bad = {(row.account_id, row.address) for row in connection.execute(select(payout_quarantine))}
    terms = payout_terms(connection, chain)
    found = []
    for row in connection.execute(select(accounts).where(accounts.c.chain == chain).order_by(accounts.c.id)):
        if row.id not in amounts:
            continue
        own = terms.get(row.id)
        address = own.address if own is not None and own.address is not None else row.address
        # A held account may be named by an address alone (shares/record.py): it is no script, and nobody is paid on it.
        script = bytes.fromhex(row.script_hex) if row.kind == "miner" else None
        if own is not None and own.script is not None:
            script = own.script
        found.append(
            Claim(
                row.id, row.kind, address, script, amounts[row.id],
                minimum=own.minimum if own is not None else None,
                frozen=own is not None and own.frozen,
                quarantined=(row.id, address) in bad,
            )
        )  # fmt: skip
    return found


def funds(connection: Connection, chain: str) -> Funds:
    """What lies above what is owed, and what of it is promised to fees."""
    column = payout_batches.c
    query = select(func.sum(column.pool_fee)).where(
        column.chain == chain, column.settled_ms.is_(None), column.state != "void"
    )
    pending = connection.execute(query).scalar_one_or_none() or 0
    return Funds(ledger_store.cover(connection, chain), int(pending))


def _account_names(connection: Connection, account_ids: Sequence[int]) -> dict[int, tuple[str, str]]:
    names: dict[int, tuple[str, str]] = {}
    for start in range(0, len(account_ids), 400):
        query = select(accounts).where(accounts.c.id.in_(account_ids[start : start + 400]))
        names |= {row.id: (row.kind, row.script_hex) for row in connection.execute(query)}
    return names


def _accounts_of(connection: Connection, record: RecordedBatch) -> dict[str, int]:
    """The accounts of a recorded batch's payouts in these books, by payout id."""
    found = {}
    for payout in record.payouts:
        if payout.account_kind is None:
            continue
        column = accounts.c
        query = select(column.id).where(
            column.chain == record.chain, column.kind == payout.account_kind, column.script_hex == payout.account_script
        )
        account_id = connection.execute(query).scalar_one_or_none()
        if account_id is None:
            raise UnknownAccountError(f"payout {payout.id} is of an account that the books do not have (yet)")
        found[payout.id] = account_id
    return found
