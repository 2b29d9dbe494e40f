"""A node's `-zmqpubhashblock` as a hint that its tip moved.

The channel is unauthenticated and loses messages, so it never tells what the tip is: the listener asks the node.
Without it the pool works the same, by long poll.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import zmq
import zmq.asyncio

TOPIC = b"hashblock"
# A burst of blocks (a syncing node) needs one hint, not thousands; what is lost is lost.
MAX_QUEUED_HINTS = 10
MAX_MESSAGE_BYTES = 1000


class ZmqHint:
    """Listens to one endpoint, `tcp://HOST:PORT` or `ipc://PATH`. Raises ValueError for another one."""

    def __init__(self, endpoint: str) -> None:
        match = re.fullmatch(r"tcp://[^/\s]+:(\d{1,5})|ipc://\S+", endpoint)
        if match is None or not 0 < int(match[1] or 1) < 65536:
            raise ValueError(f"not a ZMQ endpoint like tcp://127.0.0.1:28332: {endpoint!r}")
        self.endpoint = endpoint

    async def hints(self) -> AsyncIterator[str]:
        """Block hashes (displayed hex) as they are announced, until closed or cancelled. ZMQ reconnects by itself."""
        context = zmq.asyncio.Context()
        socket = context.socket(zmq.SUB)
        try:
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.RCVHWM, MAX_QUEUED_HINTS)
            socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
            socket.setsockopt(zmq.SUBSCRIBE, TOPIC)
            socket.connect(self.endpoint)
            while True:
                frames = await socket.recv_multipart()
                if len(frames) == 3 and frames[0] == TOPIC and len(frames[1]) == 32:
                    yield frames[1].hex()
        finally:
            socket.close()
            context.term()
