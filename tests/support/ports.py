"""Ports for processes of tests."""

from __future__ import annotations

import random
import socket

# Below those that the system gives to outgoing connections, so that a port stays free until its process listens.
PORTS = range(20_000, 32_000)
_given: set[int] = set()


def free_port() -> int:
    """A port that nobody listens on, another one at each call."""
    while True:
        number = random.choice(PORTS)
        if number in _given:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", number))
            except OSError:
                continue
        _given.add(number)
        return number
