"""What is answered under each path: the API, the pages, the files and the metrics.

Answers that cost something are given again to whoever asks the same at the same time, or a moment later; those that
need the books wait for them in a bounded queue, and not for ever.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from pool.accounting.books_away import BooksAwayError
from pool.web.answer_cache import AnswerCache
from pool.web.answers import error_answer, json_answer, page_answer, static_answer
from pool.web.api import DRAINING, Api, ApiError
from pool.web.miner_api import MinerApi
from pool.web.openapi import openapi
from pool.web.pages import Pages
from pool.web.rate_limit import RateLimit
from pool.web.rendering import StaticFile
from pool.web.settings_api import SettingsApi

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

T = TypeVar("T")


class Routes:
    """Without `settings` nothing can be posted. `client_of` tells which client a request comes from."""

    def __init__(
        self,
        api: Api,
        miners: MinerApi,
        settings: SettingsApi | None,
        pages: Pages,
        statics: Mapping[str, StaticFile],
        registry: Collector,
        client_of: Callable[[web.Request], str | None],
    ) -> None:
        self._api = api
        self._miners = miners
        self._settings = settings
        self._registry = registry
        self._pages = pages
        self._statics = statics
        self._client_of = client_of
        self._posts = RateLimit(POSTS_BURST, POSTS_PER_S)
        self._kept = AnswerCache(time.monotonic)
        self._books_requests = 0

    def table(self) -> list[web.RouteDef]:
        routes = [
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
        if self._settings is not None:
            path = "/api/v1/miners/{address}/settings"
            routes += [web.get(path, self._miner_settings), web.post(path, self._change_settings)]
        return routes

    # -- how an answer is got --------------------------------------------------------------------------------------

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

    async def _keep(self, key: str, kept_s: float, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """An answer that was given to somebody else just now, or a new one."""
        return await self._kept.get(key, kept_s, lambda: self._from_books(ask()))

    # -- the API and the metrics -----------------------------------------------------------------------------------

    async def _healthz(self, request: web.Request) -> web.Response:
        problems, notes = self._api.problems(), self._api.notes()
        if problems:
            return error_answer(503, "; ".join(problems + notes))
        return web.Response(text="\n".join(["ok", *notes]) + "\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        """Whether new miners should come here. A drained process answers 404, which HAProxy (`disable-on-404`) takes
        for: nobody new, and who is there stays; on a 503 it would end every connection."""
        if self._api.live.draining and not self._api.problems():
            return error_answer(404, DRAINING)
        return await self._healthz(request)

    async def _metrics(self, request: web.Request) -> web.Response:
        # The classic text form: in OpenMetrics a gauge `connections` and a counter `connections_total` would clash.
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    async def _openapi(self, request: web.Request) -> web.Response:
        return json_answer(openapi())

    async def _pool(self, request: web.Request) -> web.Response:
        return json_answer(await self._keep("pool", OVERVIEW_KEPT_S, self._api.pool))

    async def _pool_hashrate(self, request: web.Request) -> web.Response:
        return json_answer(await self._keep("pool hashrate", PLOT_KEPT_S, self._api.hashrates))

    async def _chains(self, request: web.Request) -> web.Response:
        return json_answer(self._api.chains())

    async def _blocks(self, request: web.Request) -> web.Response:
        return json_answer(await self._from_books(self._api.blocks(request.query)))

    async def _block(self, request: web.Request) -> web.Response:
        found = request.match_info
        return json_answer(await self._from_books(self._api.block(found["chain"], found["hash"], request.query)))

    async def _miner(self, request: web.Request) -> web.Response:
        address = request.match_info["address"]
        return json_answer(
            await self._keep(f"miner {address}", MONEY_KEPT_S, lambda: self._miners.miner(address, self._api.now_ms()))
        )

    async def _miner_hashrate(self, request: web.Request) -> web.Response:
        address = request.match_info["address"]
        key = f"hashrate {address}"
        return json_answer(
            await self._keep(key, PLOT_KEPT_S, lambda: self._miners.hashrates(address, self._api.now_ms()))
        )

    async def _miner_payouts(self, request: web.Request) -> web.Response:
        address = request.match_info["address"]
        return json_answer(await self._from_books(self._miners.payouts(address, request.query, self._api.now_ms())))

    async def _miner_settings(self, request: web.Request) -> web.Response:
        assert self._settings is not None
        return json_answer(await self._from_books(self._settings.show(request.match_info["address"])))

    async def _change_settings(self, request: web.Request) -> web.Response:
        assert self._settings is not None
        if not self._posts.take(self._client_of(request), time.monotonic()):
            raise ApiError(429, "too many posts from your address, please wait a minute")
        body = await _body(request)
        return json_answer(await self._from_books(self._settings.change(request.match_info["address"], body)))

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
