"""What strangers send: a status below 500 with a JSON sentence, never a trace, never more than a limit allows."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from web_site import ADA, Live, Site

from pool.web import routes
from pool.web import server as web_server
from pool.web.routes import MAX_BOOKS_REQUESTS
from pool.web.server import WebServer

BAD_REQUESTS = [
    ("/api/v1/blocks?limit=0", 400),
    ("/api/v1/blocks?limit=-1", 400),
    ("/api/v1/blocks?limit=1e3", 400),
    ("/api/v1/blocks?limit=", 400),
    ("/api/v1/blocks?limit=%D9%A3", 400),  # an Arabic three is a digit to Python
    ("/api/v1/blocks?limit=" + "9" * 400, 400),
    ("/api/v1/blocks?chain=", 400),
    ("/api/v1/blocks?chain=REGBTC", 400),
    ("/api/v1/blocks?chain=%00", 400),
    ("/api/v1/blocks?chain=%27%20OR%201=1", 400),
    ("/api/v1/blocks?chain=%ff%fe", 400),
    ("/api/v1/blocks?chain=" + "a" * 33, 400),
    ("/api/v1/blocks?chain=gamma", 404),
    ("/api/v1/blocks?cursor=", 400),
    ("/api/v1/blocks?cursor=x", 400),
    ("/api/v1/blocks?cursor=-5", 400),
    ("/api/v1/blocks?cursor=" + "9" * 64, 400),
    ("/api/v1/blocks?cursor=%F0%9F%92%A5", 400),
    ("/api/v1/blocks/regbtc/" + "1" * 63, 400),
    ("/api/v1/blocks/regbtc/" + "g" * 64, 400),
    ("/api/v1/blocks/regbtc/" + "%EF%BC%91" * 64, 400),  # full-width ones
    ("/api/v1/blocks/regbtc/" + "9" * 64, 404),
    ("/api/v1/blocks/gamma/" + "1" * 64, 404),
    ("/api/v1/blocks/..%2F..%2Fetc/" + "1" * 64, 400),
    ("/api/v1/miners/nobody", 404),
    ("/api/v1/miners/" + ADA.upper() + "x", 404),
    ("/api/v1/miners/" + "a" * 129, 400),
    ("/api/v1/miners/a%20b", 400),
    ("/api/v1/miners/a%0Ab", 400),
    ("/api/v1/miners/%ED%A0%80", 400),
    ("/api/v1/miners/" + "a" * 600, 400),
    ("/api/v1/miners/", 404),
    ("/api/v1/blocks/", 404),
    ("/api/v2/pool", 404),
    ("/..%2f..%2fetc%2fpasswd", 404),
    ("/favicon.ico", 404),
]


@pytest.mark.parametrize(("path", "status"), BAD_REQUESTS)
async def test_web_bad_request_gets_a_sentence(site: Site, caplog: pytest.LogCaptureFixture, path: str, status: int):
    found, answer = await site.ask(path)
    assert found == status
    assert set(answer) == {"error"}
    assert 10 < len(answer["error"]) < 120
    assert not caplog.records


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_web_only_reads(site: Site, method: str):
    async with site.session.request(method, site.url("/api/v1/pool"), data=b"x" * 5000) as answer:
        assert answer.status == 405
        assert answer.headers["Allow"] == "GET,HEAD"
        assert (await answer.json())["error"]


@pytest.mark.parametrize("path", ["/", "/healthz", "/metrics", "/api/v1/pool", "/api/v1/chains", "/nothing"])
async def test_web_head_and_security_headers_everywhere(site: Site, path: str):
    async with site.session.head(site.url(path)) as answer:
        assert answer.status == (404 if path == "/nothing" else 200)
        assert await answer.read() == b""
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Server"] == "parapool", "no version of anything is told"


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nBad Header: \x00\r\n\r\n",
        b'{"id":1,"method":"mining.subscribe","params":[]}\n\r\n\r\n',
    ],
)
async def test_web_malformed_http_is_refused_and_not_logged(site: Site, caplog: pytest.LogCaptureFixture, sent: bytes):
    reader, writer = await asyncio.open_connection("127.0.0.1", site.server.port)
    writer.write(sent)
    answer = await asyncio.wait_for(reader.read(), 5)
    assert answer.startswith(b"HTTP/1.") and b" 400 " in answer.split(b"\r\n")[0]
    assert b"Traceback" not in answer
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    writer.close()


class SlowBooks:
    """Books that answer when told to, or fail."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.error: Exception | None = None

    async def _answer(self, *words: Any) -> Any:
        await self.go_on.wait()
        if self.error is not None:
            raise self.error
        return {"items": [], "cursor": None}

    pool_overview = chain_blocks = block_with_credits = miner = _answer
    seen = hashrates = payments = payout_facts = _answer


async def test_web_requests_at_the_books_are_bounded_and_timed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(routes, "BOOKS_TIMEOUT_S", 0.4)
    books = SlowBooks()
    server = WebServer(Live(), books, CollectorRegistry())
    await server.start("127.0.0.1", 0)
    async with aiohttp.ClientSession() as session:
        site = Site(server, Live(), session)
        answers = await asyncio.gather(*(site.ask("/api/v1/blocks") for _ in range(MAX_BOOKS_REQUESTS + 1)))
        sentences = sorted(answer["error"] for status, answer in answers if status == 503)
        assert len(sentences) == len(answers)
        assert sum("too many" in sentence for sentence in sentences) == 1
        assert "0.4 s" in sentences[0]
        books.go_on.set()
        assert (await site.ask("/api/v1/blocks"))[0] == 200, "the places are free again"
    await server.stop()


async def test_web_failure_inside_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture):
    books = SlowBooks()
    books.go_on.set()
    books.error = RuntimeError("password=hunter2")
    server = WebServer(Live(), books, CollectorRegistry())
    await server.start("127.0.0.1", 0)
    async with aiohttp.ClientSession() as session:
        status, answer = await Site(server, Live(), session).ask("/api/v1/pool")
    await server.stop()
    assert status == 500
    assert "hunter2" not in json.dumps(answer)
    assert [record.message for record in caplog.records] == ["request failed path='/api/v1/pool'"]


async def test_web_silent_connection_is_closed(site: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(web_server, "FIRST_REQUEST_S", 0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", site.server.port)
    writer.write(b"GET / HTTP/1.1\r\nHost:")
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    assert (await site.ask("/healthz"))[0] == 200


async def test_web_connections_are_bounded(site: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(web_server, "MAX_CONNECTIONS", 1)
    first = await asyncio.open_connection("127.0.0.1", site.server.port)
    await asyncio.sleep(0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", site.server.port)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.wait_for(reader.readexactly(1), 5)
    writer.close()
    first[1].close()


async def test_web_port_in_use_is_an_os_error(site: Site):
    second = WebServer(Live(), SlowBooks(), CollectorRegistry())
    assert site.server.port is not None
    with pytest.raises(OSError):
        await second.start("127.0.0.1", site.server.port)
    await second.stop()
