"""A TCP transport of Twisted that writes at once and reads without a detour.

Twisted's own write() waits for the reactor's next turn and two epoll calls (twisted#5303, open since 2011), and its
reactor wraps every read in a logging context; together that is a fifth of the cost of a share. The asyncio reactor is
the only one this program uses, so the socket is given to its loop directly; with any other reactor these classes
behave as Twisted's.
"""

from __future__ import annotations

import logging
import socket
import struct
from typing import Any

from twisted.internet import main, tcp

log = logging.getLogger("parapool.stratum")

# Half a kilobyte per share at most: a read holds dozens, and together with an unfinished line stays below
# Limits.unparsed_bytes (16 KiB).
READ_BYTES = 12_288
TCP_INFO_RTT = 68  # offset of tcpi_rtt, microseconds (linux/tcp.h, struct tcp_info)
BACKLOG = 1024  # a reconnect storm waits in the kernel while the accept rate lets it in


class DirectServer(tcp.Server):
    """One accepted connection."""

    bufferSize = READ_BYTES
    _watched = -1  # file descriptor registered with the loop
    _queued_bytes = 0

    @property
    def unsent_bytes(self) -> int:
        """Bytes the peer has not taken."""
        return len(self.dataBuffer) - self.offset + self._tempDataLen

    @property
    def drained_bytes(self) -> int:
        """Of what ever had to wait, how much has gone; standing still while unsent_bytes > 0 means a slow reader."""
        return self._queued_bytes - self.unsent_bytes

    @property
    def round_trip_s(self) -> float | None:
        """The kernel's smoothed round-trip time to the peer (a proxy's, behind one); None where it tells none. One
        system call."""
        option = getattr(socket, "TCP_INFO", None)
        if option is None:
            return None
        try:
            info = self.socket.getsockopt(socket.IPPROTO_TCP, option, TCP_INFO_RTT + 4)
        except OSError:
            return None
        return struct.unpack_from("I", info, TCP_INFO_RTT)[0] / 1e6 if len(info) >= TCP_INFO_RTT + 4 else None

    def write(self, data: bytes) -> None:
        if not data or not self.connected or self.disconnecting:
            return
        if not self.dataBuffer and not self._tempDataLen:
            sent = self.writeSomeData(data)
            if isinstance(sent, int):
                if sent == len(data):
                    return
                data = data[sent:]
            # A lost connection shows again at the queued write below, which knows how to end it.
        self._queued_bytes += len(data)
        super().write(data)

    def startReading(self) -> None:
        loop = getattr(self.reactor, "_asyncioEventloop", None)
        if loop is None:
            super().startReading()
        elif self._watched < 0:
            self._watched = self.fileno()
            loop.add_reader(self._watched, self._readable)

    def stopReading(self) -> None:
        if self._watched >= 0:
            self.reactor._asyncioEventloop.remove_reader(self._watched)
            self._watched = -1
        else:
            super().stopReading()

    def _readable(self) -> None:
        try:
            why: Any = self.doRead()
        except Exception:
            log.exception("connection dropped by an error of ours")
            why = main.CONNECTION_LOST
        if why is not None:
            self.reactor._disconnectSelectable(self, why, True)


class DirectPort(tcp.Port):
    """Listens for DirectServer connections."""

    transport = DirectServer

    def __init__(self, port: int, factory: Any, host: str, reactor: Any) -> None:
        super().__init__(port, factory, backlog=BACKLOG, interface=host, reactor=reactor)

    def createInternetSocket(self) -> socket.socket:
        """One that other processes of the same pool may listen beside; stratum/port_claim.py keeps strangers off."""
        made: socket.socket = super().createInternetSocket()
        if hasattr(socket, "SO_REUSEPORT"):
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        return made
