"""Whether a ZMQ publisher listens where the file says, and the node says that it publishes blocks there."""

from __future__ import annotations

import asyncio
import re

from chains.node_rpc import RpcError
from pool.doctor.finding import Finding, good, wrong
from pool.doctor.node_under_test import ANSWER_S, NodeUnderTest

ZMTP_GREETING = 10  # bytes of a ZMQ peer's signature: ff, eight bytes, 7f (ZMTP 3, section 2)


async def zmq_finding(node: NodeUnderTest) -> Finding:
    """Of a node whose section has a `zmq_hashblock`."""
    subject, check, endpoint = node.subject, "zmq", node.section.zmq_hashblock
    assert endpoint is not None
    remedy = f"Start the node with zmqpubhashblock={endpoint}, or take {node.key}.zmq_hashblock out: it is a hint only."
    try:
        async with asyncio.timeout(ANSWER_S / 2):
            greeting = await _first_bytes(endpoint)
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        words = "nothing is published" if isinstance(error, TimeoutError) else _os_words(error)
        return wrong(subject, check, f"{endpoint}: {words}", remedy)
    if greeting[0] != 0xFF or greeting[9] != 0x7F:
        return wrong(subject, check, f"{endpoint}: something else than ZMQ listens there", remedy)
    try:
        published = await node.rpc.call("getzmqnotifications")
    except RpcError:
        return good(subject, check, endpoint)  # before 0.17, or without ZMQ's own RPC
    listed = published if isinstance(published, list) else []
    if not any(isinstance(entry, dict) and entry.get("type") == "pubhashblock" for entry in listed):
        return wrong(subject, check, f"{endpoint}: the node publishes no hashblock", remedy)
    return good(subject, check, endpoint)


async def _first_bytes(endpoint: str) -> bytes:
    tcp = re.fullmatch(r"tcp://(.+):(\d+)", endpoint)
    if tcp is None:
        reader, writer = await asyncio.open_unix_connection(endpoint.removeprefix("ipc://"))
    else:
        reader, writer = await asyncio.open_connection(tcp[1].strip("[]"), int(tcp[2]))
    try:
        return await reader.readexactly(ZMTP_GREETING)
    finally:
        writer.close()


def _os_words(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or "the connection ended at once"
