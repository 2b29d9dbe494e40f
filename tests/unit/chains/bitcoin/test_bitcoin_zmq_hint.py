from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import zmq
import zmq.asyncio

from chains.bitcoin.zmq_hint import ZmqHint

HASH = bytes(range(32))


@pytest.fixture
async def publisher() -> AsyncIterator[tuple[zmq.asyncio.Socket, str]]:
    context = zmq.asyncio.Context()
    socket = context.socket(zmq.XPUB)
    socket.setsockopt(zmq.LINGER, 0)
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    yield socket, f"tcp://127.0.0.1:{port}"
    socket.close()
    context.term()


async def test_zmq_hint_yields_announced_hashes_and_nothing_else(publisher: tuple[zmq.asyncio.Socket, str]) -> None:
    socket, endpoint = publisher
    hints = ZmqHint(endpoint).hints()
    first = asyncio.create_task(anext(hints))
    assert await asyncio.wait_for(socket.recv(), 5) == b"\x01hashblock"
    await socket.send_multipart([b"hashblock", b"short", bytes(4)])
    await socket.send_multipart([b"hashblock", HASH])
    await socket.send_multipart([b"hashblock2", HASH, bytes(4)])
    await socket.send_multipart([b"hashblock", HASH, bytes(4)])
    assert await asyncio.wait_for(first, 5) == HASH.hex()
    await hints.aclose()  # type: ignore[attr-defined]


async def test_zmq_hint_ends_cleanly_when_cancelled(publisher: tuple[zmq.asyncio.Socket, str]) -> None:
    socket, endpoint = publisher
    waiting = asyncio.create_task(anext(ZmqHint(endpoint).hints()))
    await asyncio.wait_for(socket.recv(), 5)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await asyncio.wait_for(socket.recv(), 5) == b"\x00hashblock"


@pytest.mark.parametrize(
    "endpoint",
    ["", "127.0.0.1:28332", "tcp://127.0.0.1", "http://x:1", "tcp://h:1/x", "tcp://h:x", "tcp://h:0", "tcp://h:65536"],
)
def test_zmq_hint_refuses_what_is_no_endpoint(endpoint: str) -> None:
    with pytest.raises(ValueError, match="not a ZMQ endpoint"):
        ZmqHint(endpoint)
