"""The share log: an accepted share is on disk before its answer is sent.

Append-only segments DATA_DIR/shares/NNNNNNNN.log, written by one thread as a group commit: everything that arrived
since the last commit is written and fdatasync'ed together, and then told to the loop in one call. What one turn of the
loop appends is one commit; miners are read in common turns (stratum/transport.py), which sets the rhythm. The thread
is one of C's where that was built (_disk_thread.c): one of Python's takes the interpreter's lock from the loop three
times for each commit. This file has the same in Python.

Three rules:
 * An error of write or fdatasync is never retried: after EIO the kernel may have dropped the pages and a second
   fdatasync would lie. The log stops, `on_error` is called once, every later append raises ShareLogStopped.
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
from typing import Any, Protocol
from zlib import crc32

import msgspec

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

DiskThread: Any
try:
    from pool.shares._disk_thread import DiskThread
except ImportError:
    DiskThread = None

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


class AppendFile(Protocol):
    def write(self, data: bytes) -> None: ...
    def sync(self) -> None: ...
    def close(self) -> None: ...


class ShareLog:
    """Append from the loop's thread, read from any one other thread.

    Plain attributes for metrics: `bytes_written`, `pending` (shares not yet durable), `last_fsync_s`,
    `durable_sequence` and `durable_position` (all sequences up to the first are before the second, or never became
    durable), `answered_at_s` (when the disk's thread last answered shares, monotonic; 0 where the loop does that).
    """

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
        self._interval_s = interval_s
        self._segment_bytes = segment_bytes
        self._open_file = open_file
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

        self._condition = threading.Condition()  # with a writer of Python
        self._lock = threading.Lock()  # with one of C
        self._gathered: list[tuple[int, bytes, int, int]] = []  # appended in this turn of the loop, not yet handed over
        self._gathered_bytes = 0
        self._queue: list[tuple[int, bytes, int, int]] = []
        self._queued_bytes = 0
        self._closing = False
        self._failure: BaseException | None = None

        self._segment = max(segment, consumed[0].segment) + 1
        self._routes: set[bytes] = set()
        self._chain_sets: dict[tuple[str, ...], int] = {}
        start = self._segment_start(self._sequence + 1)
        self._segment_size = len(start)
        self._file = self._create(self._segment)
        self._file.write(start)
        self._file.sync()
        self.durable_position = Position(self._segment, len(start))
        self._reader = self.reader()
        self._disk: Any = None
        self._told_by = -1  # the eventfd by which _disk wakes the loop
        self._told_sequence = self.durable_sequence
        self._answered = False  # by _disk, shares of which nobody waits to be told
        self._asked = False  # somebody waits for the shares of this turn
        self._looking: TimerHandle | None = None
        self.answered_at_s = 0.0
        self._untold_failure: BaseException | None = None
        if DiskThread is not None and type(self._file) is SegmentFile:
            self._begin_disk_thread(self._file)
        else:
            self._thread = threading.Thread(target=self._write_all, name="share-log", daemon=True)
            self._thread.start()

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

    def _hand_over(self) -> None:
        """What one turn of the loop appended goes to the writer together, so that one commit carries it."""
        if self._disk is not None:
            self._put()
            if self._answered:
                self._spread()
                if self._looking is None and not self._closing:
                    self._looking = self._loop.call_later(LOOK_S, self._look_again)
            return
        with self._condition:
            self._queue += self._gathered
            self._queued_bytes += self._gathered_bytes
            self.pending += len(self._gathered)
            self._gathered, self._gathered_bytes = [], 0
            self._condition.notify()

    @property
    def appended_sequence(self) -> int:
        """The last sequence given out. On the loop's thread."""
        return self._sequence

    def close(self) -> None:
        """Makes everything appended durable and stops the thread; blocks for about one fdatasync. May be called
        twice.
        """
        if self._disk is not None:
            self._end_disk_thread()
            return
        with self._condition:
            self._closing = True
            self._hand_over()
        self._thread.join()

    # -- with the writer in C ----------------------------------------------------------------------------------------

    def _begin_disk_thread(self, file: SegmentFile) -> None:
        self._told_by = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._disk = DiskThread(
            os.fsencode(self._directory), file.detach(), *self.durable_position, self.durable_sequence,
            self._interval_s, self._told_by,
        )  # fmt: skip
        self._loop.add_reader(self._told_by, self._look)

    def answer_with(self, answers: Callable[[], object]) -> bool:
        """Let the disk's thread answer shares that were queued without append(): `answers` gives what
        DiskThread.answer_with() takes, once for a log. False without such a thread."""
        if self._disk is None:
            return False
        self._disk.answer_with(answers())
        self._answered = True
        return True

    def _put(self) -> None:
        with self._lock:  # close() may come from another thread
            gathered, self._gathered, self._gathered_bytes = self._gathered, [], 0
            tell, self._asked = self._asked or not self._answered, False
            try:
                self._note(self._disk.put(gathered, tell))
            except Exception as error:
                # These will never be durable, so nothing after them may be.
                self._fail(self._segment, error)
                self._tell(lambda _: self._look(), None)

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

    def _note(self, progress: tuple[int, int, int, float, int, int, int, int, float]) -> None:
        """Brings the attributes up to date."""
        segment, offset, sequence, sync_s, code, self.pending, self._queued_bytes, size, at_s = progress
        if sequence != self.durable_sequence:
            self.durable_position = Position(segment, offset)  # before the sequence
            self.durable_sequence = sequence
            self.last_fsync_s = sync_s
            self.bytes_written = size
            self.answered_at_s = at_s if self._answered else 0.0
        if code and self._failure is None:
            self._fail(segment, OSError(code, os.strerror(code)))

    def _fail(self, segment: int, error: BaseException) -> None:
        """Never retried. Whoever waits for an answer gets none, and the pool exits."""
        self._failure = self._untold_failure = error
        log.critical("share log failed, nothing is acknowledged any more segment=%d error=%r", segment, error)

    def _end_disk_thread(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._put()
        self._disk.close()
        self._take_progress()
        self._tell(self._end_looking, None)

    def _end_looking(self, _: None) -> None:
        self._look()
        if self._looking is not None:
            self._looking.cancel()
        self._loop.remove_reader(self._told_by)
        os.close(self._told_by)

    # -- the writer's side -------------------------------------------------------------------------------------------

    def _write_all(self) -> None:
        try:
            while self._commit():
                pass
            self._file.close()
        except Exception as error:
            self._fail(self._segment, error)
            self._tell(self._on_error, error)

    def _commit(self) -> bool:
        """Waits for shares and makes them durable. False when the log is closed and empty."""
        with self._condition:
            while not self._queue and not self._closing:
                self._condition.wait()
            if not self._queue:
                return False
            batch = self._queue
            self._queue = []
        began = time.monotonic()
        segment = batch[0][0]
        if segment != self.durable_position.segment:
            self._rotate(segment)
        # A batch that crosses a rotation is committed segment by segment, so that a later segment never holds shares
        # while an earlier one could still be torn.
        count = next((index for index, item in enumerate(batch) if item[0] != segment), len(batch))
        data = b"".join(item[1] for item in batch[:count])
        self._file.write(data)
        self._file.sync()
        ended = time.monotonic()
        self.last_fsync_s = ended - began
        self.bytes_written += len(data)
        self.durable_position = Position(segment, self.durable_position.offset + len(data))
        self.durable_sequence = batch[count - 1][2]
        with self._condition:
            self._queue[:0] = batch[count:]
            self._queued_bytes -= len(data)
            self.pending -= count
            closing = self._closing
        self._tell(self._on_durable, self.durable_sequence)
        pause_s = self._interval_s - (ended - began)
        if pause_s > 0.0 and not closing:
            time.sleep(pause_s)
        return True

    def _rotate(self, segment: int) -> None:
        self._file.close()
        self._file = self._create(segment)
        self.durable_position = Position(segment, 0)

    def _create(self, segment: int) -> AppendFile:
        file = self._open_file(segment_path(self._directory, segment))
        sync_directory(self._directory)
        return file

    def _segment_start(self, first_sequence: int) -> bytes:
        start = SegmentStart(FORMAT_VERSION, self._segment, first_sequence, int(self._wall_s() * 1000))
        return frame(self._encode(start))

    def _tell(self, callback: Callable[[Any], None], value: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, value)
        except RuntimeError:
            # A closed loop has nobody left to answer; the shares are on disk all the same.
            if not self._loop.is_closed():
                raise

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
