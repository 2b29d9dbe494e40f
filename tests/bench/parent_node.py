"""A parent node with a template of 3.4 MB, 3,000 transactions with witnesses: parent_node.py PORT

Twelve levels of merkle tree, as Bitcoin's blocks have. It accepts every proposal and finds a block when it is sent
SIGUSR1: then the long polls are answered, with a template that has no transaction of the one before. All text is made
beforehand, so that what is measured is not this node. Says READY.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import time
from hashlib import sha256
from typing import Any

import uvloop

from chains.primitives.hashes import displayed, sha256d
from chains.primitives.merkle import merkle_root

TRANSACTIONS = 3000
FIRST_HEIGHT = 900_000
BITS = "17021369"
TARGET = (0x021369 << 8 * (0x17 - 3)).to_bytes(32, "big").hex()
FEE = 500


def transaction(chance: random.Random) -> tuple[bytes, bytes]:
    """One to six inputs that nobody has, one to five outputs: without its witnesses and with them."""
    inputs, outputs = chance.choice((1, 1, 1, 2, 2, 3, 4, 6)), chance.choice((1, 2, 2, 2, 3, 5))
    body = bytes((inputs,))
    for _ in range(inputs):
        body += chance.randbytes(32) + bytes(5) + b"\xfd\xff\xff\xff"
    body += bytes((outputs,))
    for _ in range(outputs):
        body += (1000).to_bytes(8, "little") + b"\x16\0\x14" + chance.randbytes(20)
    witness = b"".join(b"\2\x47" + chance.randbytes(71) + b"\x21" + chance.randbytes(33) for _ in range(inputs))
    return b"\2\0\0\0" + body + bytes(4), b"\2\0\0\0\0\1" + body + witness + bytes(4)


def transactions(seed: int) -> tuple[bytes, str]:
    """The template's list as JSON, and the script that commits to all witnesses."""
    chance = random.Random(seed)
    offered, hashes = [], [bytes(32)]
    for _ in range(TRANSACTIONS):
        stripped, whole = transaction(chance)
        hashes.append(sha256d(whole))
        offered.append({
            "data": whole.hex(), "txid": displayed(sha256d(stripped)), "hash": displayed(hashes[-1]), "depends": [],
            "fee": FEE, "sigops": 4, "weight": 3 * len(stripped) + len(whole),
        })  # fmt: skip
    commitment = sha256d(merkle_root(hashes) + bytes(32))
    return json.dumps(offered, separators=(",", ":")).encode(), "6a24aa21a9ed" + commitment.hex()


class ParentNode:
    """Its tip, and who waits for the next one."""

    def __init__(self) -> None:
        self.height = FIRST_HEIGHT
        self.found = asyncio.Event()
        self._lists = [transactions(seed) for seed in range(2)]  # in turn

    @property
    def tip(self) -> str:
        return "00" * 12 + sha256(b"%d" % self.height).hexdigest()[:40]

    def find_block(self) -> None:
        self.height += 1
        self.found.set()
        self.found = asyncio.Event()

    def template(self) -> list[bytes]:
        """The JSON in pieces."""
        listed, commitment = self._lists[self.height % 2]
        fields = {
            "version": 0x20000000, "rules": ["csv", "!segwit", "taproot"], "vbavailable": {}, "vbrequired": 0,
            "capabilities": ["proposal"], "previousblockhash": self.tip, "height": self.height, "bits": BITS,
            "target": TARGET, "mintime": 1_700_000_000, "mutable": ["time", "transactions", "prevblock"],
            "noncerange": "00000000ffffffff", "sigoplimit": 80000, "sizelimit": 4_000_000, "weightlimit": 4_000_000,
            "longpollid": self.tip + "1", "coinbaseaux": {}, "coinbasevalue": 312_500_000 + FEE * TRANSACTIONS,
            "default_witness_commitment": commitment, "curtime": int(time.time()),
        }  # fmt: skip
        return [json.dumps(fields)[:-1].encode() + b',"transactions":', listed, b"}"]

    async def result(self, method: str, params: list[Any]) -> list[bytes]:
        """As JSON, in pieces. Raises KeyError."""
        if method == "getblockchaininfo":
            blocks = self.height - 1
            answer = {"chain": "main", "blocks": blocks, "headers": blocks, "initialblockdownload": False}
            return [json.dumps(answer).encode()]
        if method == "getblocktemplate":
            wanted = params[0]
            if wanted.get("mode") == "proposal":
                return [b"null"]
            if wanted.get("longpollid") == self.tip + "1":
                await self.found.wait()
            return self.template()
        raise KeyError(method)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().lower().split("\r\n")
                size = next(int(line[15:]) for line in lines if line.startswith("content-length:"))
                question = json.loads(await reader.readexactly(size))
                result, error = [b"null"], b"null"
                try:
                    result = await self.result(question["method"], question["params"])
                except KeyError:
                    error = b'{"code":-32601,"message":"Method not found"}'
                body = [b'{"id":%d,"error":%b,"result":' % (question["id"], error), *result, b"}"]
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % sum(map(len, body)))
                for piece in body:
                    writer.write(piece)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


async def main() -> None:
    node = ParentNode()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, node.find_block)
    server = await asyncio.start_server(node.serve, "127.0.0.1", int(sys.argv[1]))
    print("READY", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
