"""Brings the shares and found blocks of all front ends from the transport into the books: the accountant's side.

One accountant of a pool reads at a time, so every log's pieces come in order and the place where one begins tells when
another is missing: Redis was flushed, or failed over to a replica that lacked the last seconds, or SQL is an older one.
Then the front end is asked to feed again from where SQL stands, and nothing of that log is taken until it does. A piece
is acknowledged after its commit; what a dead accountant had taken is claimed by the next; what comes twice counts once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pool.accounting.books_away import UnusableLogError
from pool.accounting.found_block import BlockState
from pool.blocks.stream_entry import (
    BadEntryError,
    DrainNote,
    SharePiece,
    SolutionNote,
    TransportAwayError,
    check_piece,
    decode_entry,
    run_of_pieces,
)
from pool.blocks.stream_news import FeedAgain
from pool.progress import in_log
from pool.services.log_ingest import BLOCK_STATES, TOLD_BEHIND_S, InThread, LogBooks
from pool.shares.record import BEGINNING, Position

log = logging.getLogger("parapool.books")

READ_ENTRIES = 20
PUBLISH_S = 3.0
AGAIN_S = 10.0
"""A front end that was asked to feed again and did not is asked once more."""


class AccountantStream(Protocol):
    """The transport's side towards the accountant (pool/storage/redis_stream.py)."""

    async def open(self) -> None: ...

    async def reclaim(self, count: int) -> list[tuple[bytes, bytes]]: ...

    async def read(self, count: int) -> list[tuple[bytes, bytes]]: ...

    async def done(self, ids: Sequence[bytes], consumed: Mapping[str, Position], booked: Sequence[str]) -> None: ...

    async def publish(
        self, consumed: Mapping[str, Position], again: Mapping[str, FeedAgain], booked: Sequence[str] = (),
        reserves: Mapping[str, int] | None = None,
    ) -> None: ...


class PoolBooks(Protocol):
    """The books of a pool: which logs it has, how far each is stored and drained, and the books of one of them."""

    def front_end_positions(self) -> Mapping[str, tuple[Position, int | None]]:
        """By log: what is stored, and the time it has drained to, None when it is written off or has told none."""

    def of_log(self, name: str) -> LogBooks: ...


@dataclass(slots=True)
class _Taken:
    """What one reading brings of one log."""

    pieces: list[SharePiece] = field(default_factory=list)
    drained: DrainNote | None = None


class StreamIngest:
    """`consumed_through` is this process's own log's, for the metric; `fault` is set while the transport is away.
    `reserves` tells what front ends have to know to buy shares, by chain."""

    def __init__(
        self,
        stream: AccountantStream,
        books: PoolBooks,
        own_log: str,
        now_ms: Callable[[], int],
        reserves: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._stream = stream
        self._books = books
        self._own_log = own_log
        self._now_ms = now_ms
        self._reserves = reserves
        self._positions: dict[str, Position] = {}
        self._drained_ms: dict[str, int] = {}
        self._again: dict[str, FeedAgain] = {}
        self._unusable: set[str] = set()
        self._is_new = True
        self._published_s = 0.0
        self._started_ms = now_ms()
        self.consumed_through = -1
        self.fault = ""

    @property
    def caught_up_ms(self) -> int:
        """The time up to which every front end's shares are in SQL."""
        return min(self._drained_ms.values(), default=self._started_ms)

    def hurry(self) -> None:
        """Front ends tell how far they have drained every two seconds; there is nothing to hurry."""

    async def step(self, in_thread: InThread, leads: bool) -> bool:
        """Takes what there is. False while the transport is away, which is told once; the books' own errors are
        raised.
        """
        if not leads:
            self._is_new = True
            return True
        try:
            await self._step(in_thread)
        except TransportAwayError as error:
            self._is_new = True
            if not self.fault:
                log.error("redis is away, shares wait at the front ends: %s", error)
            self.fault = f"redis is away: {error}"
            return False
        except BaseException:
            # Whether the last commit happened is not known: positions are read again, entries claimed again.
            self._is_new = True
            raise
        if self.fault:
            self.fault = ""
            log.info("redis is back, shares go on")
        return True

    async def _step(self, in_thread: InThread) -> None:
        if self._is_new:
            await self._stream.open()
            await in_thread(self._load)
            self._published_s = 0.0
            await self._publish()
            while entries := await self._stream.reclaim(READ_ENTRIES):
                await self._take(entries, in_thread)
            self._is_new = False
        with in_log("stream into the books", log) as progress:
            taken = 0
            while entries := await self._stream.read(READ_ENTRIES):
                await self._take(entries, in_thread)
                await self._publish()
                taken += len(entries)
                behind_s = (self._now_ms() - self.caught_up_ms) // 1000
                if behind_s >= TOLD_BEHIND_S:
                    progress.tell(f"entries taken, {behind_s:,} s behind", taken)
        await self._publish()

    async def _publish(self) -> None:
        if time.monotonic() - self._published_s >= PUBLISH_S:
            for name, wish in self._again.items():
                if self._now_ms() - int(wish.ticket) > AGAIN_S * 1000:
                    self._again[name] = self._wish(name)
            await self._stream.publish(self._positions, self._again, reserves=self._reserves())
            self._published_s = time.monotonic()

    async def _take(self, entries: Sequence[tuple[bytes, bytes]], in_thread: InThread) -> None:
        gaps = set(self._again)
        changed, booked = await in_thread(self._book, entries)
        await self._stream.done([entry_id for entry_id, _ in entries], changed, booked)
        if self._again.keys() - gaps:
            await self._stream.publish({}, self._again)

    # -- in the books' thread ----------------------------------------------------------------------------------------

    def _load(self) -> None:
        found = self._books.front_end_positions()
        self._positions = {name: position for name, (position, _) in found.items()}
        self._drained_ms = {name: drained_ms for name, (_, drained_ms) in found.items() if drained_ms is not None}

    def _book(self, entries: Sequence[tuple[bytes, bytes]]) -> tuple[dict[str, Position], list[str]]:
        """Commits what the entries bring: shares, then found blocks with the shares that logs have lost, then how far
        logs are drained. Returns the new positions by log, and the answered blocks that are booked."""
        taken: dict[str, _Taken] = {}
        places = dict(self._positions)
        solutions = []
        for _, data in entries:
            try:
                entry = decode_entry(data)
                if isinstance(entry, SharePiece):
                    self._add_piece(entry, taken, places)
                elif isinstance(entry, DrainNote):
                    self._add_note(entry, taken, places)
                else:
                    solutions.append(entry)
            except BadEntryError as error:
                log.error("an entry of the stream is passed over: %s", error)
        changed = {}
        for name, found in taken.items():
            if name not in self._unusable and self._store(name, found, places[name]):
                changed[name] = self._positions[name]
        booked = [name for note in solutions if (name := self._book_solution(note))]
        for name, found in taken.items():
            if found.drained is not None and name not in self._unusable:
                self._drain(name, found.drained)
        return changed, booked

    def _add_piece(self, piece: SharePiece, taken: dict[str, _Taken], places: dict[str, Position]) -> None:
        place = places.get(piece.log, BEGINNING)
        if piece.start > place:
            self._miss(piece.log, place)
            return
        self._again.pop(piece.log, None)
        check_piece(piece)
        taken.setdefault(piece.log, _Taken()).pieces.append(piece)
        places[piece.log] = max(place, piece.end)

    def _add_note(self, note: DrainNote, taken: dict[str, _Taken], places: dict[str, Position]) -> None:
        place = places.setdefault(note.log, BEGINNING)
        if note.position > place:
            self._miss(note.log, place)
        else:
            taken.setdefault(note.log, _Taken()).drained = note

    def _miss(self, name: str, place: Position) -> None:
        if name not in self._again and name not in self._unusable:
            log.warning("shares of a front end are missing in the stream, it feeds them again log=%s", name)
            self._again[name] = FeedAgain(str(self._now_ms()), place)

    def _wish(self, name: str) -> FeedAgain:
        return FeedAgain(str(self._now_ms()), self._positions.get(name, BEGINNING))

    def _store(self, name: str, taken: _Taken, end: Position) -> bool:
        books = self._books.of_log(name)
        now_ms = self._now_ms()
        try:
            if any(piece.lines for piece in taken.pieces):
                books.store_shares(run_of_pieces(taken.pieces), end, now_ms)
        except UnusableLogError as error:
            self._set_apart(name, error)
            return False
        self._positions[name] = end
        return True

    def _set_apart(self, name: str, error: UnusableLogError) -> None:
        """Another log's shares must not wait for it. It stays apart until somebody has looked: its blocks wait."""
        self._unusable.add(name)
        log.error("a front end's shares cannot be stored log=%s: %s", name, error)

    def _drain(self, name: str, note: DrainNote) -> None:
        watermark = note.watermark
        try:
            self._books.of_log(name).drain(watermark, self._now_ms())
        except UnusableLogError as error:
            self._set_apart(name, error)
            return
        if watermark.time_ms:
            self._drained_ms[name] = max(self._drained_ms.get(name, 0), watermark.time_ms)
        if name == self._own_log:
            self.consumed_through = max(self.consumed_through, watermark.sequence)

    def _book_solution(self, note: SolutionNote) -> str:
        """The block's name when its answer is booked, else nothing."""
        state: BlockState = "submitted" if note.answer is None else BLOCK_STATES[note.answer]
        reason = "" if note.answer == "accepted" else note.reason
        self._books.of_log(note.log).book_solution(note.record, state, reason, self._now_ms())
        return "" if note.answer is None else f"{note.record.chain}-{note.record.block_hash_hex}"
