"""The mother's end of the local socket: every front end here gets the same bytes, and none waits for another.

The socket is a file that only the pool's own user may open. What is published is encoded once; a front end that does
not take its bytes is cut off at a limit, comes back by itself and is told the present state. Nothing here decides what
is said: messages go up, bytes go down.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import cast

import msgspec

from pool.services.front_end_messages import Frames, FromFrontEnd, from_front_end

log = logging.getLogger("parapool.frontends")

UNSENT_BYTES = 32 << 20
"""What may wait for one front end: the present state with several templates of 4 MB. Beyond it the front end hangs."""

PATH_BYTES = 100
"""A Unix socket's path has 108 bytes at most, its end included (unix(7))."""


class Peer(asyncio.Protocol):
    """One front end's connection. `slot` is set by whoever welcomes it; only then is anything published to it."""

    def __init__(self, on_message: Callable[[Peer, FromFrontEnd], None], on_lost: Callable[[Peer], None]) -> None:
        self._on_message = on_message
        self._on_lost = on_lost
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self.pid = 0
        self.slot = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        pid, uid = peer_of(self._transport)
        if uid != os.getuid():
            log.error("alarm: another user's process opened the front ends' socket uid=%d pid=%d", uid, pid)
            self._transport.abort()
            return
        self.pid = pid

    def data_received(self, data: bytes) -> None:
        try:
            for payload in self._frames.feed(data):
                self._on_message(self, from_front_end(payload))
        except (ValueError, msgspec.MsgspecError) as error:
            log.error("a front end says what cannot be understood, it is cut off pid=%d: %s", self.pid, error)
            self.cut()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._on_lost(self)

    def send(self, frames: bytes) -> None:
        """Nothing more to one that takes nothing: it is cut off."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        transport.write(frames)
        if transport.get_write_buffer_size() > UNSENT_BYTES:
            log.error("a front end does not take what it is told, it is cut off slot=%d pid=%d", self.slot, self.pid)
            self.cut()

    def cut(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class FrontEndHub:
    """The listening end. `on_message` and `on_lost` hear of every peer."""

    def __init__(
        self, path: Path, on_message: Callable[[Peer, FromFrontEnd], None], on_lost: Callable[[Peer], None]
    ) -> None:
        self.path = path
        self._on_message = on_message
        self._on_lost = on_lost
        self._peers: set[Peer] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listens; a socket that a former mother left is replaced (its folder is locked). Raises OSError."""
        if len(os.fsencode(self.path)) > PATH_BYTES:
            raise OSError(f"pool.data_dir is too long for the socket {self.path}: at most {PATH_BYTES} bytes")
        with suppress(FileNotFoundError):
            self.path.unlink()
        self._server = await asyncio.get_running_loop().create_unix_server(self._peer, str(self.path))
        self.path.chmod(0o600)

    def publish(self, frames: bytes) -> None:
        """To every front end that was welcomed."""
        for peer in list(self._peers):
            if peer.slot:
                peer.send(frames)

    async def close(self) -> None:
        """Front ends see their mother go."""
        if self._server is not None:
            self._server.close()
        for peer in list(self._peers):
            peer.cut()
        await asyncio.sleep(0)

    def _peer(self) -> Peer:
        peer = Peer(self._on_message, self._lost)
        self._peers.add(peer)
        return peer

    def _lost(self, peer: Peer) -> None:
        self._peers.discard(peer)
        self._on_lost(peer)


def peer_of(transport: asyncio.Transport) -> tuple[int, int]:
    """Process and user at the other end, as the kernel knows them."""
    found = transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", found)
    return pid, uid
