"""A front end's process: started by its mother, known by its socket, and dead when the lock of its folder is free.

Process ids come from the kernel, by the socket; a signal goes to a process only while its folder is locked, so to no
stranger who got the number after it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

log = logging.getLogger("parapool.frontends")


def front_end_command(socket: Path, slot: int) -> list[str]:
    """With this very interpreter; -P keeps a folder named pool in the working directory from being taken for ours."""
    return [sys.executable, "-P", "-m", "pool", "front-end", str(socket), str(slot)]


def is_locked(folder: Path) -> bool:
    """Whether a process has the folder."""
    path = folder / "lock"
    if not path.exists():
        return False
    with path.open("r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def known_pid(folder: Path) -> int | None:
    """The process that has the folder, by its own word; None when nobody has it."""
    if not is_locked(folder):
        return None
    with suppress(OSError, ValueError):
        return int((folder / "pid").read_text())
    return None


class FrontEndProcess:
    """One process of a slot, ours or one that was there before us."""

    def __init__(self, folder: Path, pid: int, popen: subprocess.Popen[bytes] | None = None) -> None:
        self._folder = folder
        self.pid = pid
        self._popen = popen

    @classmethod
    def start(cls, folder: Path, command: Sequence[str]) -> FrontEndProcess:
        """In a session of its own, so that Ctrl-C at the terminal reaches the mother only. Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        return cls(folder, popen.pid, popen)

    @property
    def is_over(self) -> bool:
        if self._popen is not None:
            return self._popen.poll() is not None
        if is_locked(self._folder):
            return False
        with suppress(ChildProcessError):  # a child of ours all the same, when we are our predecessor's successor
            os.waitpid(self.pid, os.WNOHANG)
        return True

    @property
    def exit_code(self) -> int | None:
        """None while it runs, and of a process that is not ours; negative after a signal."""
        return None if self._popen is None else self._popen.poll()

    def send(self, number: signal.Signals) -> None:
        if not self.is_over:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)
