"""Who may listen on a port that somebody listens on already: processes of the same pool, nobody else.

SO_REUSEPORT lets any process of the same user join in, and the kernel would then deal miners out between two pools that
share a port by mistake. So a listener also holds a name in the abstract socket namespace (unix(7)) that says which
port and whose: it has the scope of the port itself (the network namespace) and goes with the process, whatever ends it.
"""

from __future__ import annotations

import errno
import os
import socket
from hashlib import blake2s
from pathlib import Path

_NAMES = Path("/proc/self/net/unix")  # below the process, where a unit with ProcSubset=pid has it too
_PREFIX = "parapool-port"


class PortTakenError(OSError):
    """Somebody else listens there."""


class PortClaim:
    """`owner` tells one pool from another: what its processes have in common and nobody else has."""

    def __init__(self, owner: str) -> None:
        self._mark = blake2s(owner.encode(), digest_size=12).hexdigest()
        self._held: list[socket.socket] = []

    def take(self, host: str, port: int) -> None:
        """Before listening. Raises PortTakenError, or OSError when the address cannot be had at all."""
        if port == 0 or not _NAMES.exists():  # without the namespace there is no SO_REUSEPORT of use either
            return
        if _is_taken(host, port) and not self._has_kin(port):
            raise PortTakenError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        held.bind(f"\0{_PREFIX}-{port}-{self._mark}-{os.getpid()}-{id(held)}")
        self._held.append(held)

    def release(self) -> None:
        for held in self._held:
            held.close()
        self._held.clear()

    def _has_kin(self, port: int) -> bool:
        beginning = f"@{_PREFIX}-{port}-{self._mark}-"
        return any(line.rpartition(" ")[2].startswith(beginning) for line in _NAMES.read_text().splitlines())


def _is_taken(host: str, port: int) -> bool:
    """Whether a socket listens there now. Raises OSError for any other reason why the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # else connections that just ended would count
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True
            raise
    return False
