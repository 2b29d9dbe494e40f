"""The demo's child processes: started with a log file each, watched, stopped by their own process ids and nothing else.

Each child leads a session of its own, so that Ctrl-C at the terminal reaches only the demo, which then stops them in
order. Should the demo itself be killed, the kernel sends them SIGTERM (prctl PR_SET_PDEATHSIG): no orphan keeps a port.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

STOP_S = 10.0
"""Time between SIGTERM and SIGKILL: the pool finishes submissions under way in it."""

TAIL_LINES = 12
TAIL_BYTES = 16_384
_PR_SET_PDEATHSIG = 1


class ChildEndedError(Exception):
    """A child ended by itself, or never became ready. `child` says which."""

    def __init__(self, child: Child, what: str) -> None:
        super().__init__(f"{child.name} {what}")
        self.child = child


class Child:
    """One process that writes both its outputs to `log_path`, which later starts append to."""

    def __init__(self, name: str, arguments: Sequence[str], log_path: Path) -> None:
        """Starts it. Raises OSError."""
        self.name = name
        self.log_path = log_path
        log_path.parent.mkdir(parents=True, exist_ok=True)
        with log_path.open("ab") as log_file:
            self._log_start = log_file.tell()
            self.process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
                preexec_fn=_die_with_parent(),
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def exit_code(self) -> int | None:
        """None while it runs, negative after a signal."""
        return self.process.poll()

    def log_text(self) -> str:
        """What it wrote since this start."""
        with self.log_path.open("rb") as log_file:
            log_file.seek(self._log_start)
            return log_file.read().decode("utf-8", "replace")

    def tail(self) -> list[str]:
        """Its last lines, for the sentence that says why it ended."""
        with self.log_path.open("rb") as log_file:
            size = log_file.seek(0, os.SEEK_END)
            log_file.seek(max(self._log_start, size - TAIL_BYTES))
            return log_file.read().decode("utf-8", "replace").splitlines()[-TAIL_LINES:]

    def is_ready(self) -> bool:
        """Whether it printed a line that begins with READY."""
        return any(line.startswith("READY") for line in self.log_text().splitlines())

    def signal_group(self, number: int) -> None:
        """To the child and what it started itself (hashing processes); the group's id is the child's own."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)


def pool_command(*arguments: str) -> list[str]:
    """The command line of `pool ...` with this very interpreter; -P keeps a folder named pool in the working directory
    from being taken for the package."""
    return [sys.executable, "-P", "-m", "pool", *arguments]


def wait_until(
    ready: Callable[[], bool], children: Iterable[Child], interrupted: Callable[[float], bool], limit_s: float
) -> bool:
    """True once `ready`; False when interrupted or out of time. Raises ChildEndedError when one of `children` ends.

    `interrupted(seconds)` waits for so long and says whether the user wants to stop.
    """
    until = time.monotonic() + limit_s
    while True:
        if ready():
            return True
        raise_if_ended(children)
        if time.monotonic() >= until or interrupted(0.1):
            return False


def raise_if_ended(children: Iterable[Child]) -> None:
    for child in children:
        code = child.exit_code()
        if code is not None:
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            raise ChildEndedError(child, how)


def stop(children: Sequence[Child], limit_s: float = STOP_S) -> list[str]:
    """End these together: SIGTERM, after the limit SIGKILL. Returns the names of those that had to be killed."""
    for child in children:
        if child.exit_code() is None:
            child.process.terminate()
    until = time.monotonic() + limit_s
    killed = []
    for child in children:
        try:
            child.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            killed.append(child.name)
            child.signal_group(signal.SIGKILL)
            child.process.wait()
    return killed


def _die_with_parent() -> Callable[[], None] | None:
    """What a child does between fork and exec: ask for SIGTERM when its parent dies. Linux only."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def prepare() -> None:
        library.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it died before we could ask
            os._exit(1)

    return prepare
