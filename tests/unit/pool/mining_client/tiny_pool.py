"""A Stratum server in a few lines, independent of the pool's own, that judges shares with hashlib alone."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

# Bitcoin's genesis block as a job: the eight nonce bytes are the first eight of its coinbase's null previous hash.
GENESIS_COINBASE = bytes.fromhex(
    "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d04ffff001d0104455468652054696d65"
    "732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f66207365636f6e64206261696c6f757420666f722062"
    "616e6b73ffffffff0100f2052a01000000434104678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb649f6bc3f4c"
    "ef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000"
)
GENESIS_NONCE = 2083236893
GENESIS_TIME = 1231006505
GENESIS_HASH_HEX = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
GENESIS_NOTIFY: list[Any] = [
    "genesis", "00" * 32, GENESIS_COINBASE[:5].hex(), GENESIS_COINBASE[13:].hex(), [], "00000001", "1d00ffff",
    f"{GENESIS_TIME:08x}", True,
]  # fmt: skip


def sha256d(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def header_of(notify: list[Any], extranonce1: bytes, submit: list[str], mask: int) -> bytes:
    """The header of a submission, from the text of the protocol."""
    _, prevhash, coinb1, coinb2, branch, version, bits, _, _ = notify
    _, _, extranonce2, ntime, nonce, *rolled = submit
    root = sha256d(bytes.fromhex(coinb1) + extranonce1 + bytes.fromhex(extranonce2) + bytes.fromhex(coinb2))
    for sibling in branch:
        root = sha256d(root + bytes.fromhex(sibling))
    number = int(version, 16)
    if rolled:
        number = (number & ~mask) | (int(rolled[0], 16) & mask)
    words = bytes.fromhex(prevhash)
    previous = b"".join(words[i : i + 4][::-1] for i in range(0, 32, 4))
    return (
        number.to_bytes(4, "little") + previous + root
        + bytes.fromhex(ntime)[::-1] + bytes.fromhex(bits)[::-1] + bytes.fromhex(nonce)[::-1]
    )  # fmt: skip


@dataclass
class TinyPool:
    """Serves one job to every connection. `difficulty` None sends none; `answers` overrides the answer to a method."""

    notify: list[Any]
    difficulty: float | None = 1.0
    pow_hash: Any = sha256d
    difficulty_1: int = 0xFFFF << 208
    mask: int | None = None
    extranonce1: bytes = bytes(4)
    extranonce2_size: int = 4
    answers: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    requests: list[tuple[str, list[Any]]] = field(default_factory=list)
    headers: list[bytes] = field(default_factory=list)
    replies: list[dict[str, Any]] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    share_seen: asyncio.Event = field(default_factory=asyncio.Event)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def __aenter__(self) -> TinyPool:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        self.drop()
        await self._server.wait_closed()

    def drop(self) -> None:
        for writer in self.writers:
            writer.close()
        self.writers.clear()

    def push(self, method: str, *params: Any, request_id: Any = None) -> None:
        self._write({"id": request_id, "method": method, "params": list(params)})

    def push_line(self, line: bytes) -> None:
        for writer in self.writers:
            writer.write(line)

    def _write(self, message: dict[str, Any]) -> None:
        self.push_line(json.dumps(message).encode() + b"\n")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        while line := await reader.readline():
            message = json.loads(line)
            if "method" not in message:
                self.replies.append(message)
                continue
            method, params = message["method"], message["params"]
            self.requests.append((method, params))
            if method in self.answers:
                result, error = self.answers[method]
            else:
                result, error = self._answer(method, params)
            writer.write(json.dumps({"id": message["id"], "result": result, "error": error}).encode() + b"\n")
            if method == "mining.authorize" and result is True:
                if self.difficulty is not None:
                    self.push("mining.set_difficulty", self.difficulty)
                self.push("mining.notify", *self.notify)

    def _answer(self, method: str, params: list[Any]) -> tuple[Any, Any]:
        if method == "mining.configure" and self.mask is not None:
            return {"version-rolling": True, "version-rolling.mask": f"{self.mask:08x}"}, None
        if method == "mining.subscribe":
            return [[["mining.notify", "1"]], self.extranonce1.hex(), self.extranonce2_size], None
        if method == "mining.authorize":
            return True, None
        if method == "mining.submit":
            return self._judge(params)
        return None, [-3, "Method not found", None]

    def _judge(self, params: list[str]) -> tuple[Any, Any]:
        assert self.difficulty is not None
        self.share_seen.set()
        header = header_of(self.notify, self.extranonce1, params, self.mask or 0)
        if header in self.headers:
            return None, [22, "Duplicate share", None]
        if int.from_bytes(self.pow_hash(header), "little") * self.difficulty > self.difficulty_1:
            return None, [23, "Low difficulty share", None]
        self.headers.append(header)
        return True, None
