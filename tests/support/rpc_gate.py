"""A gate between a pool and its nodes: one login, another one behind it, and a list of who asked what.

The path names the chain: `http://127.0.0.1:PORT/alpha`. So one gate stands for the nodes that give work and another one
for wallets, as a pool has it whose wallets are nodes of their own.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping
from typing import Any

import aiohttp
from aiohttp import web

LONGEST_S = 120.0  # a long poll


class RpcGate:
    """`nodes` are the ports of the nodes by chain, `behind` their login. Usable as an asynchronous context manager."""

    def __init__(self, port: int, nodes: Mapping[str, int], login: tuple[str, str], behind: tuple[str, str]) -> None:
        self.port = port
        self.asked: dict[str, set[str]] = {chain: set() for chain in nodes}
        """The methods that were called, by chain."""
        self.refused = 0
        """Calls with another login."""
        self._nodes = nodes
        self._login = _basic(*login)
        self._behind = {"Authorization": _basic(*behind)}

    def url(self, chain: str) -> str:
        return f"http://127.0.0.1:{self.port}/{chain}"

    async def __aenter__(self) -> RpcGate:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=LONGEST_S))
        application = web.Application(client_max_size=2**26)
        application.router.add_post("/{chain}", self._pass)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def _pass(self, request: web.Request) -> web.Response:
        if not hmac.compare_digest(request.headers.get("Authorization", ""), self._login):
            self.refused += 1
            return web.Response(status=401)
        chain, body = request.match_info["chain"], await request.read()
        call: Any = json.loads(body)
        self.asked[chain].add(call["method"])
        url = f"http://127.0.0.1:{self._nodes[chain]}/"
        try:
            async with self._session.post(url, data=body, headers=self._behind) as answer:
                return web.Response(status=answer.status, body=await answer.read(), content_type="application/json")
        except aiohttp.ClientError:
            return web.Response(status=503)


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
