"""The HTTP edge: routes, limits and error answers around the API and the pages, on the loop that serves the miners.

It reads, and takes settings that miners signed. Whatever comes in is answered with a sentence, as JSON or as a page,
never a stack trace, and never enough work to delay a share: connections, requests of a client, requests at the books,
posts and the length of every parameter are bounded.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from pool.accounting.books_away import BooksAwayError
from pool.http_connections import connection_log, new_connection, saw_request
from pool.web.answer_cache import AnswerCache
from pool.web.answers import add_headers, error_answer, json_answer, page_answer, static_answer
from pool.web.api import DRAINING, Api, ApiError, LiveStatus
from pool.web.api import Books as PoolBooks
from pool.web.client_limit import ClientLimit
from pool.web.miner_api import MinerApi, MinerBooks
from pool.web.openapi import openapi
from pool.web.options import WebOptions
from pool.web.pages import Pages
from pool.web.rate_limit import RateLimit
from pool.web.rendering import Templates, static_files
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

OVERVIEW_KEPT_S = 1.0
"""The whole pool is added up at most so often, whoever asks."""

PLOT_KEPT_S = 5.0
"""An address's plots, and the page that has them, are made at most so often."""

MONEY_KEPT_S = 0.0
"""An address's balances are what the books say when they are asked; who asks meanwhile gets the same answer."""

REFUSAL_KEPT_S = 3600.0

UNCOUNTED = frozenset({"/healthz", "/readyz", "/metrics"})
"""What load balancers and Prometheus ask; they get an answer however often."""

T = TypeVar("T")


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
        self.api = Api(live, books, pseudonyms=options.pseudonyms)
        self.miners = MinerApi(live, books, options)
        self.settings = None if settings is None else SettingsApi(settings)
        self.registry = registry
        self._statics = static_files()
        self._pages = Pages(self.api, self.miners, options, Templates(self._statics))
        self._clients = ClientLimit(options.limits)
        self._posts = RateLimit(POSTS_BURST, POSTS_PER_S)
        self._kept = AnswerCache(time.monotonic)
        self.port: int | None = None
        self._books_requests = 0
        self._runner: web.AppRunner | None = None
        self._listener: asyncio.Server | None = None

    def adopt(self, options: WebOptions) -> None:
        """Other ports' terms and payout rules, as a reload brings them; limits and names in splits stay."""
        self.miners.options = self._pages.options = options

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
        application.add_routes(
            [
                web.get("/", self._overview_page),
                web.get("/chains", self._chains_page),
                web.get("/blocks", self._blocks_page),
                web.get("/block/{chain}/{hash}", self._block_page),
                web.get("/miner", self._look_up),
                web.get("/miner/{address}", self._miner_page),
                web.get("/connect", self._connect_page),
                web.get("/static/{name}", self._static),
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics),
                web.get("/api/v1/openapi.json", self._openapi),
                web.get("/api/v1/pool", self._pool),
                web.get("/api/v1/pool/hashrate", self._pool_hashrate),
                web.get("/api/v1/chains", self._chains),
                web.get("/api/v1/blocks", self._blocks),
                web.get("/api/v1/blocks/{chain}/{hash}", self._block),
                web.get("/api/v1/miners/{address}", self._miner),
                web.get("/api/v1/miners/{address}/hashrate", self._miner_hashrate),
                web.get("/api/v1/miners/{address}/payouts", self._miner_payouts),
            ]
        )
        if self.settings is not None:
            path = "/api/v1/miners/{address}/settings"
            application.add_routes([web.get(path, self._miner_settings), web.post(path, self._change_settings)])
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

    async def _from_books(self, answer: Coroutine[Any, Any, T]) -> T:
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
            return error_answer(503, "; ".join(problems + notes))
        return web.Response(text="\n".join(["ok", *notes]) + "\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        """Whether new miners should come here. A drained process answers 404, which HAProxy (`disable-on-404`) takes
        for: nobody new, and who is there stays; on a 503 it would end every connection."""
        if self.api.live.draining and not self.api.problems():
            return error_answer(404, DRAINING)
        return await self._healthz(request)

    async def _metrics(self, request: web.Request) -> web.Response:
        # The classic text form: in OpenMetrics a gauge `connections` and a counter `connections_total` would clash.
        return web.Response(body=generate_latest(self.registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    async def _openapi(self, request: web.Request) -> web.Response:
        return json_answer(openapi())

    async def _pool(self, request: web.Request) -> web.Response:
        return json_answer(await self._keep("pool", OVERVIEW_KEPT_S, self.api.pool))

    async def _pool_hashrate(self, request: web.Request) -> web.Response:
        return json_answer(await self._keep("pool hashrate", PLOT_KEPT_S, self.api.hashrates))

    async def _chains(self, request: web.Request) -> web.Response:
        return json_answer(self.api.chains())

    async def _blocks(self, request: web.Request) -> web.Response:
        return json_answer(await self._from_books(self.api.blocks(request.query)))

    async def _block(self, request: web.Request) -> web.Response:
        found = request.match_info
        return json_answer(await self._from_books(self.api.block(found["chain"], found["hash"], request.query)))

    async def _miner(self, request: web.Request) -> web.Response:
        address = request.match_info["address"]
        return json_answer(
            await self._keep(f"miner {address}", MONEY_KEPT_S, lambda: self.miners.miner(address, self.api.now_ms()))
        )

    async def _miner_hashrate(self, request: web.Request) -> web.Response:
        address = request.match_info["address"]
        key = f"hashrate {address}"
        return json_answer(
            await self._keep(key, PLOT_KEPT_S, lambda: self.miners.hashrates(address, self.api.now_ms()))
        )

    async def _miner_payouts(self, request: web.Request) -> web.Response:
        address = request.match_info["address"]
        return json_answer(await self._from_books(self.miners.payouts(address, request.query, self.api.now_ms())))

    async def _keep(self, key: str, kept_s: float, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """An answer that was given to somebody else just now, or a new one."""
        return await self._kept.get(key, kept_s, lambda: self._from_books(ask()))

    async def _miner_settings(self, request: web.Request) -> web.Response:
        assert self.settings is not None
        return json_answer(await self._from_books(self.settings.show(request.match_info["address"])))

    async def _change_settings(self, request: web.Request) -> web.Response:
        assert self.settings is not None
        if not self._posts.take(self._client(request), time.monotonic()):
            raise ApiError(429, "too many posts from your address, please wait a minute")
        body = await _body(request)
        return json_answer(await self._from_books(self.settings.change(request.match_info["address"], body)))

    # -- pages --------------------------------------------------------------------------------------------------

    async def _overview_page(self, request: web.Request) -> web.Response:
        return page_answer(await self._keep("/", OVERVIEW_KEPT_S, self._pages.overview))

    async def _chains_page(self, request: web.Request) -> web.Response:
        return page_answer(await self._keep("/chains", OVERVIEW_KEPT_S, self._pages.chains))

    async def _blocks_page(self, request: web.Request) -> web.Response:
        return page_answer(await self._from_books(self._pages.blocks(request.query)))

    async def _block_page(self, request: web.Request) -> web.Response:
        found = request.match_info
        return page_answer(await self._from_books(self._pages.block(found["chain"], found["hash"], request.query)))

    async def _look_up(self, request: web.Request) -> web.Response:
        address = request.query.get("address", "").strip()
        if not address:
            raise ApiError(400, "address: expected your payout address")
        return web.Response(status=303, headers={"Location": f"/miner/{quote(address, safe='')}"})

    async def _miner_page(self, request: web.Request) -> web.Response:
        address, query = request.match_info["address"], request.query
        key = f"/miner {address} {query.get('workers', '')}"
        return page_answer(await self._keep(key, PLOT_KEPT_S, lambda: self._pages.miner(address, query)))

    async def _connect_page(self, request: web.Request) -> web.Response:
        return page_answer(await self._pages.connect(request.headers.get("Host")))

    async def _static(self, request: web.Request) -> web.Response:
        file = self._statics.get(request.match_info["name"])
        if file is None:
            raise ApiError(404, "there is no such file")
        return static_answer(file, request.query.get("v"))


async def _body(request: web.Request) -> bytes:
    """A posted body, whole. Raises ApiError, and aiohttp's own answer when it is too long."""
    try:
        return await asyncio.wait_for(request.read(), BODY_TIMEOUT_S)
    except TimeoutError:
        raise ApiError(408, f"the body did not arrive within {BODY_TIMEOUT_S:g} s") from None
    except (ConnectionError, HttpProcessingError):
        raise ApiError(400, "the body is broken") from None
