"""The pages as they are sent: what stands in them, what does not, their headers, and errors for people."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDict
from web_site import ADA, ADA_ALPHA, BOB, CLEO, BooksInThread, Live, Site, counted_registry

from pool.storage.database import Database
from pool.web import miner_api
from pool.web.absent_books import AbsentBooks
from pool.web.options import ClientLimits, PayoutRule, PortOffer, WebOptions
from pool.web.pseudonyms import Pseudonyms
from pool.web.server import WebServer

OpenSite = Callable[..., AbstractAsyncContextManager[Site]]
BLOCK = f"/block/alpha/{'2' * 64}"
PATHS = ["/", "/chains", "/blocks", BLOCK, f"/miner/{ADA}", "/connect", "/miner/nobody"]


@pytest.fixture
def open_site(database: Database) -> OpenSite:
    @asynccontextmanager
    async def opened(options: WebOptions | None = None, books: Any = None) -> AsyncIterator[Site]:
        live = Live()
        server = WebServer(live, books or BooksInThread(database), counted_registry(), options=options)
        await server.start("127.0.0.1", 0)
        async with aiohttp.ClientSession(headers={"Accept": "text/html"}) as session:
            yield Site(server, live, session)
        await server.stop()

    return opened


@pytest.fixture
async def people(open_site: OpenSite) -> AsyncIterator[Site]:
    async with open_site() as site:
        yield site


async def test_web_overview_shows_the_same_as_the_api_and_escapes_names(people: Site) -> None:
    _, page = await people.ask("/")
    assert "devnet &lt;&amp;&gt;" in page
    assert "devnet <&>" not in page
    assert "10.00000001" in page, "alpha's reward, in coins"
    assert ADA not in page, "addresses are looked up, not listed"


@pytest.mark.parametrize("path", PATHS)
async def test_web_page_allows_no_script_of_its_own_nor_anything_from_elsewhere(people: Site, path: str) -> None:
    async with people.session.get(people.url(path)) as answer:
        page = await answer.text()
        assert answer.content_type == "text/html"
        policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy and "*" not in policy and "http" not in policy
    (script,) = re.findall(r"<script[^>]*>", page)
    assert re.fullmatch(r'<script src="/static/page\.js\?v=[0-9a-f]{12}" defer>', script)
    assert not re.search(r"\son\w+=|style=|<style|javascript:", page)
    assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", page)


async def test_web_static_files_are_kept_for_ever_under_their_digest(people: Site) -> None:
    _, page = await people.ask("/")
    addresses = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
    assert len(addresses) == 3
    for address in addresses:
        async with people.session.get(people.url(address)) as answer:
            assert answer.status == 200
            assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        async with people.session.get(people.url(address.partition("?")[0] + "?v=old")) as answer:
            assert answer.headers["Cache-Control"] == "no-cache"
    for name in ("nothing.css", "..%2Frendering.py", "%2e%2e%2fapi.py"):
        assert (await people.ask(f"/static/{name}"))[0] == 404


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/miner/nobody", 404, "Nothing was mined for this address yet."),
        ("/miner/%3Cscript%3Ealert(1)%3C%2Fscript%3E", 400, "&lt;script&gt;"),
        ("/miner/" + "a" * 200, 400, "at most 128"),
        (f"/miner/{ADA}?workers=0", 400, "expected a page"),
        (f"/miner/{ADA}?workers=%D9%A3", 400, "expected a page"),
        ("/miner", 400, "expected your payout address"),
        ("/block/regbtc/" + "9" * 64, 404, "found no such block"),
        (f"{BLOCK}?cursor=x", 400, "cursor"),
        ("/blocks?chain=gamma", 404, "there is no chain gamma".capitalize()),
        ("/blocks?cursor=x", 400, "cursor"),
        ("/no-such-page", 404, "There is nothing here"),
        ("/" + "a" * 600, 400, "too long"),
    ],
)
async def test_web_page_of_an_error_says_what_is_wrong(people: Site, path: str, status: int, words: str) -> None:
    found, page = await people.ask(path)
    assert found == status
    assert words in page
    assert "<script>" not in page and "Traceback" not in page
    assert '<main id="main"' in page and 'role="search"' in page


async def test_web_errors_of_the_api_stay_json_whoever_asks(people: Site) -> None:
    status, answer = await people.ask("/api/v1/miners/nobody")
    assert (status, set(answer)) == (404, {"error"})


async def test_web_look_up_leads_to_the_miner_and_nowhere_else(people: Site) -> None:
    for typed, led in ((f"+{ADA}+", f"/miner/{ADA}"), ("%2F%2Fevil.example%2F", "/miner/%2F%2Fevil.example%2F")):
        async with people.session.get(people.url(f"/miner?address={typed}"), allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, led)
    assert (await people.ask("/miner/%0D%0ASet-Cookie:x"))[0] == 400


async def test_web_miner_page_shows_workers_balances_and_what_is_held(people: Site) -> None:
    _, page = await people.ask(f"/miner/{BOB}")
    assert "hut" in page and "Held for you:" in page and "+alpha=YOUR_ADDRESS" in page
    assert page.count("<svg") == 3
    _, page = await people.ask(f"/miner/{ADA_ALPHA}")
    assert "No login has this address as its user name" in page
    assert ADA not in page and "rig" not in page, "which addresses share a login is never shown"
    assert ADA_ALPHA not in (await people.ask(f"/miner/{ADA}"))[1]


async def test_web_miner_page_estimates_the_next_payout(open_site: OpenSite) -> None:
    rules = {"regbtc": PayoutRule(10**12, 86_400_000), "alpha": PayoutRule(1, 3_600_000)}
    async with open_site(WebOptions(payouts=rules)) as site:
        _, page = await site.ask(f"/miner/{ADA}")
        assert "to the minimum of 10,000.00000000" in page
        _, page = await site.ask(f"/miner/{ADA_ALPHA}")
        assert "to the minimum of 0.00000001" in page, "all of it is immature"
        _, told = await site.ask(f"/api/v1/miners/{ADA}/payouts")
        assert told["next"]["regbtc"]["state"] == "below_minimum"
        assert told["next"]["regbtc"]["missing"] + told["next"]["regbtc"]["minimum"] > 10**12


async def test_web_splits_with_pseudonyms_have_no_address(open_site: OpenSite) -> None:
    names = Pseudonyms(b"a secret of the pool")
    async with open_site(WebOptions(pseudonyms=names)) as site:
        for path in (BLOCK, f"/block/regbtc/{'1' * 64}"):
            chain = path.split("/")[2]
            page, block = (await site.ask(path))[1], (await site.ask(f"/api/v1/blocks{path[6:]}"))[1]
            for address in (ADA, BOB, CLEO, ADA_ALPHA):
                assert address not in page and address not in str(block)
            owners = (ADA_ALPHA if chain == "alpha" else ADA, BOB, CLEO)
            assert {credit["miner"] for credit in block["credits"]} == {names.name(chain, who) for who in owners}
        _, miner = await site.ask(f"/api/v1/miners/{BOB}")
        assert miner["pseudonyms"] == {chain: names.name(chain, BOB) for chain in ("alpha", "regbtc")}
        assert names.name("alpha", BOB) in (await site.ask(f"/miner/{BOB}"))[1]
    assert names.name("alpha", BOB) != names.name("regbtc", BOB)
    assert names.name("alpha", BOB) != Pseudonyms(b"a secret of another").name("alpha", BOB)


async def test_web_connect_page_tells_ports_by_the_pages_own_name(open_site: OpenSite) -> None:
    port = PortOffer("stratum+tcp", None, 3333, 1, 0.1, 1e6, 4, {"regbtc": "pplns", "alpha": "solo"})
    async with open_site(WebOptions(ports=(port,))) as site:
        for host, shown in (
            ("pool.example:8080", "stratum+tcp://pool.example:3333"),
            ("[::1]:8080", "stratum+tcp://[::1]:3333"),
            ('"><script>', "stratum+tcp://POOL:3333"),
        ):
            async with site.session.get(site.url("/connect"), headers={"Host": host}) as answer:
                page = await answer.text()
            assert shown in page and "<script>" not in page
        assert "YOUR_REGBTC_ADDRESS+alpha=YOUR_ALPHA_ADDRESS.WORKER" in page
        assert "alpha: SOLO, regbtc: PPLNS" in page


async def test_web_pages_say_so_where_there_are_no_books(open_site: OpenSite) -> None:
    async with open_site(books=AbsentBooks()) as site:
        for path in ("/", "/blocks", f"/miner/{ADA}"):
            status, page = await site.ask(path)
            assert (status, "The books are away for the moment" in page) == (503, True)
        assert (await site.ask("/connect"))[0] == 200


async def test_web_too_many_requests_of_a_client_wait(open_site: OpenSite) -> None:
    limits = ClientLimits(burst=3, per_s=0.01, exempt_loopback=False, forwarded_from=frozenset({"127.0.0.1"}))
    async with open_site(WebOptions(limits=limits)) as site:

        async def ask(path: str, client: str) -> tuple[int, int, str]:
            async with site.session.get(site.url(path), headers={"X-Forwarded-For": client}) as answer:
                return answer.status, int(answer.headers.get("Retry-After", 0)), answer.content_type

        assert [(await ask("/api/v1/chains", "192.0.2.1"))[0] for _ in range(4)] == [200, 200, 200, 429]
        status, retry_s, kind = await ask("/api/v1/pool", "198.51.100.7, 192.0.2.1")
        assert (status, kind) == (429, "application/json") and 1 <= retry_s <= 100
        assert await ask("/", "192.0.2.1") == (429, retry_s, "text/html")
        for path in ("/healthz", "/metrics", "/static/page.js"):
            assert (await ask(path, "192.0.2.1"))[0] == 200
        assert (await ask("/api/v1/chains", "192.0.2.2"))[0] == 200, "another client is not concerned"
        lines = [("X-Forwarded-For", "192.0.2.3"), ("X-Forwarded-For", "192.0.2.1")]
        async with site.session.get(site.url("/api/v1/chains"), headers=CIMultiDict(lines)) as answer:
            assert answer.status == 429, "the last line is the proxy's own"


async def test_web_answers_are_shared_by_those_who_ask_at_once(
    open_site: OpenSite, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    books = BooksInThread(database)
    asked = []

    async def overview(now_ms: int, started_ms: int) -> Any:
        asked.append(now_ms)
        return await BooksInThread.pool_overview(books, now_ms, started_ms)

    monkeypatch.setattr(books, "pool_overview", overview)
    async with open_site(books=books) as site:
        await asyncio.gather(*(site.ask("/api/v1/pool") for _ in range(20)))
        assert len(asked) == 1


async def test_web_workers_are_paged_and_a_silent_one_is_offline(
    open_site: OpenSite, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    books = BooksInThread(database)

    async def seen(address: str, now_ms: int) -> Any:
        workers = [{"name": f"rig{n:03d}", "last_share_ms": now_ms - 3_700_000 - n} for n in range(60)]
        return {"workers": workers, "best": None}

    monkeypatch.setattr(books, "seen", seen)
    monkeypatch.setattr(miner_api, "MAX_WORKERS", 58)
    async with open_site(books=books) as site:
        _, page = await site.ask(f"/miner/{ADA}?workers=3")
        assert "Page 3 of 3" in page and "rig056" in page
        assert "rig057" not in page, "no more than so many"
        assert "rig000" not in page
        _, last = await site.ask(f"/miner/{ADA}?workers=1000")
        assert "Page 3 of 3" in last
        _, miner = await site.ask(f"/api/v1/miners/{ADA}")
        assert [worker["online"] for worker in miner["workers"]] == [True] + [False] * 57
