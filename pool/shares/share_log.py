"""The share log: an accepted share is on disk before its answer is sent.

Segments DATA_DIR/shares/NNNNNNNN.log, written by one thread (disk_thread.py) as a group commit; the newest may end in
zeros, room written ahead. What one turn of the loop appends is gathered and put to the thread together; when it is
durable the thread tells the loop, which looks how far it is and calls `on_durable` or `on_error`. Miners are read in
common turns (stratum/transport.py), which sets the rhythm.

Three rules:
 * An error of write or fdatasync is never retried. The log stops, `on_error` is called once, every later append raises
   ShareLogStopped.
 * Each opening starts a new segment and leaves a gap in the sequence, so that a number that was handed out but not
   durable when the process died (a solution record may already name it) is never given to another share.
 * A segment defines each route and chain set before its first use, so any segment can be read without the others.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable, Iterator
from pathlib import Path
from zlib import crc32

import msgspec

from pool.shares.disk_thread import AppendFile, DiskThread, Entry, Progress, begin_disk_thread, call_on_loop
from pool.shares.log_recovery import recent_header_hashes, recover
from pool.shares.log_segment import (
    FRAME_HEADER,
    SegmentFile,
    frame,
    segment_numbers,
    segment_path,
    sync_directory,
)
from pool.shares.record import (
    BEGINNING,
    FORMAT_VERSION,
    ChainSet,
    LoggedShare,
    Position,
    Route,
    SegmentStart,
    ShareLine,
    ShareRun,
)
from pool.shares.share_log_reader import ShareLogReader

log = logging.getLogger("parapool.shares")

SEGMENT_BYTES = 64 << 20
PENDING_BYTES_LIMIT = 64 << 20
"""What may wait for a disk that hangs, about 400,000 shares; beyond it append raises ShareLogStopped."""

LOOK_S = 0.1
"""Shares that the disk's thread answers are credited when the next ones come, and after so long when none do."""

SEQUENCE_GAP = 1_000_000
"""Left free at each opening; more shares than PENDING_BYTES_LIMIT can hold."""

KEEP_SEGMENTS = 4


class ShareLogStopped(Exception):
    """The log takes no more shares: closed, its disk failed, or its disk hangs. The share must not be answered as
    accepted.
    """


class ShareLog:
    """Append from the loop's thread, read from any one other thread.

    Plain attributes for metrics: `bytes_written`, `pending` (shares not yet durable), `last_fsync_s`,
    `durable_sequence` and `durable_position` (all sequences up to the first are before the second, or never became
    durable), `answered_at_s` (when the disk's thread last answered shares, monotonic; 0 where the loop does that).
    """

    __slots__ = (
        "_answered", "_asked", "_chain_sets", "_close_lock", "_closing", "_directory", "_disk", "_encode",
        "_end_telling", "_failure", "_gathered", "_gathered_bytes", "_keep_s", "_lock", "_looking", "_loop",
        "_on_durable", "_on_error", "_queued_bytes", "_reader", "_routes", "_segment", "_segment_bytes",
        "_segment_size", "_sequence", "_told_sequence", "_untold_failure", "_wall_s", "answered_at_s",
        "bytes_written", "durable_position", "durable_sequence", "last_fsync_s", "pending", "pending_limit",
    )  # fmt: skip

    def __init__(
        self,
        directory: Path,
        *,
        loop: AbstractEventLoop,
        on_durable: Callable[[int], None],
        on_error: Callable[[BaseException], None],
        interval_s: float = 0.0,
        segment_bytes: int = SEGMENT_BYTES,
        consumed: tuple[Position, int] = (BEGINNING, 0),
        open_file: Callable[[Path], AppendFile] = SegmentFile,
        keep_s: float = 3600.0,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        """Opens the log and cuts a torn tail. `interval_s` is the shortest time between two commits, for who brings
        shares one by one.

        `consumed` is how far the books are and the highest sequence they hold: should the files be lost, the new ones
        go on after both. Raises OSError when the directory cannot be written, CorruptShareLog when the last segment is
        not a share log's.
        """
        self._directory = directory
        self._loop = loop
        self._on_durable = on_durable
        self._on_error = on_error
        self._segment_bytes = segment_bytes
        self._keep_s = keep_s
        self._wall_s = wall_s
        self._encode = msgspec.msgpack.Encoder().encode

        self.pending_limit = PENDING_BYTES_LIMIT
        self.bytes_written = 0
        self.pending = 0
        self.last_fsync_s = 0.0

        directory.mkdir(parents=True, exist_ok=True)
        segment, sequence = recover(directory)
        sequence = max(sequence, consumed[1])
        self._sequence = sequence + SEQUENCE_GAP if sequence else 0
        self.durable_sequence = self._sequence

        self._lock = threading.Lock()  # who asks the disk's thread: close() may come from another one
        self._close_lock = threading.Lock()
        self._gathered: list[Entry] = []  # appended in this turn of the loop, not yet handed over
        self._gathered_bytes = 0
        self._queued_bytes = 0
        self._closing = False
        self._failure: BaseException | None = None
        self._untold_failure: BaseException | None = None
        self._told_sequence = self.durable_sequence
        self._answered = False  # by _disk, shares of which nobody waits to be told
        self._asked = False  # somebody waits for the shares of this turn
        self._looking: TimerHandle | None = None
        self.answered_at_s = 0.0

        self._segment = max(segment, consumed[0].segment) + 1
        self._routes: set[bytes] = set()
        self._chain_sets: dict[tuple[str, ...], int] = {}
        start = self._segment_start(self._sequence + 1)
        self._segment_size = len(start)
        self.durable_position = Position(self._segment, len(start))
        self._reader = self.reader()
        self._disk, self._end_telling = begin_disk_thread(
            directory, self._segment, start, self._sequence, interval_s, open_file, loop, self._look
        )

    # -- the loop's side ---------------------------------------------------------------------------------------------

    def append(
        self,
        route: Route,
        worker: str,
        time_ms: int,
        weight: int,
        chains: tuple[str, ...],
        header_hash: bytes,
        stale: bool = False,
        solved: tuple[tuple[str, bytes], ...] = (),
    ) -> int:
        """Queues a share and returns its sequence; it is durable once `on_durable` was called with that number or a
        higher one.

        Raises ShareLogStopped when nothing can be stored any more.
        """
        if self._failure is not None or self._closing:
            raise ShareLogStopped(f"share log stopped: {self._failure or 'closed'}")
        if self._queued_bytes + self._gathered_bytes > self.pending_limit:
            raise ShareLogStopped("share log stopped: the disk does not keep up")
        sequence = self._sequence + 1
        data = b""
        if self._segment_size >= self._segment_bytes:
            self._segment += 1
            self._segment_size = 0
            self._routes.clear()
            self._chain_sets.clear()
            data = self._segment_start(sequence)
        if route.digest not in self._routes:
            self._routes.add(route.digest)
            data += frame(self._encode(route))
        chain_set = self._chain_sets.get(chains)
        if chain_set is None:
            chain_set = self._chain_sets[chains] = len(self._chain_sets)
            data += frame(self._encode(ChainSet(chain_set, chains)))
        line = ShareLine(sequence, time_ms, route.digest, worker, weight, chain_set, header_hash, stale, solved)
        payload = self._encode(line)
        share = FRAME_HEADER.pack(len(payload), crc32(payload)) + payload
        data = data + share if data else share
        self._sequence = sequence
        self._segment_size += len(data)
        self._asked = True
        if not self._gathered:
            self._loop.call_soon(self._hand_over)
        self._gathered.append((self._segment, data, sequence, 1))
        self._gathered_bytes += len(data)
        return sequence

    @property
    def appended_sequence(self) -> int:
        """The last sequence given out. On the loop's thread."""
        return self._sequence

    def close(self) -> None:
        """Makes everything appended durable and stops the thread; blocks for two syncs of the disk. May be called
        twice, and from any thread.
        """
        with self._close_lock:  # who comes second returns no earlier
            if self._closing:
                return
            self._closing = True
            self._put()
            self._disk.close()
            self._take_progress()
        call_on_loop(self._loop, self._end_looking)

    def _segment_start(self, first_sequence: int) -> bytes:
        start = SegmentStart(FORMAT_VERSION, self._segment, first_sequence, int(self._wall_s() * 1000))
        return frame(self._encode(start))

    # -- the disk's thread -------------------------------------------------------------------------------------------

    def answer_with(self, answers: Callable[[], object]) -> bool:
        """Let the disk's thread answer shares that were queued without append(): `answers` gives what
        DiskThread.answer_with() takes, once for a log. False where the thread is one of Python's."""
        if isinstance(self._disk, DiskThread):
            return False
        self._disk.answer_with(answers())
        self._answered = True
        return True

    def _hand_over(self) -> None:
        """What one turn of the loop appended goes to the disk's thread together, so that one commit carries it."""
        self._put()
        if self._answered:
            self._spread()
            if self._looking is None and not self._closing:
                self._looking = self._loop.call_later(LOOK_S, self._look_again)

    def _put(self) -> None:
        with self._lock:
            gathered, self._gathered, self._gathered_bytes = self._gathered, [], 0
            tell, self._asked = self._asked or not self._answered, False
            try:
                self._note(self._disk.put(gathered, tell))
            except Exception as error:
                # These will never be durable, so nothing after them may be.
                self._fail(self._segment, error)
                call_on_loop(self._loop, self._look)

    def _look(self) -> None:
        """The thread may have something to tell."""
        self._take_progress()
        self._spread()

    def _spread(self) -> None:
        """First what is durable, then that nothing more will be."""
        if self.durable_sequence > self._told_sequence:
            self._told_sequence = self.durable_sequence
            self._on_durable(self.durable_sequence)
        failure, self._untold_failure = self._untold_failure, None
        if failure is not None:
            self._on_error(failure)

    def _look_again(self) -> None:
        """Nobody was told that these are durable, and no others came."""
        self._looking = None
        self._look()
        if self.durable_sequence < self._sequence and self._failure is None and not self._closing:
            self._looking = self._loop.call_later(LOOK_S, self._look_again)

    def _take_progress(self) -> None:
        with self._lock:
            self._note(self._disk.progress())

    def _note(self, progress: Progress) -> None:
        """Brings the attributes up to date."""
        segment, offset, sequence, sync_s, failed, self.pending, self._queued_bytes, size, at_s = progress
        if sequence != self.durable_sequence:
            self.durable_position = Position(segment, offset)  # before the sequence
            self.durable_sequence = sequence
            self.last_fsync_s = sync_s
            self.bytes_written = size
            self.answered_at_s = at_s if self._answered else 0.0
        if failed and self._failure is None:
            self._fail(segment, failed if isinstance(failed, Exception) else OSError(failed, os.strerror(failed)))

    def _fail(self, segment: int, error: BaseException) -> None:
        """Never retried. Whoever waits for an answer gets none, and the pool exits."""
        self._failure = self._untold_failure = error
        log.critical("share log failed, nothing is acknowledged any more segment=%d error=%r", segment, error)

    def _end_looking(self) -> None:
        self._look()
        if self._looking is not None:
            self._looking.cancel()
        self._end_telling()

    # -- reading -----------------------------------------------------------------------------------------------------

    def reader(self) -> ShareLogReader:
        """A reader of its own for one more consumer."""
        return ShareLogReader(self._directory, lambda: self.durable_position)

    def read_from(self, position: Position) -> Iterator[LoggedShare]:
        """Every durable share after `position`, oldest first. For one consumer; others take a `reader()`."""
        return self._reader.read_from(position)

    def read_run(self, position: Position, limit: int) -> ShareRun | None:
        """As ShareLogReader.read_run, for the same one consumer."""
        return self._reader.read_run(position, limit)

    def recent_header_hashes(self, since_ms: int) -> Iterator[bytes]:
        """The header hashes of the durable shares received at or after `since_ms`, to re-seed the dedupe after a
        restart.
        """
        return recent_header_hashes(self._directory, self.durable_position, since_ms)

    def trim(self, position: Position) -> int:
        """Deletes segments that are wholly before `position`, except recent ones (the last few, and those written to in
        the last `keep_s`).

        Returns how many were deleted.
        """
        now_s = self._wall_s()
        removed = 0
        for number in segment_numbers(self._directory)[:-KEEP_SEGMENTS]:
            path = segment_path(self._directory, number)
            if number >= position.segment or now_s - path.stat().st_mtime < self._keep_s:
                break
            path.unlink()
            removed += 1
        if removed:
            sync_directory(self._directory)
            log.info("share log trimmed segments=%d first=%d", removed, segment_numbers(self._directory)[0])
        return removed
