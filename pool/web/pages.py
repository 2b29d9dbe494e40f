"""The pages for people: the API's own answers as HTML. Each is bounded in size, and made in a thread of its own.

Nothing here asks the books for anything that the API does not; what miners chose themselves (worker names, words in the
address line) is escaped by the templates.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from chains.primitives.target import target_to_difficulty
from pool.web.api import MAX_ADDRESS, Api, ApiError
from pool.web.connect import port_lines, user_names
from pool.web.miner_api import MinerApi
from pool.web.options import WebOptions
from pool.web.rendering import Templates

REFRESH_S = 30
"""A page without script asks again so often."""

NEWEST_BLOCKS = 10
PAGE_BLOCKS = 50
PAGE_CREDITS = 100
PAGE_WORKERS = 25
PAGE_PAYMENTS = 20
PAGE_MINER_CREDITS = 25
MAX_PAGE = 1000

HEADINGS = {
    400: "That cannot be asked",
    404: "Nothing here",
    405: "That cannot be done here",
    429: "Too many requests",
    500: "Something went wrong",
    503: "Please try again",
}


class Pages:
    """One method per page, each giving its HTML. Raises ApiError, which `error` makes a page of."""

    def __init__(self, api: Api, miners: MinerApi, options: WebOptions, templates: Templates) -> None:
        self._api = api
        self._miners = miners
        self.options = options
        self._templates = templates
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pages")

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def overview(self) -> str:
        pool = await self._api.pool()
        spans = (await self._api.hashrates())["spans"]
        blocks = await self._api.blocks({"limit": str(NEWEST_BLOCKS), "votes": "no"})
        return await self._render(
            "overview.html", "/", pool=pool, chains=self._chains(), blocks=blocks["items"], spans=spans,
            problems=self._api.problems() + self._api.notes(), refresh_s=REFRESH_S,
        )  # fmt: skip

    async def chains(self) -> str:
        pool = await self._api.pool()
        return await self._render(
            "chains.html", "/chains", pool=pool, chains=self._chains(), payouts=self.options.payouts,
            refresh_s=REFRESH_S,
        )  # fmt: skip

    async def blocks(self, query: Mapping[str, str]) -> str:
        asked = {name: query[name] for name in ("chain", "cursor") if name in query}
        page = await self._api.blocks({**asked, "limit": str(PAGE_BLOCKS)})
        return await self._render(
            "blocks.html", "/blocks", blocks=page["items"], older=page["cursor"], newest="cursor" not in asked,
            voting=any(block["vote"] for block in page["items"]), chain=asked.get("chain"),
            chain_names=[chain.name for chain in self._api.live.chains()],
            now_ms=self._api.now_ms(),
        )  # fmt: skip

    async def block(self, chain: str, hash_hex: str, query: Mapping[str, str]) -> str:
        asked = {"cursor": query["cursor"]} if "cursor" in query else {}
        block = await self._api.block(chain, hash_hex, {**asked, "limit": str(PAGE_CREDITS)})
        return await self._render(
            "block.html", "/blocks", block=block, first=int(asked.get("cursor", 0)) + 1, now_ms=self._api.now_ms(),
            pseudonyms=self._api.pseudonyms is not None,
        )  # fmt: skip

    async def miner(self, address: str, query: Mapping[str, str]) -> str:
        now_ms = self._api.now_ms()
        page = _page_number(query.get("workers"))
        miner = await self._miners.miner(address, now_ms)
        spans = (await self._miners.hashrates(address, now_ms))["spans"]
        paid = await self._miners.payouts(address, {"limit": str(PAGE_PAYMENTS)}, now_ms)
        workers = miner["workers"]
        pages = max(1, -(-len(workers) // PAGE_WORKERS))
        page = min(page, pages)
        return await self._render(
            "miner.html", "/miner", miner=miner, credits=miner["credits"][:PAGE_MINER_CREDITS], spans=spans,
            next=paid["next"], payments=paid["items"],
            more_payments=paid["cursor"], now_ms=now_ms, source=f"/api/v1/miners/{miner['address']}",
            online=sum(worker["online"] for worker in workers),
            offline=sum(not worker["online"] for worker in workers),
            mined=bool(workers) or any(point for series in spans.values() for point in series["points"]),
            workers=workers[(page - 1) * PAGE_WORKERS : page * PAGE_WORKERS], page=page, pages=pages,
            held={chain: sums["held"] for chain, sums in miner["balances"].items() if sums["held"]},
        )  # fmt: skip

    async def connect(self, host_header: str | None) -> str:
        live = self._api.live
        chains = live.chains()
        others = [chain.name for chain in chains if chain.name != live.parent]
        return await self._render(
            "connect.html", "/connect", parent=live.parent, ports=port_lines(self.options.ports, host_header),
            users=user_names(live.parent, chains), others=others,
            aux_words=",".join(f"{name}=YOUR_ADDRESS" for name in others),
        )  # fmt: skip

    async def error(self, status: int, sentence: str, address: str | None = None) -> str:
        words: dict[str, Any] = {} if address is None else {"address": address[:MAX_ADDRESS]}
        heading = HEADINGS.get(status, HEADINGS[400])
        if address is not None:
            heading = "No such miner"
        words |= {"status": status, "heading": heading, "sentence": _sentence(sentence)}
        return await self._render("error.html", "", **words)

    def _chains(self) -> list[dict[str, Any]]:
        algorithm = self._api.live.algorithm
        items: list[dict[str, Any]] = self._api.chains()["items"]
        for item in items:
            target = item["target"]
            item["difficulty"] = None if target is None else target_to_difficulty(max(1, int(target, 16)), algorithm)
        return items

    async def _render(self, template: str, here: str, **words: Any) -> str:
        """In a thread, so that a long page does not keep shares waiting."""
        loop = asyncio.get_running_loop()
        words |= {"here": here, "pool_name": self._api.live.name}
        return await loop.run_in_executor(self._thread, lambda: self._templates.render(template, **words))


def _page_number(text: str | None) -> int:
    if text is None:
        return 1
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= MAX_PAGE):
        raise ApiError(400, f"workers: expected a page from 1 to {MAX_PAGE}")
    return int(text)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
