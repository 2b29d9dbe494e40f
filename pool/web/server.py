"""The HTTP edge: connections, limits and error answers around what pool/web/routes.py answers, on the miners' loop.

It reads, and takes settings that miners signed. Whatever comes in is answered with a sentence, as JSON or as a page,
never a stack trace, and never enough work to delay a share: connections, requests of a client, requests at the books,
posts and the length of every parameter are bounded.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from aiohttp import web
from prometheus_client.registry import Collector

from pool.http_connections import connection_log, new_connection, saw_request
from pool.web.answer_cache import AnswerCache
from pool.web.answers import add_headers, error_answer, page_answer
from pool.web.api import Api, ApiError, LiveStatus
from pool.web.api import Books as PoolBooks
from pool.web.client_limit import ClientLimit
from pool.web.miner_api import MinerApi, MinerBooks
from pool.web.options import WebOptions
from pool.web.pages import Pages
from pool.web.rendering import Templates, static_files
from pool.web.routes import Routes
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

REFUSAL_KEPT_S = 3600.0

UNCOUNTED = frozenset({"/healthz", "/readyz", "/metrics"})
"""What load balancers and Prometheus ask; they get an answer however often."""

class Books(PoolBooks, MinerBooks, Protocol):
    """All that is asked of the books."""


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_aiohttp_log = connection_log("parapool.http.connection")


class WebServer:
    """The API, the status page and the metrics of one process. `port` is the one it listens on."""

    def __init__(
        self,
        live: LiveStatus,
        books: Books,
        registry: Collector,
        settings: MinerSettings | None = None,
        options: WebOptions | None = None,
    ) -> None:
        """Without `settings` nothing can be posted here."""
        options = options or WebOptions()
        api, statics = Api(live, books, pseudonyms=options.pseudonyms), static_files()
        self._miners = MinerApi(live, books, options)
        self._pages = Pages(api, self._miners, options, Templates(statics))
        self._clients = ClientLimit(options.limits)
        posted = None if settings is None else SettingsApi(settings)
        self._routes = Routes(api, self._miners, posted, self._pages, statics, registry, self._client)
        self._kept = AnswerCache(time.monotonic)
        self.port: int | None = None
        self._runner: web.AppRunner | None = None
        self._listener: asyncio.Server | None = None

    def adopt(self, options: WebOptions) -> None:
        """Other ports' terms and payout rules, as a reload brings them; limits and names in splits stay."""
        self._miners.options = self._pages.options = options

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
            self._pages.close()

    # -- connections --------------------------------------------------------------------------------------------

    def _connection(self) -> asyncio.BaseProtocol:
        assert self._runner is not None and self._runner.server is not None
        return new_connection(
            self._runner.server, _aiohttp_log, most=MAX_CONNECTIONS, first_request_s=FIRST_REQUEST_S,
            keepalive_s=KEEPALIVE_S,
        )  # fmt: skip

    # -- requests -----------------------------------------------------------------------------------------------

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[self._answer], client_max_size=MAX_BODY)
        application.on_response_prepare.append(add_headers)
        application.add_routes(self._routes.table())
        return application

    @web.middleware
    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every failure becomes a status and a sentence."""
        saw_request(request)
        wait_s = self._wait_s(request)
        if wait_s is not None:
            sentence = "too many requests from your address, please wait"
            return await self._refusal(request, 429, sentence, {"Retry-After": str(max(1, math.ceil(wait_s)))})
        if len(request.raw_path) > MAX_PATH:
            return await self._refusal(request, 400, "the address is too long")
        try:
            return await handler(request)
        except ApiError as error:
            return await self._refusal(request, error.status, error.sentence)
        except web.HTTPMethodNotAllowed as error:
            allowed = sorted(error.allowed_methods)
            words = f"{', '.join(allowed[:-1])} and {allowed[-1]}"
            headers = {"Allow": error.headers["Allow"]}
            return await self._refusal(request, 405, f"only {words} are answered here", headers)
        except web.HTTPRequestEntityTooLarge:
            return await self._refusal(request, 413, f"a body has at most {MAX_BODY} bytes")
        except web.HTTPException as error:
            sentence = "there is nothing here; the API begins at /api/v1/pool" if error.status == 404 else error.reason
            return await self._refusal(request, error.status, sentence)
        except Exception:
            log.exception("request failed path=%r", request.path)
            return await self._refusal(request, 500, "the pool could not answer; its log says why")

    def _wait_s(self, request: web.Request) -> float | None:
        """How long this client should wait, None when it may go on."""
        if request.path in UNCOUNTED or request.path.startswith("/static/"):
            return None
        return self._clients.wait_s(self._client(request), time.monotonic())

    def _client(self, request: web.Request) -> str | None:
        # HAProxy adds a line of its own behind those that the client sent.
        lines = request.headers.getall("X-Forwarded-For", [])
        return self._clients.client(request.remote, ",".join(lines) if lines else None)

    async def _refusal(
        self, request: web.Request, status: int, sentence: str, headers: dict[str, str] | None = None
    ) -> web.Response:
        """A page for those who look at pages, JSON for the others."""
        is_api = request.path.startswith("/api/") or request.path in UNCOUNTED
        if is_api or "text/html" not in request.headers.get("Accept", ""):
            return error_answer(status, sentence, headers)
        retry = {"Retry-After": "5"} if status == 503 else {}
        is_miner = request.path.startswith("/miner/") and status in (400, 404) and not request.query
        address = request.match_info.get("address") if is_miner else None
        if status == 429:  # made once, as it is meant to cost nothing
            html = await self._kept.get("429", REFUSAL_KEPT_S, lambda: self._pages.error(status, sentence))
        else:
            html = await self._pages.error(status, sentence, address)
        return page_answer(html, status, {**retry, **(headers or {})})
