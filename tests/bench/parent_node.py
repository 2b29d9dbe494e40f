"""A parent node that offers a template of 2,500 transactions and accepts every proposal: parent_node.py PORT

Twelve levels of merkle tree, as Bitcoin's blocks have. It finds no block, and a long poll waits for ever. Says READY.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from chains.primitives.hashes import displayed, sha256d
from chains.primitives.merkle import merkle_root

TRANSACTIONS = 2500
HEIGHT = 900_000
BITS = "17021369"
TARGET = (0x021369 << 8 * (0x17 - 3)).to_bytes(32, "big").hex()
TIP = "00" * 8 + "42" * 24


def transaction(number: int) -> bytes:
    """One input that nobody has, one output of 1,000 units."""
    source = number.to_bytes(32, "little") + bytes(4) + b"\0" + b"\xfd\xff\xff\xff"
    return b"\2\0\0\0\1" + source + b"\1" + (1000).to_bytes(8, "little") + b"\x16\0\x14" + bytes(20) + bytes(4)


def template() -> dict[str, Any]:
    data = [transaction(number) for number in range(TRANSACTIONS)]
    ids = [sha256d(one) for one in data]
    commitment = sha256d(merkle_root([bytes(32), *ids]) + bytes(32))
    return {
        "version": 0x20000000, "rules": ["csv", "!segwit", "taproot"], "vbavailable": {}, "vbrequired": 0,
        "capabilities": ["proposal"], "previousblockhash": TIP, "height": HEIGHT, "bits": BITS, "target": TARGET,
        "mintime": 1_700_000_000, "mutable": ["time", "transactions", "prevblock"], "noncerange": "00000000ffffffff",
        "sigoplimit": 80000, "sizelimit": 4_000_000, "weightlimit": 4_000_000, "longpollid": TIP + "1",
        "coinbaseaux": {}, "coinbasevalue": 312_500_000 + 500 * TRANSACTIONS,
        "default_witness_commitment": "6a24aa21a9ed" + commitment.hex(),
        "transactions": [
            {"data": one.hex(), "txid": displayed(txid), "hash": displayed(txid), "depends": [], "fee": 500,
             "sigops": 1, "weight": 4 * len(one)}
            for one, txid in zip(data, ids, strict=True)
        ],
    }  # fmt: skip


OFFER = template()


async def result(method: str, params: list[Any]) -> Any:
    if method == "getblockchaininfo":
        return {"chain": "main", "blocks": HEIGHT - 1, "headers": HEIGHT - 1, "initialblockdownload": False}
    if method == "getblocktemplate":
        wanted = params[0]
        if wanted.get("mode") == "proposal":
            return None
        if wanted.get("longpollid") == OFFER["longpollid"]:
            await asyncio.Event().wait()
        return OFFER | {"curtime": int(time.time())}
    raise KeyError(method)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            lengths = [line[15:] for line in head.decode().split("\r\n") if line.lower().startswith("content-length:")]
            size = int(lengths[0])
            question = json.loads(await reader.readexactly(size))
            answer: dict[str, Any] = {"id": question["id"], "result": None, "error": None}
            try:
                answer["result"] = await result(question["method"], question["params"])
            except KeyError:
                answer["error"] = {"code": -32601, "message": "Method not found"}
            body = json.dumps(answer).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        return
    finally:
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    print("READY", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
