"""A node's RPC port with somebody in between who changes answers: misbehaviour that the reference node itself lacks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp import web

from support.rig import LIMIT_S

Lie = Callable[[str, list[Any], Any], Any]


class LyingNode:
    """Passes calls on to the node at `port`. `lie(method, params, result)` gives what the caller sees as the result;
    `told` counts calls by method that were answered while there was a lie. While `away` nothing is answered."""

    def __init__(self, port: int, listen_port: int) -> None:
        self.port = port
        self.listen_port = listen_port
        self.lie: Lie | None = None
        self.away = False
        self.told: dict[str, int] = {}
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        self._session = aiohttp.ClientSession()
        application = web.Application(client_max_size=2**24)
        application.router.add_post("/", self._pass_on)
        self._runner = web.AppRunner(
            application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.listen_port).start()

    async def close(self) -> None:
        assert self._session is not None and self._runner is not None
        await self._runner.cleanup()
        await self._session.close()

    async def _pass_on(self, request: web.Request) -> web.Response:
        assert self._session is not None
        if self.away:
            return web.Response(status=503)
        body = await request.read()
        call = json.loads(body)
        headers = {"Authorization": request.headers["Authorization"], "Content-Type": "application/json"}
        try:
            async with self._session.post(f"http://127.0.0.1:{self.port}/", data=body, headers=headers) as response:
                status, answer = response.status, await response.read()
        except aiohttp.ClientError:
            return web.Response(status=503)
        if self.lie is not None:
            before = json.loads(answer)
            result = self.lie(call["method"], call["params"], before["result"])
            self.told[call["method"]] = self.told.get(call["method"], 0) + 1
            answer = json.dumps(before | {"result": result}).encode()
        return web.Response(body=answer, status=status, content_type="application/json")

    async def tell(self, lie: Lie, method: str, times: int = 1) -> None:
        """Lie until it was told so often in answer to the method; waits at most a minute."""
        self.lie = lie
        until = self.told.get(method, 0) + times
        async with asyncio.timeout(LIMIT_S):
            while self.told.get(method, 0) < until:
                await asyncio.sleep(0.02)
