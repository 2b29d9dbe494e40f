"""Space set aside on the disk of found blocks, so that a full disk has room for them still.

A disk that is full takes no record of a found block, and a block without a record is in the wallet and in nobody's
books. The share log notices the full disk too, but only with its next block of the file system, which on a small pool
may be minutes later.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger("parapool.blocks")

RESERVE_BYTES = 8 << 20
"""Some thousand auxiliary blocks, or two of the largest that Bitcoin allows, in hex."""

FULL = (errno.ENOSPC, errno.EDQUOT)

STEP_BYTES = 64 << 10
"""What a file takes beside its content at most: its last block, its entry in the folder."""


class SpaceReserve:
    """A file of so many bytes that gives way, piece by piece, to what has to be written. 0 bytes are no reserve."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size
        self._lock = threading.Lock()
        self._fill()

    def _fill(self) -> None:
        """As far as the disk allows: what lies on a full disk already has to be readable all the same."""
        if not self._size:
            return
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self._size)
            finally:
                os.close(descriptor)
        except OSError as error:
            log.warning("no space can be set aside for found blocks: %s", error)

    def write(self, size: int, write: Callable[[], None]) -> None:
        """Calls `write`, which writes `size` bytes; on a full disk once more, with so much of the reserve given up.
        Raises OSError when that does not do either.
        """
        try:
            write()
        except OSError as error:
            if error.errno not in FULL or not self._give(size + STEP_BYTES):
                raise
            write()

    def _give(self, size: int) -> bool:
        """Whether there was anything left to give."""
        with self._lock:
            try:
                left = self._path.stat().st_size
            except FileNotFoundError:
                return False
            if left:
                os.truncate(self._path, max(0, left - size))
            return left > 0
