"""The HTTP edge: routes, limits and error answers around pool/web/api.py, on the loop that serves the miners.

It reads, and takes settings that miners signed. Whatever comes in is answered with JSON and a sentence, never a stack
trace, and never enough work to delay a share: connections, requests at the books, posts of a client and the length of
every parameter are bounded.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from pool.accounting.books_away import BooksAwayError
from pool.web.api import Api, ApiError, Books, LiveStatus
from pool.web.page import STYLE_HASH, status_page
from pool.web.rate_limit import RateLimit
from pool.web.settings_api import MAX_BODY, MinerSettings, SettingsApi

log = logging.getLogger("parapool.http")

MAX_CONNECTIONS = 256
"""Open HTTP connections; a further one is closed at once. Miners' sockets must never run out because of this port."""

FIRST_REQUEST_S = 15.0
"""A connection that sent no whole request by then is closed."""

KEEPALIVE_S = 30.0
SHUTDOWN_S = 2.0
MAX_PATH = 512
"""Characters of path and query; the longest real one is a block's, under 200."""

MAX_BOOKS_REQUESTS = 16
"""Requests that wait for the books at a time; one thread answers them."""

BOOKS_TIMEOUT_S = 10.0

POSTS_BURST, POSTS_PER_S = 30, 1.0
"""Posts of one client at once, and from then on each second; each costs a signature check of under a millisecond."""

BODY_TIMEOUT_S = 10.0
"""For the whole of a posted body to arrive."""

SECURITY_HEADERS = {
    "Server": "parapool",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src '{STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _NotMalformed(logging.Filter):
    """aiohttp answers a malformed request with 400 and logs a stack trace of it; strangers shall not fill our log."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("Error handling request")


_aiohttp_log = logging.getLogger("parapool.http.connection")
_aiohttp_log.addFilter(_NotMalformed())


class WebServer:
    """The API, the status page and the metrics of one process. `port` is the one it listens on."""

    def __init__(
        self, live: LiveStatus, books: Books, registry: Collector, settings: MinerSettings | None = None
    ) -> None:
        """Without `settings` nothing can be posted here."""
        self.api = Api(live, books)
        self.settings = None if settings is None else SettingsApi(settings)
        self.registry = registry
        self._posts = RateLimit(POSTS_BURST, POSTS_PER_S)
        self.port: int | None = None
        self._books_requests = 0
        self._runner: web.AppRunner | None = None
        self._listener: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises OSError when the address cannot be had."""
        runner = web.AppRunner(self._application(), handle_signals=False, shutdown_timeout=SHUTDOWN_S)
        await runner.setup()
        self._runner = runner
        try:
            self._listener = await asyncio.get_running_loop().create_server(self._connection, host, port)
        except OSError:
            await self.stop()
            raise
        self.port = self._listener.sockets[0].getsockname()[1]
        log.info("http listening host=%s port=%d", host, self.port)

    async def stop(self) -> None:
        """Stop listening, give requests under way SHUTDOWN_S. May be called twice."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    # -- connections --------------------------------------------------------------------------------------------

    def _connection(self) -> asyncio.BaseProtocol:
        assert self._runner is not None and self._runner.server is not None
        server = self._runner.server
        if len(server.connections) >= MAX_CONNECTIONS:
            return _TurnedAway()
        loop = asyncio.get_running_loop()
        connection = _Connection(
            server, loop=loop, keepalive_timeout=KEEPALIVE_S, lingering_time=0.0, logger=_aiohttp_log,
            access_log=None,  # type: ignore[arg-type]  # its default is a logger, None turns it off
        )
        loop.call_later(FIRST_REQUEST_S, _close_if_silent, weakref.ref(connection))
        return connection

    # -- requests -----------------------------------------------------------------------------------------------

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[self._answer], client_max_size=MAX_BODY)
        application.on_response_prepare.append(_add_headers)
        application.add_routes(
            [
                web.get("/", self._page),
                web.get("/healthz", self._healthz),
                web.get("/metrics", self._metrics),
                web.get("/api/v1/pool", self._pool),
                web.get("/api/v1/chains", self._chains),
                web.get("/api/v1/blocks", self._blocks),
                web.get("/api/v1/blocks/{chain}/{hash}", self._block),
                web.get("/api/v1/miners/{address}", self._miner),
            ]
        )
        if self.settings is not None:
            path = "/api/v1/miners/{address}/settings"
            application.add_routes([web.get(path, self._miner_settings), web.post(path, self._change_settings)])
        return application

    @web.middleware
    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every failure becomes a status and a sentence."""
        if isinstance(request.protocol, _Connection):
            request.protocol.served = True
        if len(request.raw_path) > MAX_PATH:
            return _error(400, "the address is too long")
        try:
            return await handler(request)
        except ApiError as error:
            return _error(error.status, error.sentence)
        except web.HTTPMethodNotAllowed as error:
            allowed = sorted(error.allowed_methods)
            words = f"{', '.join(allowed[:-1])} and {allowed[-1]}"
            return _error(405, f"only {words} are answered here", {"Allow": error.headers["Allow"]})
        except web.HTTPRequestEntityTooLarge:
            return _error(413, f"a body has at most {MAX_BODY} bytes")
        except web.HTTPException as error:
            sentence = "there is nothing here; the API begins at /api/v1/pool" if error.status == 404 else error.reason
            return _error(error.status, sentence)
        except Exception:
            log.exception("request failed path=%r", request.path)
            return _error(500, "the pool could not answer; its log says why")

    async def _from_books(self, answer: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
        """An answer that needs the books, when not too many wait for them already. Raises ApiError."""
        if self._books_requests >= MAX_BOOKS_REQUESTS:
            answer.close()
            raise ApiError(503, "too many requests at a time, please try again")
        self._books_requests += 1
        try:
            return await asyncio.wait_for(answer, BOOKS_TIMEOUT_S)
        except BooksAwayError:
            raise ApiError(503, "the books are away for the moment, please try again") from None
        except TimeoutError:
            raise ApiError(503, f"the books gave no answer within {BOOKS_TIMEOUT_S:g} s, please try again") from None
        finally:
            self._books_requests -= 1

    async def _healthz(self, request: web.Request) -> web.Response:
        problems, notes = self.api.problems(), self.api.notes()
        if problems:
            return _error(503, "; ".join(problems + notes))
        return web.Response(text="\n".join(["ok", *notes]) + "\n")

    async def _metrics(self, request: web.Request) -> web.Response:
        # The classic text form: in OpenMetrics a gauge `connections` and a counter `connections_total` would clash.
        return web.Response(body=generate_latest(self.registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    async def _pool(self, request: web.Request) -> web.Response:
        return _json(await self._from_books(self.api.pool()))

    async def _chains(self, request: web.Request) -> web.Response:
        return _json(self.api.chains())

    async def _blocks(self, request: web.Request) -> web.Response:
        return _json(await self._from_books(self.api.blocks(request.query)))

    async def _block(self, request: web.Request) -> web.Response:
        return _json(await self._from_books(self.api.block(request.match_info["chain"], request.match_info["hash"])))

    async def _miner(self, request: web.Request) -> web.Response:
        return _json(await self._from_books(self.api.miner(request.match_info["address"])))

    async def _miner_settings(self, request: web.Request) -> web.Response:
        assert self.settings is not None
        return _json(await self._from_books(self.settings.show(request.match_info["address"])))

    async def _change_settings(self, request: web.Request) -> web.Response:
        assert self.settings is not None
        if not self._posts.take(request.remote, time.monotonic()):
            raise ApiError(429, "too many posts from your address, please wait a minute")
        body = await _body(request)
        return _json(await self._from_books(self.settings.change(request.match_info["address"], body)))

    async def _page(self, request: web.Request) -> web.Response:
        pool = await self._from_books(self.api.pool())
        blocks = await self._from_books(self.api.blocks({"limit": "10"}))
        trouble = self.api.problems() + self.api.notes()
        page = status_page(pool, self.api.chains()["items"], blocks["items"], trouble)
        return web.Response(text=page, content_type="text/html")


class _Connection(web.RequestHandler):
    """aiohttp's connection, which we ask whether it ever brought a request."""

    served = False


def _close_if_silent(reference: weakref.ref[_Connection]) -> None:
    connection = reference()
    if connection is not None and not connection.served:
        connection.force_close()


class _TurnedAway(asyncio.Protocol):
    """What a connection over the limit gets: nothing."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).abort()


async def _add_headers(request: web.BaseRequest, response: web.StreamResponse) -> None:
    response.headers.update(SECURITY_HEADERS)


async def _body(request: web.Request) -> bytes:
    """A posted body, whole. Raises ApiError, and aiohttp's own answer when it is too long."""
    try:
        return await asyncio.wait_for(request.read(), BODY_TIMEOUT_S)
    except TimeoutError:
        raise ApiError(408, f"the body did not arrive within {BODY_TIMEOUT_S:g} s") from None
    except (ConnectionError, HttpProcessingError):
        raise ApiError(400, "the body is broken") from None


def _json(payload: dict[str, Any]) -> web.Response:
    return web.Response(text=json.dumps(payload, separators=(",", ":")) + "\n", content_type="application/json")


def _error(status: int, sentence: str, headers: dict[str, str] | None = None) -> web.Response:
    body = json.dumps({"error": sentence}) + "\n"
    retry = {"Retry-After": "5"} if status == 503 else {}
    return web.Response(status=status, text=body, content_type="application/json", headers={**retry, **(headers or {})})
