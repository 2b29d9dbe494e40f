"""A disk that forgets what was not synced: files are real, and a crash takes back what no fsync had made durable.

The share log writes through `SegmentFile` here, the solution store through `os` and `_remove` (`installed`). A crash
keeps any prefix of what a file got since its last sync, possibly with a hole and followed by zeros, and undoes
renames, removals and new names of a folder from any one of those on that its last sync did not cover.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from sim_faults import Faults

from pool.blocks import solution_store
from pool.shares import disk_thread, share_log


def disk_error(text: str) -> OSError:
    return OSError(errno.EIO, text)


class FaultyDisk:
    """Everything that files of one run do goes through one of these."""

    def __init__(self, random: Random, faults: Faults) -> None:
        self._random = random
        self._faults = faults
        self._files: list[SegmentFile] = []
        self._pending: dict[Path, list[Callable[[], None]]] = {}
        self._synced: set[str] = set()

    # -- what the share log uses ---------------------------------------------------------------------------------------

    def open_segment(self, path: Path) -> SegmentFile:
        file = SegmentFile(path, self._faults)
        self._files.append(file)
        self._undoable(path.parent, lambda: path.unlink(missing_ok=True))
        return file

    def sync_directory(self, directory: Path) -> None:
        self._faults.point("log.dirsync.before")
        self._pending.pop(directory, None)
        self._faults.point("log.dirsync.after")

    # -- what the solution store uses ----------------------------------------------------------------------------------

    def fsync(self, descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        self._faults.point("solution.fsync.before", disk_error)
        if path.is_dir():
            self._pending.pop(path, None)
        else:
            self._synced.add(str(path))
        self._faults.point("solution.fsync.after", disk_error)

    def rename(self, source: Path, target: Path) -> None:
        self._faults.point("solution.rename.before", disk_error)
        was_synced = str(source) in self._synced
        os.rename(source, target)
        self._synced.discard(str(source))

        def undo() -> None:
            if target.exists():
                os.rename(target, source)

        self._undoable(target.parent, undo)
        if not was_synced:
            # The name may become durable before the content: then the file is there and empty.
            self._undoable(target.parent, lambda: target.write_bytes(b"") and None)
        self._faults.point("solution.rename.after", disk_error)

    def remove(self, path: Path) -> None:
        self._faults.point("solution.remove.before", disk_error)
        content = path.read_bytes()
        path.unlink()
        self._undoable(path.parent, lambda: path.write_bytes(content) and None)
        self._faults.point("solution.remove.after", disk_error)
        self._pending.pop(path.parent, None)
        self._faults.point("solution.remove.synced", disk_error)

    # -- the crash -----------------------------------------------------------------------------------------------------

    def _undoable(self, folder: Path, undo: Callable[[], None]) -> None:
        self._pending.setdefault(folder, []).append(undo)

    def crash(self) -> None:
        """What is not durable may be lost: this much of it is."""
        for file in self._files:
            file.tear(self._random)
        self._files.clear()
        for undos in self._pending.values():
            kept = self._random.randint(0, len(undos))
            for undo in reversed(undos[kept:]):
                undo()
        self._pending.clear()
        self._synced.clear()

    @contextmanager
    def installed(self) -> Iterator[None]:
        shim = SimpleNamespace(
            **{name: getattr(os, name) for name in ("listdir", "open", "close", "getpid", "O_RDONLY", "O_DIRECTORY")},
            fsync=self.fsync,
            rename=self.rename,
        )
        with (
            patch.object(solution_store, "os", shim),
            patch.object(solution_store, "_remove", self.remove),
            patch.object(share_log, "sync_directory", self.sync_directory),
            patch.object(disk_thread, "sync_directory", self.sync_directory),
            patch.object(disk_thread.threading, "Thread", _NoThread),
        ):
            yield


class SegmentFile:
    """A segment of the share log. What was written and not synced is in `_waiting`, not in the file."""

    def __init__(self, path: Path, faults: Faults) -> None:
        self._path = path
        self._faults = faults
        self._waiting = b""
        path.open("xb").close()

    def write(self, data: bytes) -> None:
        self._faults.point("log.write")
        self._waiting += data

    def sync(self) -> None:
        self._faults.point("log.fsync.before")
        self._flush(self._waiting)
        self._faults.point("log.fsync.after")

    def close(self) -> None:
        """The log syncs before it closes."""

    def tear(self, random: Random) -> None:
        """Any part of the waiting bytes reached the disk, over zeros written ahead: those are behind them, and
        where a page would have got there later than the next one, between them."""
        kept = self._waiting[: random.randint(0, len(self._waiting))]
        if self._waiting and random.random() < 0.3:
            zeros = random.randint(1, 40)
            begin, end = len(kept) * zeros // 80, len(kept) * zeros // 40
            if zeros % 2:
                kept = kept[:begin] + bytes(end - begin) + kept[end:]
            kept += bytes(1000 * zeros)
        self._waiting = b""
        if self._path.exists():
            self._flush(kept)

    def _flush(self, data: bytes) -> None:
        with self._path.open("ab") as file:
            file.write(data)
        self._waiting = b""


class _NoThread:
    """The share log's writer does not run by itself: the world lets it commit when the seed says so."""

    def __init__(self, **options: Any) -> None:
        pass

    def start(self) -> None:
        pass

    def join(self) -> None:
        pass
