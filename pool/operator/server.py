"""The operator's own port: HTTP with a bearer token, apart from the port that strangers reach.

    GET /drain   POST /drain   DELETE /drain      miners move away, or no more
    POST /reload                                  as SIGHUP, with its answer
    GET /bans   POST /bans   DELETE /bans/NETWORK
    POST /message
    GET /connections
    GET /closings                                 the books, sealed

Every call is one line of the log, with the token's name. Without a good token nothing is read but the request's head.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import stat
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from pool.data_dir import StartError
from pool.http_connections import connection_log, new_connection, saw_request
from pool.operator.api import Json, Operated, OperatorApi, OperatorError
from pool.operator.tokens import Tokens

log = logging.getLogger("parapool.operator")

MAX_BODY = 8192
BODY_TIMEOUT_S = 10.0
MAX_CONNECTIONS = 32
FIRST_REQUEST_S = 15.0
"""A connection that sent no whole request by then is closed, or a few silent ones would keep the operator out."""

KEEPALIVE_S = 15.0
SHUTDOWN_S = 2.0
BACKLOG = 16
TELL_REFUSED_S = 60.0
"""Wrong tokens are told once in so long, however many there are."""

PLACES = "/drain, /reload, /bans, /message, /connections and /closings"

BODY = web.RequestKey("body", bytes)
"""What was posted, for the log."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_aiohttp_log = connection_log("parapool.operator.connection")


class OperatorServer:
    """`port` is the one it listens on, None on a Unix socket."""

    def __init__(self, pool: Operated, tokens: Tokens) -> None:
        self._api = OperatorApi(pool)
        self._tokens = tokens
        self._refused = 0
        self._tell_after = 0.0
        self._runner: web.AppRunner | None = None
        self._listener: asyncio.Server | None = None
        self._socket_path: Path | None = None
        self.port: int | None = None

    def adopt(self, tokens: Tokens) -> None:
        """Other tokens from the next call on."""
        self._tokens = tokens

    # -- listening ----------------------------------------------------------------------------------------------------

    async def start(self, address: tuple[str, int] | None, socket_path: Path | None) -> None:
        """Listen at an address, or on a Unix socket that only our own user may open. Raises StartError."""
        runner = web.AppRunner(self._application(), handle_signals=False, shutdown_timeout=SHUTDOWN_S)
        await runner.setup()
        self._runner = runner
        loop = asyncio.get_running_loop()
        try:
            if address is not None:
                self._listener = await loop.create_server(self._connection, *address, backlog=BACKLOG)
                self.port = self._listener.sockets[0].getsockname()[1]
                log.info("operator listening host=%s port=%d", address[0], self.port)
            else:
                assert socket_path is not None
                self._listener = await loop.create_unix_server(self._connection, sock=_unix_socket(socket_path))
                self._socket_path = socket_path
                log.info("operator listening socket=%s", socket_path)
        except OSError as error:
            await self.stop()
            place = socket_path if address is None else f"{address[0]}:{address[1]}"
            raise StartError(f"operator: cannot listen on {place}: {error}") from error

    async def stop(self) -> None:
        """Stop listening, give calls under way SHUTDOWN_S. May be called twice."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._socket_path is not None:
            self._socket_path.unlink(missing_ok=True)
            self._socket_path = None
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _connection(self) -> asyncio.BaseProtocol:
        assert self._runner is not None and self._runner.server is not None
        return new_connection(
            self._runner.server, _aiohttp_log, most=MAX_CONNECTIONS, first_request_s=FIRST_REQUEST_S,
            keepalive_s=KEEPALIVE_S,
        )  # fmt: skip

    # -- calls --------------------------------------------------------------------------------------------------------

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[self._answer], client_max_size=MAX_BODY)
        api = self._api

        async def drain_state(request: web.Request) -> Json:
            return api.drain_state()

        async def begin_drain(request: web.Request) -> Json:
            return api.begin_drain(await _body(request))

        async def end_drain(request: web.Request) -> Json:
            return api.end_drain()

        async def reload(request: web.Request) -> Json:
            return await api.reload(await _body(request))

        async def bans(request: web.Request) -> Json:
            return api.bans(request.query)

        async def ban(request: web.Request) -> Json:
            return await api.ban(await _body(request))

        async def unban(request: web.Request) -> Json:
            return await api.unban(request.match_info["network"])

        async def tell(request: web.Request) -> Json:
            return await api.tell(await _body(request))

        async def connections(request: web.Request) -> Json:
            return await api.connections(request.query)

        async def closings(request: web.Request) -> Json:
            return await api.closings(request.query)

        for method, path, call in (
            ("GET", "/drain", drain_state), ("POST", "/drain", begin_drain), ("DELETE", "/drain", end_drain),
            ("POST", "/reload", reload), ("GET", "/bans", bans), ("POST", "/bans", ban),
            ("DELETE", "/bans/{network:.+}", unban), ("POST", "/message", tell), ("GET", "/connections", connections),
            ("GET", "/closings", closings),
        ):  # fmt: skip
            application.router.add_route(method, path, _answering(call))
        return application

    @web.middleware
    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Who asks, then what; each with one line of the log, whatever becomes of it."""
        saw_request(request)
        holder = self._holder(request)
        if holder is None:
            self._tell_refused(request)
            sentence = "expected the header `Authorization: Bearer TOKEN` with a token of operator.token_file"
            return _last(_json({"error": sentence}, 401, {"WWW-Authenticate": "Bearer"}))
        response = await self._called(request, handler)
        log.info(
            "operator call who=%s method=%s path=%r status=%d what=%s",
            holder, request.method, request.path_qs[:200], response.status, _what(request),
        )  # fmt: skip
        return response

    async def _called(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except OperatorError as error:
            return _json({"error": error.sentence, **({"lines": error.lines} if error.lines else {})}, error.status)
        except web.HTTPMethodNotAllowed as error:
            words = " or ".join(sorted(error.allowed_methods - {"HEAD"}))
            return _json({"error": f"expected {words} here"}, 405, {"Allow": error.headers["Allow"]})
        except web.HTTPRequestEntityTooLarge:
            return _last(_json({"error": f"a body has at most {MAX_BODY} bytes"}, 413))
        except web.HTTPException as error:
            sentence = f"there is nothing here, but at {PLACES}" if error.status == 404 else error.reason
            return _json({"error": sentence}, error.status)
        except Exception:
            log.exception("an operator's call failed path=%r", request.path)
            return _json({"error": "the pool could not do it; its log says why"}, 500)

    def _holder(self, request: web.Request) -> str | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return self._tokens.holder(token.strip()) if scheme.lower() == "bearer" else None

    def _tell_refused(self, request: web.Request) -> None:
        self._refused += 1
        now = time.monotonic()
        if now >= self._tell_after:
            self._tell_after = now + TELL_REFUSED_S
            log.warning("operator call without a good token address=%s count=%d", request.remote, self._refused)
            self._refused = 0


def _answering(call: Callable[[web.Request], Awaitable[Json]]) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        return _json(await call(request))

    return answer


def _json(payload: Json, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    kept = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Server": "parapool", **(headers or {})}
    text = json.dumps(payload, separators=(",", ":")) + "\n"
    return web.Response(text=text, status=status, content_type="application/json", headers=kept)


def _last(response: web.Response) -> web.Response:
    """The connection ends with it: what may still come was not read."""
    response.force_close()
    return response


async def _body(request: web.Request) -> bytes:
    """What was posted, whole, and kept for the log."""
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            body = await request.read()
    except TimeoutError:
        raise OperatorError(408, f"the body did not arrive within {BODY_TIMEOUT_S:g} s") from None
    except (ConnectionError, HttpProcessingError):
        raise OperatorError(400, "the body is broken") from None
    request[BODY] = body
    return body


def _what(request: web.Request) -> str:
    """What was posted, as far as a line of the log goes; nothing of it is a secret."""
    body = request.get(BODY, b"")
    return repr(body.decode("utf-8", "replace")[:600]) if body else "-"


def _unix_socket(path: Path) -> socket.socket:
    """Bound where nobody listens; what a killed process left there is taken away. Raises OSError."""
    try:
        left = stat.S_ISSOCK(path.lstat().st_mode)
    except FileNotFoundError:
        left = False
    if left:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
    listening = socket.socket(socket.AF_UNIX)
    try:
        os.fchmod(listening.fileno(), 0o600)  # the file gets the socket's mode on Linux: it is never wider than that
        listening.bind(str(path))
        path.chmod(0o600)
    except OSError:
        listening.close()
        raise
    return listening
