"""An operator's port with a pool that only remembers what it was asked, and a client that speaks plain HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pool.operator.api import OperatorError
from pool.operator.server import OperatorServer
from pool.operator.tokens import Tokens

ANNA, BEN = "a" * 40, "b" * 40
STATE = {"draining": False, "here": 0, "leaving": 0, "over_s": 0.0, "since_s": 0.0, "ends_in_s": 0.0}
Answer = tuple[int, dict[str, str], Any]


class FakePool:
    """Implements pool.operator.api.Operated. `problem` is raised by the next call."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.problem: Exception | None = None
        self.every_ban: list[dict[str, Any]] = []

    def _take(self, *asked: Any) -> None:
        self.asked.append(asked)
        if self.problem is not None:
            problem, self.problem = self.problem, None
            raise problem

    def drain_state(self) -> dict[str, Any]:
        self._take("drain_state")
        return dict(STATE)

    def begin_drain(self, over_s: int) -> dict[str, Any]:
        self._take("begin_drain", over_s)
        return STATE | {"draining": True}

    def end_drain(self) -> dict[str, Any]:
        self._take("end_drain")
        return dict(STATE)

    async def reload(self) -> dict[str, Any]:
        self._take("reload")
        return {"added": [], "removed": [], "changed": ["pool.fee_ppm"]}

    def bans(self) -> list[dict[str, Any]]:
        return self.every_ban

    async def ban(self, network: str, seconds: int, reason: str) -> dict[str, Any]:
        self._take("ban", network, seconds, reason)
        return {"network": network}

    async def unban(self, network: str) -> bool:
        self._take("unban", network)
        return network != "192.0.2.9"

    async def tell(self, text: str, login: str | None, worker: str | None) -> dict[str, Any]:
        self._take("tell", text, login, worker)
        return {"connections_told": 3, "missing": [2]}

    async def connections(self, after: int, limit: int, login: str | None, worker: str | None) -> dict[str, Any]:
        self._take("connections", after, limit, login, worker)
        return {"total": 0, "items": [], "after": None, "missing": []}

    async def closings(self, after: int, limit: int) -> list[dict[str, Any]]:
        self._take("closings", after, limit)
        return [{"number": after + 1, "closed_ms": 5, "hash": "00", "bytes": "96"}] if after < 9 else []


class Site:
    def __init__(self, pool: FakePool, server: OperatorServer, socket_path: Path | None) -> None:
        self.pool, self.server, self._socket_path = pool, server, socket_path

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._socket_path is not None:
            return await asyncio.open_unix_connection(str(self._socket_path))
        return await asyncio.open_connection("127.0.0.1", self.server.port)

    async def raw(self, request: bytes) -> Answer:
        reader, writer = await self.open()
        writer.write(request)
        async with asyncio.timeout(10):
            answer = await reader.read()
        writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        return int(first.split()[1]), headers, json.loads(body)

    async def call(self, method: str, path: str, body: Any = None, token: str | None = ANNA) -> Answer:
        """`body` is sent as it is when it is bytes, as JSON otherwise."""
        sent = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(sent)}\r\n"
        head += "" if token is None else f"Authorization: Bearer {token}\r\n"
        return await self.raw(head.encode() + b"\r\n" + sent)


@asynccontextmanager
async def operator_site(socket_path: Path | None = None) -> AsyncIterator[Site]:
    pool = FakePool()
    server = OperatorServer(pool, Tokens({"anna": ANNA, "ben": BEN}))
    await server.start(None if socket_path else ("127.0.0.1", 0), socket_path)
    try:
        yield Site(pool, server, socket_path)
    finally:
        await server.stop()
        await server.stop()


__all__ = ["ANNA", "BEN", "OperatorError", "Site", "operator_site"]
