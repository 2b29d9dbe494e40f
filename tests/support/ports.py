"""Ports for processes of tests, of which several run at once."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

# Below those that the system gives to outgoing connections, so that a port stays free until its process listens.
PORTS = range(20_000, 32_000)
ROWS = range(12_000, 20_000)  # where no single one is given


class Claims:
    """Which ports the test processes of this machine have given away: a byte of one file is locked for each. The locks
    end with their process, whatever ends it."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._own: set[int] = set()

    def take(self, number: int) -> bool:
        """Whether the port is ours now, and was nobody's before."""
        if number in self._own:
            return False
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except BlockingIOError:
            return False
        self._own.add(number)
        return True


_claims = Claims(Path(tempfile.gettempdir()) / f"parapool-test-ports-{os.getuid()}")


def free_port() -> int:
    """A port that nobody listens on, another one at each call and for each process of tests."""
    while True:
        number = random.choice(PORTS)
        if _claims.take(number) and _is_free(number):
            return number


def free_ports(count: int) -> int:
    """The first of so many such ports in a row."""
    while True:
        first = random.choice(ROWS[:-count])
        if all(_claims.take(number) and _is_free(number) for number in range(first, first + count)):
            return first


def _is_free(number: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number))
        except OSError:
            return False
        return True
