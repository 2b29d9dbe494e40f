"""JSON-RPC over HTTP in front of a reference node, as Bitcoin Core speaks it: basic authentication, 401 without it, an
error object with status 500 (404 for an unknown method, 400 for a malformed request), 200 otherwise.

Listens on 127.0.0.1 only. Faults (control_rpc.devnet_set) are acted out here.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import logging
from typing import Any

import msgspec
from aiohttp import web

from chains.reference.errors import HTTP_STATUS, MISC, PARSE, RpcError
from chains.reference.node import Faults
from chains.reference.rpc import Dispatcher
from chains.reference.settings import DevnetNode, NodeSettings

log = logging.getLogger("parapool.devnet")

HOST = "127.0.0.1"
MAX_BODY = 16_000_000  # a block of 4 MB in hex, twice
SHUTDOWN_S = 0.2  # longpolls are cut off
MAX_TRICKLE = 20  # waiting transactions; beyond, nobody mines and more are of no use

_encoder = msgspec.json.Encoder(decimal_format="number")


class Changes:
    """Tip and mempool changes of a node, to be awaited."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def tell(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    async def __call__(self, timeout_s: float) -> None:
        """Returns at the next change or after the timeout."""
        event = self._event
        try:
            async with asyncio.timeout(timeout_s):
                await event.wait()
        except TimeoutError:
            return


class Server:
    """One node's RPC port; `stopped` is set when the node was asked to stop."""

    def __init__(self, settings: NodeSettings, devnet: DevnetNode, changes: Changes) -> None:
        self._settings = settings
        self._devnet = devnet
        self.stopped = asyncio.Event()
        devnet.node.listeners.append(changes.tell)
        self._dispatcher = Dispatcher(devnet.node, {**devnet.methods(), "stop": self._stop})
        credentials = f"{settings.user}:{settings.password}".encode()
        self._authorization = "Basic " + base64.b64encode(credentials).decode()
        self._runner: web.AppRunner | None = None
        self._trickle: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Open the port; its number. Raises OSError when it is taken."""
        application = web.Application(client_max_size=MAX_BODY)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=SHUTDOWN_S)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, self._settings.port).start()
        if self._settings.trickle_s:
            self._trickle = asyncio.create_task(self._trickle_forever())
        return int(self._runner.addresses[0][1])

    async def close(self) -> None:
        if self._trickle is not None:
            self._trickle.cancel()
        if self._runner is not None:
            await self._runner.cleanup()
        self._devnet.node.close()

    def _stop(self) -> str:
        self.stopped.set()
        return "parapool devnet node stopping"

    async def _trickle_forever(self) -> None:
        node = self._devnet.node
        while True:
            await asyncio.sleep(self._settings.trickle_s)
            if len(node.mempool) < MAX_TRICKLE:
                node.trickle()

    async def _handle(self, request: web.Request) -> web.Response:
        if request.method != "POST":
            return web.Response(status=405, text="JSONRPC server handles only POST requests")
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), self._authorization.encode()):
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="jsonrpc"'})
        body = await request.read()
        try:
            call = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return _answer(None, None, RpcError(PARSE, "Parse error"))
        faults = self._devnet.node.faults
        if not _is_control(call):
            if faults.hang_s:
                await asyncio.sleep(faults.hang_s)
            if broken := _broken(faults):
                return broken
        request_id = call.get("id") if isinstance(call, dict) else None
        try:
            result = await self._dispatcher.answer(call)
        except RpcError as error:
            return _answer(request_id, None, error)
        except Exception:
            # A fault of the node itself: keep serving, but leave the whole story.
            log.exception("request failed name=%s", self._settings.name)
            return _answer(request_id, None, RpcError(MISC, "internal error of the reference node"))
        return _answer(request_id, result, None)


def _is_control(call: object) -> bool:
    """Whether a request steers the node, and so must be answered whatever it plays."""
    name = call.get("method") if isinstance(call, dict) else None
    return isinstance(name, str) and (name.startswith("devnet_") or name == "stop")


def _broken(faults: Faults) -> web.Response | None:
    if faults.http_500:
        return web.Response(status=500, text="<html>Internal Server Error</html>", content_type="text/html")
    if faults.garbage:
        return web.Response(text='{"result": 12, "err', content_type="application/json")
    return None


def _answer(request_id: object, result: Any, error: RpcError | None) -> web.Response:
    failure = None if error is None else {"code": error.code, "message": error.message}
    body = _encoder.encode({"result": result, "error": failure, "id": request_id}) + b"\n"
    status = 200 if error is None else HTTP_STATUS.get(error.code, 500)
    return web.Response(body=body, status=status, content_type="application/json")
