"""The share log's writer: a thread that makes what the loop puts durable, and tells the loop.

Everything that was put since the last commit is written and synced together. The thread is one of C's
(_disk_thread.c) where that was built: one of Python's takes the interpreter's lock from the loop three times for each
commit. Here are its twin in Python, for files that are not the system's own, such as a test's failing disk, and which
of the two a log gets. C writes over zeros that it wrote ahead (_segment_file.h), the twin appends; a segment that is
finished is the same of both, and what a crash leaves is cut the same way.

An error of write or fdatasync is never retried: after EIO the kernel may have dropped the pages and a second fdatasync
would lie. The thread ends, and nothing that was put later is ever durable.
"""

from __future__ import annotations

import os
import threading
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pool.shares.log_segment import SegmentFile, segment_path, sync_directory

if TYPE_CHECKING:
    from pool.shares import _disk_thread

NativeThread: type[_disk_thread.DiskThread] | None
try:
    from pool.shares._disk_thread import DiskThread as NativeThread
except ImportError:
    NativeThread = None

Entry = tuple[int, bytes, int, int]
"""The log's next bytes: segment, data, the number of its last share, how many shares."""

Progress = tuple[int, int, int, float, int | Exception, int, int, int, float]
"""Segment, offset and sequence up to which all is durable, seconds that the last commit took, what ended the thread (0:
nothing; C knows the errno, Python the exception), shares and bytes that wait, bytes written, when the last commit ended
(monotonic seconds)."""


class AppendFile(Protocol):
    def write(self, data: bytes) -> None: ...
    def sync(self) -> None: ...
    def close(self) -> None: ...


class DiskThread:
    """The twin of C's DiskThread, without answer_with(): shares that it writes are answered by the loop.

    `file` is of `segment`, where everything up to `offset` and `sequence` is durable; later ones are made by
    `open_file`. `tell` is called by the thread. `interval_s` is the shortest time between two commits.
    """

    def __init__(
        self,
        directory: Path,
        file: AppendFile,
        segment: int,
        offset: int,
        sequence: int,
        interval_s: float,
        tell: Callable[[], None],
        open_file: Callable[[Path], AppendFile],
    ) -> None:
        self._directory = directory
        self._file = file
        self._interval_s = interval_s
        self._tell = tell
        self._open_file = open_file
        self._condition = threading.Condition()  # for all below
        self._queue: list[Entry] = []
        self._closing = False
        self._failure: Exception | None = None
        self._segment, self._offset, self._sequence = segment, offset, sequence  # durable
        self._wanted_sequence = sequence  # up to which the loop wants to be told
        self._shares_waiting = 0
        self._bytes_waiting = 0
        self._bytes_written = 0
        self._sync_s = 0.0
        self._synced_at_s = 0.0
        self._thread = threading.Thread(target=self._write_all, name="share-log", daemon=True)
        self._thread.start()

    # -- the loop's side ---------------------------------------------------------------------------------------------

    def put(self, entries: list[Entry], tell: bool, /) -> Progress:
        """Segments never fall. `tell`: the loop is told as soon as these are durable, with the commits before them; it
        always is at an error. Returns progress(). All of the entries are taken, or none with an exception."""
        size = sum(len(data) for _, data, _, _ in entries)
        shares = sum(count for _, _, _, count in entries)
        with self._condition:
            self._queue += entries
            self._bytes_waiting += size
            self._shares_waiting += shares
            if entries:
                if tell:
                    self._wanted_sequence = entries[-1][2]
                self._condition.notify()
            return self._progress()

    def progress(self) -> Progress:
        with self._condition:
            return self._progress()

    def close(self) -> None:
        """Returns when what was put is durable, or failed."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        self._thread.join()

    def _progress(self) -> Progress:
        return (
            self._segment, self._offset, self._sequence, self._sync_s, self._failure or 0, self._shares_waiting,
            self._bytes_waiting, self._bytes_written, self._synced_at_s,
        )  # fmt: skip

    # -- the thread's ------------------------------------------------------------------------------------------------

    def _write_all(self) -> None:
        try:
            while self._commit():
                pass
            self._file.close()
        except Exception as error:
            with self._condition:
                self._failure = error
            self._tell()

    def _commit(self) -> bool:
        """Waits for entries and makes them durable. False when nothing is left and nothing will come."""
        with self._condition:
            while not self._queue and not self._closing:
                self._condition.wait()
            if not self._queue:
                return False
            batch, self._queue = self._queue, []
        began_s = time.monotonic()
        segment, offset = batch[0][0], self._offset
        if segment != self._segment:
            self._file.close()
            self._file = create_segment(self._directory, segment, self._open_file)
            offset = 0
        # A batch that crosses a rotation is committed segment by segment, so that a later segment never holds shares
        # while an earlier one could still be torn.
        count = next((index for index, entry in enumerate(batch) if entry[0] != segment), len(batch))
        data = b"".join(entry[1] for entry in batch[:count])
        self._file.write(data)
        self._file.sync()
        ended_s = time.monotonic()
        with self._condition:
            wanted = self._sequence < self._wanted_sequence
            self._queue[:0] = batch[count:]
            self._segment, self._offset, self._sequence = segment, offset + len(data), batch[count - 1][2]
            self._shares_waiting -= sum(entry[3] for entry in batch[:count])
            self._bytes_waiting -= len(data)
            self._bytes_written += len(data)
            self._sync_s, self._synced_at_s = ended_s - began_s, ended_s
        if wanted:
            self._tell()
        pause_s = self._interval_s - (ended_s - began_s)
        if pause_s > 0.0:
            with self._condition:
                self._condition.wait_for(lambda: self._closing, pause_s)
        return True


def create_segment(directory: Path, segment: int, open_file: Callable[[Path], AppendFile]) -> AppendFile:
    """A new segment's file, its name durable."""
    file = open_file(segment_path(directory, segment))
    sync_directory(directory)
    return file


def begin_disk_thread(
    directory: Path,
    segment: int,
    start: bytes,
    sequence: int,
    interval_s: float,
    open_file: Callable[[Path], AppendFile],
    loop: AbstractEventLoop,
    look: Callable[[], None],
) -> tuple[DiskThread | _disk_thread.DiskThread, Callable[[], None]]:
    """The writer of a new segment, of which `start` is durable then, and what ends its telling, for the loop's thread
    when the writer is closed. Until then `look` is called on the loop whenever there is something to tell.

    Raises OSError.
    """
    file = create_segment(directory, segment, open_file)
    file.write(start)
    file.sync()
    durable = segment, len(start), sequence
    if NativeThread is None or type(file) is not SegmentFile:
        tell = partial(call_on_loop, loop, look)
        return DiskThread(directory, file, *durable, interval_s, tell, open_file), lambda: None
    told = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    thread = NativeThread(os.fsencode(directory), file.detach(), *durable, interval_s, told)
    loop.add_reader(told, look)

    def end_telling() -> None:
        loop.remove_reader(told)
        os.close(told)

    return thread, end_telling


def call_on_loop(loop: AbstractEventLoop, call: Callable[[], None]) -> None:
    """From any thread. A closed loop has nobody left to answer; the shares are on disk all the same."""
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError:
        if not loop.is_closed():
            raise
