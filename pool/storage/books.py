"""The books of one process in SQL: each method is one transaction, safe to repeat, and leaves everything consistent.

This is what the bookkeeping service works with (it declares the interface). Crediting a block writes its credits,
the ledger's transfers and the block's state together, so that no crash can leave one without the other.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from pool.accounting.found_block import BlockState, ChainTerms, FoundBlock, Place
from pool.accounting.split import Split
from pool.blocks.solution_store import SolutionRecord
from pool.shares.record import LoggedShare, Position, ShareRecord, ShareRun
from pool.shares.watermark import Watermark
from pool.storage import block_credit, block_losses, block_store, front_ends, held_store, vote_store
from pool.storage.block_claim import Claim, read_claim
from pool.storage.database import Database
from pool.storage.known_hashes import KnownHashes
from pool.storage.share_store import ShareStore

log = logging.getLogger("parapool.books")


class PositionMovedError(Exception):
    """The log's position in SQL is not the one this process wrote last. Nothing was stored; ask for it again."""


class SqlBooks:
    """Synchronous; every call comes from the one worker thread of the books."""

    def __init__(
        self,
        database: Database,
        log_name: str = "main",
        pool: str | None = None,
        hashes: KnownHashes | None = None,
    ) -> None:
        """`log_name` names a share log; processes that share a database need different ones. `pool` is the pool whose
        blocks are kept, by default the one of that name.
        """
        self._database = database
        self._log_name = log_name
        self._pool = log_name if pool is None else pool
        self._hashes = KnownHashes() if hashes is None else hashes
        self._shares = ShareStore(log_name, self._pool, self._hashes)
        self._waiting: set[int] = set()
        self._reached: Position | None = None
        self._of_logs: dict[str, SqlBooks] = {}

    def position(self) -> tuple[Position, int]:
        """How far the share log is consumed, and the highest sequence stored."""
        with self._database.read() as connection:
            found = self._shares.position(connection)
        self._reached = found[0]
        return found

    def store_shares(self, batch: ShareRun | Sequence[LoggedShare], position: Position, now_ms: int) -> int:
        """Adds a batch and moves the position in one transaction. Returns how many shares were new.

        Raises PositionMovedError when the position in SQL is another than this process knows: a database that took over
        without the last commits, or a second process of this name. Going on would leave a gap.
        """
        expected, self._reached = self._reached, None
        try:
            with self._database.write() as connection:
                found, _ = self._shares.position(connection)
                if expected is not None and found != expected:
                    raise PositionMovedError(f"share log {self._log_name} stands at {found}, expected {expected}")
                stored = self._shares.store(connection, batch, position, now_ms)
        except BaseException:
            # Ids of rows that were rolled back must not be used again.
            self._shares.forget()
            raise
        self._reached = position
        return stored

    def register(self) -> None:
        """Makes this share log known: from now on windows wait for it. Raises LogOfAnotherPoolError."""
        with self._database.write() as connection:
            self._shares.log_id(connection)

    def drain(self, watermark: Watermark, now_ms: int) -> None:
        """Tells how far this share log is drained."""
        try:
            with self._database.write() as connection:
                front_ends.drain(connection, self._shares.log_id(connection), watermark, now_ms)
        except BaseException:
            # The log's row may be one that was rolled back.
            self._shares.forget()
            raise

    def of_log(self, name: str) -> SqlBooks:
        """The books of another share log of this pool, for whoever takes in several."""
        if name not in self._of_logs:
            self._of_logs[name] = SqlBooks(self._database, name, self._pool, self._hashes)
        return self._of_logs[name]

    def front_end_positions(self) -> dict[str, tuple[Position, int | None]]:
        """By log of the pool: what is stored, and the time it has drained to, None when it is written off or has told
        none.
        """
        # Known positions are given up with this: whoever asks does not know what became of the last commit.
        self._of_logs.clear()
        self._hashes.forget()
        with self._database.read() as connection:
            found = front_ends.front_ends(connection, self._pool)
        return {
            log.name: (log.position, (log.drained.time_ms or None) if log.written_off_ms is None else None)
            for log in found
        }

    def take_lead(self, now_ms: int, lasts_ms: int) -> bool:
        """Whether this process follows the pool's blocks, for so long."""
        with self._database.write() as connection:
            return front_ends.take_lead(connection, self._pool, self._log_name, now_ms, lasts_ms)

    def newest_block(self) -> int:
        """The number of the newest row, 0 without one. Writers take turns, so a later row has a higher one."""
        with self._database.read() as connection:
            return block_store.newest(connection)

    def window_drained(self, block: FoundBlock) -> bool:
        """Whether every share that can be in the block's window is stored, of all the pool's front ends."""
        with self._database.read() as connection:
            return front_ends.window_drained(connection, block.id)

    def book_solution(self, record: SolutionRecord, state: BlockState, reason: str, now_ms: int) -> None:
        """The block's row, and its solving share where the record carries it; then the submission's answer."""
        try:
            with self._database.write() as connection:
                log_id = self._shares.log_id(connection)
                if block_store.add(connection, log_id, record, state, reason, now_ms):
                    solving = record.solving_share
                    if solving is not None:
                        share = ShareRecord(
                            sequence=record.share_sequence,
                            time_ms=solving.time_ms,
                            route=solving.route.digest,
                            worker=solving.worker,
                            weight=record.share_weight,
                            chains=solving.chains,
                            header_hash=solving.header_hash,
                            stale=record.stale,
                            solved=((record.chain, bytes.fromhex(record.block_hash_hex)[::-1]),),
                        )
                        self._shares.add(connection, share, solving.route, now_ms)
                elif state != "submitted":
                    block_store.answered(connection, record.chain, record.block_hash_hex, state, reason, now_ms)
        except BaseException:
            self._shares.forget()
            raise

    def watched_blocks(self, chain: str) -> list[FoundBlock]:
        """The chain's blocks that something may still move, oldest first."""
        with self._database.read() as connection:
            return block_store.watched(connection, self._pool, chain)

    def newest_mature(self, chain: str) -> FoundBlock | None:
        """The highest final block on a chain; None when there is none."""
        with self._database.read() as connection:
            return block_store.newest_mature(connection, self._pool, chain)

    def credit(
        self,
        block: FoundBlock,
        height: int,
        confirmations: int,
        reward: int,
        terms: ChainTerms,
        now_ms: int,
        place: Place | None = None,
    ) -> Split | None:
        """Credits a block of the main chain; a vote in a place where it was not before gets another row. None, and
        nothing credited, when something else of ours is paid in its stead.

        The claim is read first, outside the write lock: the shares up to the solving one never change again.
        """
        if place is not None and self._known_there(block, place, now_ms):
            return None
        claim = self._claim(block, terms)
        with self._database.write() as connection:
            current = block_store.find(connection, block.id)
            if current.credited and place is None:
                return None
            paid = block_store.paid_against(connection, current, height, place)
            if self._is_taken(paid, block, place is not None):
                return None
            if place is not None and block_store.row_in_place(connection, block.chain, place) is not None:
                return None
            if current.credited:
                current = block_store.add_place(connection, current, now_ms)
            return block_credit.credit(
                connection,
                self._shares,
                current,
                claim,
                height=height,
                confirmations=confirmations,
                reward=reward,
                terms=terms,
                now_ms=now_ms,
                place=place,
            )

    def confirm(self, confirmations: Mapping[int, int], now_ms: int) -> None:
        """New numbers of confirmations by block id."""
        with self._database.write() as connection:
            for block_id, count in confirmations.items():
                block_store.change(connection, block_id, now_ms, confirmations=count)

    def mature(self, block: FoundBlock, confirmations: int, now_ms: int) -> None:
        """The block is final: what it earned is available, and what is held goes where its owner registered."""
        with self._database.write() as connection:
            current = block_store.find(connection, block.id)
            if current.state != "immature" or current.reward is None:
                return
            block_credit.mature(connection, block, confirmations, now_ms)
            held_store.release_registered(connection, block.chain, now_ms)

    def orphan(self, block: FoundBlock, now_ms: int) -> None:
        """The block left the main chain: its credits, if any, are void."""
        with self._database.write() as connection:
            current = block_store.find(connection, block.id)
            if current.state == "immature":
                block_credit.orphan(connection, block, current.orphaned_times + 1, now_ms)
            elif current.state == "submitted":
                block_store.change(connection, block.id, now_ms, state="orphan", confirmations=0)

    def reinstate(self, block: FoundBlock, confirmations: int, now_ms: int) -> bool:
        """The block is back: its credits count again. False when another of ours is paid in its stead."""
        with self._database.write() as connection:
            current = block_store.find(connection, block.id)
            if current.state != "orphan" or not current.credited:
                return False
            paid = block_store.paid_against(connection, current, current.height, current.place)
            if self._is_taken(paid, block, current.place is not None):
                return False
            block_credit.reinstate(connection, block, current.orphaned_times, confirmations, now_ms)
            return True

    def lose(self, block: FoundBlock, now_ms: int) -> None:
        """A final block left the main chain: a loss, which stops the chain's payouts until somebody bears it."""
        with self._database.write() as connection:
            block_losses.lose(connection, block, now_ms)

    def find(self, block: FoundBlock, confirmations: int, now_ms: int) -> bool:
        """A lost block is back: its loss is undone. False when another of ours is paid in its stead."""
        with self._database.write() as connection:
            return block_losses.find(connection, block, confirmations, now_ms)

    def retire(self, block: FoundBlock, now_ms: int) -> None:
        """Nothing is expected to move this block any more."""
        with self._database.write() as connection:
            block_store.change(connection, block.id, now_ms, watched=0)

    def scanned(self, chain: str) -> tuple[int, str] | None:
        """Height and displayed hash of the last block whose votes were compared with these books."""
        with self._database.read() as connection:
            return vote_store.scanned(connection, self._pool, chain)

    def set_scanned(self, chain: str, height: int, hash_hex: str) -> None:
        """Up to this block the chain's votes are compared; the hash is empty where it is not known."""
        with self._database.write() as connection:
            vote_store.set_scanned(connection, self._pool, chain, height, hash_hex)

    def lowest_height(self, chain: str) -> int | None:
        """Of what this pool ever found on a chain."""
        with self._database.read() as connection:
            return vote_store.lowest_height(connection, self._pool, chain)

    def vote_rows(self, chain: str, votes: Sequence[str]) -> list[FoundBlock]:
        """All rows of these votes."""
        with self._database.read() as connection:
            return vote_store.rows_of(connection, chain, votes)

    def watch_again(self, block: FoundBlock, now_ms: int) -> None:
        """Something may move this block after all."""
        with self._database.write() as connection:
            block_store.change(connection, block.id, now_ms, watched=1)

    def drained_ms(self) -> int | None:
        """The time up to which everything of all the pool's front ends is in the books."""
        with self._database.read() as connection:
            return vote_store.drained_ms(connection, self._pool)

    def _claim(self, block: FoundBlock, terms: ChainTerms) -> Claim:
        with self._database.read() as connection:
            store = ShareStore(block_store.log_name(connection, block.id), self._pool)
            window_min_ms = int(terms.window_min_s * 1000)
            return read_claim(
                connection, store, block, factor=terms.factor, window_min_ms=window_min_ms, chain_scheme=terms.scheme
            )

    def _known_there(self, block: FoundBlock, place: Place, now_ms: int) -> bool:
        """Whether a row tells of this place already. What nobody watches any more is watched again, as it may be there
        once more; a row of a vote that is final elsewhere is no longer watched.
        """
        with self._database.read() as connection:
            there = block_store.row_in_place(connection, block.chain, place)
        if there is None:
            return False
        with self._database.write() as connection:
            if there.state == "mature":
                if block.state == "orphan":
                    block_store.change(connection, block.id, now_ms, watched=0)
            elif not there.watched:
                block_store.change(connection, there.id, now_ms, watched=1)
        return True

    def _is_taken(self, paid: str | None, block: FoundBlock, is_vote: bool) -> bool:
        if paid is None:
            return False
        if block.id in self._waiting:
            return True
        self._waiting.add(block.id)
        tail = f"chain={block.chain} height={block.height} hash={block.hash_hex} other={paid}"
        if is_vote:  # a sibling of its block was there a moment ago: its votes are voided next
            log.info("vote waits, another of ours is credited in its stead %s", tail)
        else:
            log.warning("block waits, another of ours is credited at its height %s", tail)
        return True
