"""Feeds this front end's share log and found blocks to the accountant, through the transport.

Miners never wait for it: a share is answered when the local log has it, and is fed after that. While the transport is
away, full or slow, shares stay in the log; afterwards the feed catches up from disk. What the accountant has stored is
told back, so the log's old segments can go; when the accountant misses something it says from where to feed again.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

from pool.blocks.stream_entry import TransportAwayError, drain_note, encode_entry, share_piece, solution_note
from pool.blocks.stream_news import FrontEndNews
from pool.services.log_ingest import DrainClock, ShareSource, SolutionSource
from pool.shares.record import BEGINNING, LoggedShare, Position
from pool.shares.watermark import Watermark

log = logging.getLogger("parapool.feed")

PIECE_SHARES = 200
PIECES_AT_ONCE = 10
"""2,000 shares are encoded in some 10 ms, in a thread of the feed's own."""

UNSTORED_SHARES = 200_000
"""What the stream may hold of this front end, about 30 MB; the rest waits on disk, so that an accountant that is away
for an hour fills no Redis.
"""

NOTE_S = 2.0
RETRY_S = 1.0
TRIM_S = 60.0
SOLUTION_AGAIN_S = 10.0


class FrontEndStream(Protocol):
    """The transport's side towards a front end (pool/storage/redis_stream.py). Raises TransportAwayError."""

    async def append(self, entries: Sequence[bytes]) -> None: ...

    async def news(self, log: str) -> FrontEndNews: ...

    async def booked(self, names: Sequence[str]) -> list[str]: ...

    async def forget_booked(self, names: Sequence[str]) -> None: ...


class FedLog(ShareSource, Protocol):
    """The share log, with a reader of its own for the feed."""

    def reader(self) -> LogReader: ...


class LogReader(Protocol):
    def read_from(self, position: Position) -> Iterator[LoggedShare]: ...


class _Flying(NamedTuple):
    """A piece that was fed and is not known to be stored."""

    end: Position
    shares: int
    sequence: int


class ShareFeed:
    """The service. For metrics: `unstored` shares are fed and not known to be stored, all up to `consumed_through` are
    (-1 while unknown), `fault` tells why nothing is fed.
    """

    def __init__(
        self,
        name: str,
        shares: FedLog,
        solutions: SolutionSource,
        stream: FrontEndStream,
        now_ms: Callable[[], int],
        *,
        on_reserves: Callable[[Mapping[str, int]], None] = lambda reserves: None,
        interval_s: float = 0.1,
    ) -> None:
        """`name` is the share log's in the books. `on_reserves` hears what the operator has for buying shares."""
        self._name = name
        self._shares = shares
        self._reader = shares.reader()
        self._solutions = solutions
        self._stream = stream
        self._on_reserves = on_reserves
        self._interval_s = interval_s
        self._clock = DrainClock(shares, now_ms)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="share-feed")
        self._position: Position | None = None
        self._ticket = ""
        self._flying: deque[_Flying] = deque()
        self._noted_s = 0.0
        self._trimmed_s = 0.0
        self._told_open: set[tuple[str, str]] = set()
        self._told_closed_s: dict[str, float] = {}
        self._now_ms = now_ms
        self._caught_up_ms = now_ms()
        self.consumed_through = -1
        self.unstored = 0
        self.fault = ""

    @property
    def lag_ms(self) -> int:
        """How long ago everything durable was known to be in the books."""
        return max(0, self._now_ms() - self._caught_up_ms)

    async def run(self) -> None:
        """Until cancelled. Nothing that goes wrong ends it: it is logged once and tried again."""
        while True:
            try:
                fed = await self.step()
            except TransportAwayError as error:
                self._report(f"redis is away: {error}", None)
            except Exception as error:
                self._report(f"feeding goes wrong: {error}", error)
            else:
                if fed and self.fault:
                    self.fault = ""
                    log.info("shares are fed again")
                await asyncio.sleep(self._interval_s)
                continue
            self._told_open.clear()
            self._told_closed_s.clear()
            await asyncio.sleep(RETRY_S)

    def close(self) -> None:
        self._thread.shutdown()

    async def step(self) -> bool:
        """Feeds everything that is durable now, as far as there is room. False while there is nobody to feed."""
        news = await self._stream.news(self._name)
        self._on_reserves(news.reserves)
        if not self._heed(news):
            return False
        watermark = self._clock.before_reading()
        fed, all_fed = await self._feed_shares()
        if all_fed and not self._flying:
            self.consumed_through = max(self.consumed_through, watermark.sequence)
            self._caught_up_ms = self._now_ms()
        # Before the watermark: a record may bring a share that the log lost, and windows wait for the watermark only.
        await self._tell_solutions()
        if all_fed and (fed or time.monotonic() - self._noted_s >= NOTE_S):
            await self._note(watermark)
        elif time.monotonic() - self._noted_s >= NOTE_S:
            # Nothing new to tell, but a position in which a lost stream is noticed.
            await self._note(Watermark(0, 0))
        if news.consumed is not None and time.monotonic() - self._trimmed_s > TRIM_S:
            self._trimmed_s = time.monotonic()
            await self._in_thread(self._shares.trim, min(news.consumed, self._at()))
        return True

    def _heed(self, news: FrontEndNews) -> bool:
        """What the accountant said. Whether it is known from where to feed."""
        if self._position is None:
            if news.consumed is None and not news.attended:
                return False
            self._position = news.consumed or BEGINNING
            self._ticket = news.again.ticket if news.again is not None else ""
        if news.again is not None and news.again.ticket != self._ticket:
            self._ticket = news.again.ticket
            log.warning("the accountant misses shares, feeding again from=%d:%d", *news.again.position)
            self._position = news.again.position
            self._flying.clear()
            self._told_open.clear()
            self._told_closed_s.clear()
        while news.consumed is not None and self._flying and self._flying[0].end <= news.consumed:
            self.consumed_through = max(self.consumed_through, self._flying.popleft().sequence)
        self.unstored = sum(piece.shares for piece in self._flying)
        return True

    async def _feed_shares(self) -> tuple[bool, bool]:
        """Whether something was fed, and whether nothing that was durable at the beginning is left."""
        fed = False
        while self.unstored < UNSTORED_SHARES:
            entries, ends = await self._in_thread(self._read_pieces, self._at())
            if not entries:
                return fed, True
            await self._stream.append(entries)
            self._position = ends[-1].end
            self._flying.extend(ends)
            self.unstored += sum(piece.shares for piece in ends)
            fed = True
        return fed, False

    def _read_pieces(self, position: Position) -> tuple[list[bytes], list[_Flying]]:
        entries, ends = [], []
        reading = self._reader.read_from(position)
        for _ in range(PIECES_AT_ONCE):
            shares = list(itertools.islice(reading, PIECE_SHARES))
            if not shares:
                break
            piece = share_piece(self._name, position, shares)
            entries.append(encode_entry(piece))
            ends.append(_Flying(piece.end, len(shares), shares[-1].share.sequence))
            position = piece.end
        return entries, ends

    async def _note(self, watermark: Watermark) -> None:
        await self._stream.append([encode_entry(drain_note(self._name, self._at(), watermark))])
        self._noted_s = time.monotonic()

    async def _tell_solutions(self) -> None:
        """Open ones once, answered ones until the accountant has them; then they count as booked here, too."""
        notes, names = await self._in_thread(self._solution_notes)
        if notes:
            await self._stream.append(notes)
        if names:
            for name in await self._stream.booked(names):
                chain, _, block_hash_hex = name.rpartition("-")
                await self._in_thread(self._solutions.booked, chain, block_hash_hex)
                await self._stream.forget_booked([name])
                self._told_closed_s.pop(name, None)

    def _solution_notes(self) -> tuple[list[bytes], list[str]]:
        notes = []
        open_names = self._solutions.open_names()
        for chain, hash_hex in sorted(open_names - self._told_open):
            record = self._solutions.open_record(chain, hash_hex)
            if record is not None:
                notes.append(encode_entry(solution_note(self._name, record, None, "")))
        self._told_open = open_names
        names = []
        now_s = time.monotonic()
        for closed in self._solutions.closed_solutions():
            record = closed.record
            name = f"{record.chain}-{record.block_hash_hex}"
            names.append(name)
            if now_s - self._told_closed_s.get(name, -SOLUTION_AGAIN_S) >= SOLUTION_AGAIN_S:
                notes.append(encode_entry(solution_note(self._name, record, closed.state, closed.reason)))
                self._told_closed_s[name] = now_s
        return notes, names

    def _at(self) -> Position:
        assert self._position is not None
        return self._position

    def _report(self, fault: str, error: Exception | None) -> None:
        """Once per outage, whatever the reasons that follow."""
        if not self.fault:
            log.error("shares are not fed, they wait in the share log: %s", fault, exc_info=error)
        self.fault = fault

    async def _in_thread(self, call: Callable[..., object], *arguments: object) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)
