"""JSON-RPC over HTTP for a table of calls, as Bitcoin Core speaks it: basic authentication, an error object with status
500 (404 for an unknown method, 400 for a malformed request), 200 otherwise.

Calls that write always need credentials. Calls that read need them too, unless the setting opens them; then only for
requests that name this machine as their host, so that a web page whose name resolves to it gets nothing.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import logging
import time
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
from aiohttp import web

from chains.calls.documents import help_text
from chains.calls.errors import HTTP_STATUS, INVALID_PARAMETER, INVALID_REQUEST, MISC, PARSE, CallError
from chains.calls.table import LONGEST_WAIT_S, TEXT, Access, Call, CallTable, Parameter, Waited

log = logging.getLogger("parapool.calls")

MAX_BODY_BYTES = 16_000_000
ANSWER_S = 60.0  # for a core to answer a call that writes
MAX_WAITING = 200
MAX_REFUSED_LOGIN_S = 0.25  # a wrong password is answered so much later, as Bitcoin Core does

_encoder = msgspec.json.Encoder()


class Node(Protocol):
    """What the server asks of the process around a core (chains/peers/process.py is one)."""

    core: Any

    async def ask(self, call: str, parameters: tuple[Any, ...]) -> Any:
        """Raises an exception with `code` and `reason` when the core refuses."""
        ...

    def topic(self, name: str) -> asyncio.Event: ...


@dataclass(frozen=True, slots=True)
class CallSettings:
    """`credentials` are `user:password` texts, any of which will do. `open_reads`: reading needs none."""

    host: str = "127.0.0.1"
    port: int = 0
    credentials: tuple[str, ...] = ()
    open_reads: bool = False


class CallServer:
    """One node's RPC port. `refused` are exceptions of the node's `ask` and of the calls' functions that are a proper
    answer; they have `code` and `reason`."""

    def __init__(
        self, table: CallTable, node: Node, refused: tuple[type[Exception], ...], settings: CallSettings
    ) -> None:
        help_call = Call(
            "help", "All calls, or everything about one.", Access.READ,
            (Parameter("command", TEXT, "the call's name", None),), "text",
            lambda node, name: help_text(self.table, name), of_process=True,
        )  # fmt: skip
        self.table = CallTable([help_call, *table])
        self._node = node
        self._refused = refused
        self._settings = settings
        self._logins = [b"Basic " + base64.b64encode(login.encode()) for login in settings.credentials]
        self._runner: web.AppRunner | None = None
        self._waiting = 0

    async def start(self) -> int:
        """Open the port; its number. Raises OSError when it is taken."""
        application = web.Application(client_max_size=MAX_BODY_BYTES)
        application.router.add_route("*", "/{path:.*}", self._handle)
        # A caller that has left waits for nothing; what it asked the core to write, the core has by then.
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._settings.host, self._settings.port).start()
        return int(self._runner.addresses[0][1])

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    # -- HTTP ---------------------------------------------------------------------------------------------------------

    async def _handle(self, request: web.Request) -> web.Response:
        if request.method != "POST":
            return web.Response(status=405, text="JSONRPC server handles only POST requests")
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        known = any([hmac.compare_digest(given, login) for login in self._logins])
        open_reads = self._settings.open_reads and _names_this_machine(request.host)
        if not known and (given or not open_reads):
            if given:
                await asyncio.sleep(MAX_REFUSED_LOGIN_S)
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="jsonrpc"'})
        body = await request.read()
        try:
            message = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return _answer(None, None, CallError(PARSE, "Parse error"))
        request_id = message.get("id") if isinstance(message, dict) else None
        try:
            name, given_parameters = read_request(message)
            call = self.table.find(name)
            if call.access is Access.WRITE and not known:
                return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="jsonrpc"'})
            return _answer(request_id, await self._call(call, call.values(given_parameters)), None)
        except CallError as error:
            return _answer(request_id, None, error)
        except self._refused as error:
            refusal = CallError(getattr(error, "code", MISC), getattr(error, "reason", str(error)))
            return _answer(request_id, None, refusal)
        except Exception:
            log.exception("a call failed call=%r", str(message.get("method"))[:50])
            return _answer(request_id, None, CallError(MISC, "internal error of the node"))

    # -- calls --------------------------------------------------------------------------------------------------------

    async def _call(self, call: Call, values: tuple[Any, ...]) -> Any:
        if call.of_process:
            assert call.function is not None
            return call.function(self._node, *values)
        if call.access is Access.WRITE:
            return await self._write(call, values)
        assert call.function is not None
        if call.waits is None:
            return call.function(self._node.core, *values)
        return await self._wait(call, call.waits, values[:-1], values[-1])

    async def _write(self, call: Call, values: tuple[Any, ...]) -> Any:
        parameters = values if call.function is None else tuple(call.function(self._node.core, *values))
        try:
            async with asyncio.timeout(ANSWER_S):
                value = await self._node.ask(call.name, parameters)
        except TimeoutError:
            raise CallError(MISC, f"no answer within {ANSWER_S:g} s; the call may still take effect") from None
        return value if call.show is None else call.show(value)

    async def _wait(self, call: Call, topic: str, values: tuple[Any, ...], timeout_s: int) -> Any:
        if not 1 <= timeout_s <= LONGEST_WAIT_S:
            raise CallError(INVALID_PARAMETER, f"timeout_s: expected 1 to {LONGEST_WAIT_S}")
        if self._waiting >= MAX_WAITING:
            raise CallError(MISC, f"{MAX_WAITING} calls are waiting already")
        assert call.function is not None
        until_s = time.monotonic() + timeout_s
        self._waiting += 1
        try:
            while True:
                event = self._node.topic(topic)  # before the look, so that no change falls in between
                waited: Waited = call.function(self._node.core, *values)
                left_s = until_s - time.monotonic()
                if waited.is_news or left_s <= 0:
                    return waited.value
                try:
                    async with asyncio.timeout(left_s):
                        await event.wait()
                except TimeoutError:
                    continue
        finally:
            self._waiting -= 1


def read_request(message: object) -> tuple[str, list[Any] | dict[str, Any]]:
    """Method name and parameters of a request object. Raises CallError as Bitcoin Core does."""
    if not isinstance(message, dict):
        raise CallError(INVALID_REQUEST, "Invalid Request object")
    name = message.get("method")
    if name is None:
        raise CallError(INVALID_REQUEST, "Missing method")
    if not isinstance(name, str):
        raise CallError(INVALID_REQUEST, "Method must be a string")
    parameters = message.get("params")
    if parameters is None:
        parameters = []
    if not isinstance(parameters, (list, dict)):
        raise CallError(INVALID_REQUEST, "Params must be an array or object")
    return name, parameters


def _names_this_machine(host: str) -> bool:
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    return name in ("127.0.0.1", "localhost", "[::1]")


def _answer(request_id: object, result: Any, error: CallError | None) -> web.Response:
    failure = None if error is None else {"code": error.code, "message": error.message}
    body = _encoder.encode({"result": result, "error": failure, "id": request_id}) + b"\n"
    status = 200 if error is None else HTTP_STATUS.get(error.code, 500)
    return web.Response(body=body, status=status, content_type="application/json")
