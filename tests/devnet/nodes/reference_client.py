"""A client of a reference node that runs in the test's own process, with time in the test's hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp

from chains.devnet_nodes import DEVNET_NODES
from chains.reference.server import Changes, Server
from chains.reference.settings import NodeSettings
from chains.reference.wallet import address

USER, PASSWORD, SEED = "user", "pass word:ü", "seed"
ADDRESS = address(SEED, 0)
LEGACY_ADDRESS = address(SEED, 0, witness=False)


def credentials(user: str = USER, password: str = PASSWORD) -> dict[str, str]:
    return {"Authorization": aiohttp.encode_basic_auth(user, password)}


@dataclass
class Refused(Exception):
    """An answer with an error object."""

    status: int
    code: int
    message: str


class Rpc:
    """A client of one running node. `now_s` is the node's clock."""

    def __init__(self, session: aiohttp.ClientSession, settings: NodeSettings) -> None:
        self.session = session
        self.settings = settings
        self.now_s = 1_800_000_000
        self.port = 0
        self.server: Server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    async def start(self) -> None:
        changes = Changes()
        devnet = DEVNET_NODES[self.settings.kind](self.settings, lambda: self.now_s, changes)
        self.server = Server(self.settings, devnet, changes)
        self.port = await self.server.start()

    async def post(self, body: bytes, user: str = USER, password: str = PASSWORD) -> tuple[int, bytes]:
        async with self.session.post(self.url, data=body, headers=credentials(user, password)) as response:
            return response.status, await response.read()

    async def raw(self, method: str, *params: Any, request_id: Any = "pool") -> tuple[int, dict[str, Any]]:
        body = {"jsonrpc": "1.0", "id": request_id, "method": method, "params": list(params)}
        async with self.session.post(self.url, json=body, headers=credentials()) as response:
            return response.status, await response.json()

    async def __call__(self, method: str, *params: Any) -> Any:
        status, answer = await self.raw(method, *params)
        if answer["error"] is not None:
            raise Refused(status, answer["error"]["code"], answer["error"]["message"])
        assert status == 200
        return answer["result"]

    async def mine(self, count: int, payout: str = ADDRESS) -> list[str]:
        """Blocks a second apart."""
        hashes: list[str] = []
        for _ in range(count):
            self.now_s += 1
            hashes += await self("generatetoaddress", 1, payout)
        return hashes


StartNode = Callable[..., Awaitable[Rpc]]
