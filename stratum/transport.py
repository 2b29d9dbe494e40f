"""A TCP transport of Twisted that writes at once and reads without a detour, many connections in one turn.

Twisted's own write() waits for the reactor's next turn and two epoll calls (twisted#5303, open since 2011), and its
reactor wraps every read in a logging context; together that is a fifth of the cost of a share. The asyncio reactor is
the only one this program uses, so the socket is given to its loop directly; with any other reactor these classes
behave as Twisted's.
"""

from __future__ import annotations

import logging
import select
import socket
import struct
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet import main, tcp

native_read_ready: Any
try:
    from stratum._read_ready import read_ready as native_read_ready
except ImportError:
    native_read_ready = None

log = logging.getLogger("parapool.stratum")

# Half a kilobyte per share at most: a read holds dozens, and together with an unfinished line stays below
# Limits.unparsed_bytes (16 KiB).
READ_BYTES = 12_288
TCP_INFO_RTT = 68  # offset of tcpi_rtt, microseconds (linux/tcp.h, struct tcp_info)
GATHER_S = 0.008  # on a disk that syncs in a millisecond half of the answers leave within 5 ms, all within 20
COMPANY = 12  # connections in a turn that are worth it
TURN_CONNECTIONS = 256  # read in one turn of the loop, some 10 ms; the others come next, after whatever else is due
SEND_BUFFER_BYTES = 65_536  # of the kernel, which doubles it; left to itself it keeps 4 MB for who reads nothing
BACKLOG = 1024  # a reconnect storm waits in the kernel while the accept rate lets it in


class ReadGate:
    """Reads all connections of a loop in common turns.

    After a quiet time the first bytes are read at once. From then on what comes is gathered for GATHER_S and read in
    one turn, until a turn finds nothing: a wake-up for each share costs more than the share, and its answer waits for
    the share log's next group commit anyway, which then carries the whole turn. A process that shares its miners with
    others sets `lonely_s`, for turns of few connections cost it nearly as much as those of many.
    """

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._readers: dict[int, Callable[[], None]] = {}
        self._armed = False
        self._due: Any = None  # the next turn, while it is gathered for
        self._read_ready = native_read_ready or self._python_read_ready
        self.lonely_s: float | None = None  # gathered for after a turn with little company; None: GATHER_S

    @classmethod
    def of(cls, reactor: Any) -> ReadGate | None:
        """The gate of a reactor's asyncio loop; None for a reactor of another kind, and where there is no epoll."""
        loop = getattr(reactor, "_asyncioEventloop", None)
        if loop is None or not hasattr(select, "epoll"):
            return None
        gate: ReadGate | None = getattr(reactor, "_parapool_read_gate", None)
        if gate is None:
            gate = reactor._parapool_read_gate = cls(loop)
        return gate

    def watch(self, descriptor: int, read: Callable[[], None]) -> None:
        """Call `read` when there is something to read; it may call forget()."""
        self._epoll.register(descriptor, select.EPOLLIN)
        self._readers[descriptor] = read
        if self._due is None and not self._armed:
            self._arm()

    def replace(self, descriptor: int, read: Callable[[], None]) -> None:
        """Call this one from now on."""
        self._readers[descriptor] = read

    def forget(self, descriptor: int) -> None:
        """Before the descriptor is closed."""
        del self._readers[descriptor]
        self._epoll.unregister(descriptor)
        if not self._readers:
            self._rest()

    def _arm(self) -> None:
        self._armed = True
        self._loop.add_reader(self._epoll.fileno(), self._turn)

    def _rest(self) -> None:
        """Nothing is left to watch: leave no trace in the loop."""
        if self._armed:
            self._armed = False
            self._loop.remove_reader(self._epoll.fileno())
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _python_read_ready(
        self, epoll: int, readers: dict[int, Callable[[], None]], most: int, failed: Callable[[BaseException], None]
    ) -> int:
        """What _read_ready.c does."""
        ready = self._epoll.poll(0, most)
        for descriptor, _ in ready:
            read = readers.get(descriptor)
            if read is None:  # an earlier one of this turn ended it
                continue
            try:
                read()
            except Exception as error:
                failed(error)
        return len(ready)

    def _turn(self) -> None:
        self._due = None
        readers = self._readers
        ready = self._read_ready(self._epoll.fileno(), readers, TURN_CONNECTIONS, _failed)
        if not readers:
            return
        if not ready:
            if not self._armed:
                self._arm()
            return
        if self._armed:
            self._armed = False
            self._loop.remove_reader(self._epoll.fileno())
        wait_s = GATHER_S if ready < TURN_CONNECTIONS else 0.0
        if self.lonely_s is not None and ready < COMPANY:
            wait_s = self.lonely_s
        self._due = self._loop.call_later(wait_s, self._turn)


class Reader(Protocol):
    """Who reads a socket in the transport's place, and may write to it from another thread too."""

    def __call__(self) -> None:
        """There is something to read."""

    def send(self, data: bytes, /) -> bool:
        """Sends what is left(), and this. Whether all of it is gone. Only while the transport has nothing queued."""

    def left(self) -> bytes:
        """Takes what could not be sent, to be queued."""

    def hang_up(self) -> None:
        """The socket is about to be closed."""


def _failed(error: BaseException) -> None:
    """An error of ours costs one connection; the others are read on."""
    log.error("connection dropped by an error of ours", exc_info=error)


class DirectServer(tcp.Server):
    """One accepted connection."""

    bufferSize = READ_BYTES
    _watched = -1  # file descriptor registered with the gate
    _queued_bytes = 0
    _reader: Reader | None = None

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
        """The kernel's smoothed round-trip time to the peer (a proxy's, behind one); None where it tells none, and of a
        connection that is over, whose socket is gone. One system call."""
        option = getattr(socket, "TCP_INFO", None)
        if option is None or not self.connected:
            return None
        try:
            info = self.socket.getsockopt(socket.IPPROTO_TCP, option, TCP_INFO_RTT + 4)
        except OSError:
            return None
        return struct.unpack_from("I", info, TCP_INFO_RTT)[0] / 1e6 if len(info) >= TCP_INFO_RTT + 4 else None

    def write(self, data: bytes) -> None:
        if not data or not self.connected or self.disconnecting:
            return
        if not self._is_queued:
            if self._reader is not None:
                data = b"" if self._reader.send(data) else self._reader.left()
            else:
                try:
                    sent = self.socket.send(data)
                except OSError:
                    sent = 0
                data = data[sent:]
        self._queue(data)

    def catch_up(self) -> None:
        """Take over what the reader could not send."""
        if self._reader is None or not self.connected or self.disconnecting:
            return
        if self._is_queued or not self._reader.send(b""):
            self._queue(self._reader.left())

    @property
    def _is_queued(self) -> bool:
        return bool(self.dataBuffer or self._tempDataLen)

    def _queue(self, data: bytes) -> None:
        """There is no room, or the connection is lost: the queued write knows how to wait and how to end it."""
        if data:
            self._queued_bytes += len(data)
            super().write(data)

    def startReading(self) -> None:
        gate = ReadGate.of(self.reactor)
        if gate is None:
            super().startReading()
        elif self._watched < 0:
            self._watched = self.fileno()
            gate.watch(self._watched, self._reader or self._readable)

    def connectionLost(self, reason: Any) -> None:
        if self._reader is not None:
            self._reader.hang_up()  # the descriptor is another connection's at once
        super().connectionLost(reason)

    def read_through(self, reader: Reader) -> None:
        """Somebody else reads the socket from now on, and hands to take() what is not for it."""
        self._reader = reader
        if self._watched >= 0:
            gate = ReadGate.of(self.reactor)
            assert gate is not None, "it was watched by it"
            gate.replace(self._watched, reader)

    def stopReading(self) -> None:
        if self._watched >= 0:
            gate = ReadGate.of(self.reactor)
            assert gate is not None, "it was watched by it"
            gate.forget(self._watched)
            self._watched = -1
        else:
            super().stopReading()

    def _readable(self) -> None:
        data: bytes | None = None
        try:
            data = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            pass
        self.take(data)

    def take(self, data: bytes | None) -> None:
        """What a read gave: nothing at the end, None for an error."""
        why: Any = None
        try:
            if data:
                protocol: Any = self.protocol  # zope's interface counts self among a method's arguments
                protocol.dataReceived(data)
            else:
                why = main.CONNECTION_LOST if data is None else main.CONNECTION_DONE
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
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)  # of what it accepts, too
        if hasattr(socket, "SO_REUSEPORT"):
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        return made
