"""Ports for processes of tests."""

from __future__ import annotations

import random
import socket

# Below those that the system gives to outgoing connections, so that a port stays free until its process listens.
PORTS = range(20_000, 32_000)
ROWS = range(12_000, 20_000)  # where no single one is given
_given: set[int] = set()


def free_port() -> int:
    """A port that nobody listens on, another one at each call."""
    while True:
        number = random.choice(PORTS)
        if number in _given:
            continue
        if _is_free(number):
            _given.add(number)
            return number


def free_ports(count: int) -> int:
    """The first of so many ports in a row."""
    while True:
        first = random.choice(ROWS[:-count])
        if all(_is_free(number) for number in range(first, first + count)):
            return first


def _is_free(number: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number))
        except OSError:
            return False
        return True
