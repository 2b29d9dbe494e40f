"""Miners' settings over HTTP: shown to anybody without other addresses, changed by the key's owner and nobody else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from support.message_signing import SigningKey
from web_site import Live, address_of

from chains.families import network
from pool.ledger.account import ASSET_WALLET, available
from pool.ledger.transfer import Transfer, TransferGroup
from pool.miners.notice_target import NoticeTerms
from pool.miners.settings_message import SettingsRules, template
from pool.shares.record import AccountKey, LoggedShare, Position, ShareRecord
from pool.shares.route import route_login
from pool.storage import ledger_store, settings_store
from pool.storage.account_store import account_id
from pool.storage.books import SqlBooks
from pool.storage.books_views import BooksViews
from pool.storage.database import Database, sqlite_url, upgrade
from pool.storage.settings_books import SettingsBooks
from pool.web import routes
from pool.web.api import wall_ms
from pool.web.server import WebServer
from pool.web.settings_api import MAX_BODY
from stratum.words import parse_login

NET = network("devnet", "regtest")
RULES = SettingsRules("devnet", "regbtc", {"regbtc": NET, "alpha": NET})
ADA, BOB = SigningKey(71), SigningKey(72)
ADA_ADDRESS, BOB_ADDRESS = (key.address("p2wpkh", NET) for key in (ADA, BOB))
ELSEWHERE = address_of("elsewhere")
NOTHING_SET = {"frozen": False, "offline_notice": False, "chains": {}}


@dataclass
class SettingsSite:
    server: WebServer
    database: Database
    settings: SettingsBooks
    session: aiohttp.ClientSession

    def url(self, address: str) -> str:
        return f"http://127.0.0.1:{self.server.port}/api/v1/miners/{address}/settings"

    async def get(self, address: str) -> tuple[int, Any]:
        async with self.session.get(self.url(address)) as answer:
            return answer.status, await answer.json()

    async def post(self, address: str, body: Any, method: str = "POST") -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.session.request(method, self.url(address), data=data) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[SettingsSite]:
    """Ada has mined and 60 of alpha are held for her; Bob has not."""
    url = sqlite_url(tmp_path / "pool.sqlite")
    upgrade(url)
    database, views, writer = Database(url), BooksViews(url), ThreadPoolExecutor(1)
    route = route_login(parse_login(ADA_ADDRESS), {}, RULES.networks, RULES.parent).route
    share = ShareRecord(1, 1000, route.digest, "rig", 50, ("regbtc",), bytes(32), False, ())
    SqlBooks(database).store_shares([LoggedShare(Position(1, 1), share, route)], Position(1, 1), 1)
    with database.write() as connection:
        held = account_id(connection, "alpha", AccountKey("held", ADA.script("p2wpkh").hex(), ADA_ADDRESS))
        transfers = (Transfer(ASSET_WALLET, available(held), 60),)
        ledger_store.post(connection, TransferGroup("test:alpha:1", "alpha", "test", transfers), 1)
    settings = SettingsBooks(database, writer, views, RULES, wall_ms)
    server = WebServer(Live(), views, CollectorRegistry(), settings)
    await server.start("127.0.0.1", 0)
    async with aiohttp.ClientSession() as session:
        yield SettingsSite(server, database, settings, session)
    await server.stop()
    writer.shutdown()
    views.close()
    database.close()


def signed(
    *lines: str, number: int = 1, key: SigningKey = ADA, miner: str = ADA_ADDRESS, days: int = 0
) -> dict[str, str]:
    day = datetime.now(UTC).date() + timedelta(days=days)
    message = template(RULES, RULES.miner(miner), number, day) + "\n".join(lines)
    return {"message": message, "signature": key.sign("p2wpkh", message, NET)}


async def test_web_settings_begin_empty_and_teach_the_first_message(site: SettingsSite) -> None:
    status, shown = await site.get(ADA_ADDRESS)
    today = datetime.now(UTC).date().isoformat()
    assert status == 200
    assert shown == NOTHING_SET | {
        "address": ADA_ADDRESS,
        "next_number": 1,
        "template": f"parapool devnet\nminer: {ADA_ADDRESS}\nnumber: 1\ndate: {today}\n",
    }
    message = shown["template"] + "minimum-payout: regbtc 0.5"
    status, done = await site.post(ADA_ADDRESS, {"message": message, "signature": ADA.sign("p2wpkh", message, NET)})
    assert (status, done["number"]) == (200, 1)


async def test_web_settings_are_changed_by_the_key_and_shown_without_addresses(site: SettingsSite) -> None:
    body = signed("minimum-payout: regbtc 0.5", f"register: alpha {ELSEWHERE}", number=7)
    status, done = await site.post(ADA_ADDRESS, body)
    assert status == 200
    assert done == {
        "address": ADA_ADDRESS,
        "number": 7,
        "again": False,
        "released": [{"chain": "alpha", "amount": 60, "address": ELSEWHERE}],
        "offline_notice": False,
        "chains": {
            "alpha": {"minimum_payout": None, "registered": True},
            "regbtc": {"minimum_payout": 50_000_000, "registered": False},
        },
    }
    status, shown = await site.get(ADA_ADDRESS)
    assert (status, shown["next_number"]) == (200, 8)
    assert shown["chains"] == done["chains"]
    assert ELSEWHERE not in json.dumps(shown)

    status, again = await site.post(ADA_ADDRESS.upper(), body)  # the answer was lost on its way
    assert (status, again["again"], again["released"]) == (200, True, [])


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (signed("minimum-payout: alpha 1", key=BOB), 403, "signature: the signature is not of this message"),
        (signed("minimum-payout: alpha 1") | {"signature": ""}, 403, "signature: the signature is empty"),
        (signed("minimum-payout: alpha 1", key=BOB, miner=BOB_ADDRESS), 400, "and was sent for"),
        (signed("minimum-payout: alpha -1"), 400, "line 5: expected an amount in coins"),
        (signed("minimum-payout: dogecoin 1"), 400, "line 5: minimum-payout: there is no chain 'dogecoin'"),
        (signed("minimum-payout: alpha 1", days=-8), 400, "it must be sent within 7 days"),
        (signed("minimum-payout: alpha 1", days=2), 400, "it must be sent within 7 days"),
        ({"message": "hello", "signature": "x"}, 400, "line 1: expected 'parapool devnet'"),
        ({"message": "hello"}, 400, "two texts"),
        ({"message": 5, "signature": []}, 400, "two texts"),
        ([], 400, "two texts"),
        (b"", 400, "expected a JSON object"),
        (b"\xff\xfe{", 400, "expected a JSON object"),
        (b"[" * 5000, 400, "expected a JSON object"),
        (b'{"message": "\\ud800", "signature": "x"}', 400, "line 1: "),
        (b"x" * (MAX_BODY + 1), 413, f"at most {MAX_BODY} bytes"),
    ],
)
async def test_web_settings_bad_posts_are_told_and_change_nothing(
    site: SettingsSite, body: Any, status: int, told: str
) -> None:
    found, answer = await site.post(ADA_ADDRESS, body)
    assert (found, list(answer)) == (status, ["error"])
    assert told in answer["error"]
    assert (await site.get(ADA_ADDRESS))[1].items() >= (NOTHING_SET | {"next_number": 1}).items()


async def test_web_settings_tell_that_there_is_a_notice_and_nothing_of_it(site: SettingsSite) -> None:
    line = "offline-notice: ntfy://ntfy.sh/secret-topic after 15 min"
    status, answer = await site.post(ADA_ADDRESS, signed(line))
    assert (status, answer) == (400, {"error": "offline-notice: this pool sends no offline notices"})
    site.settings.adopt(replace(RULES, notices=NoticeTerms(("ntfy",), 10)))
    status, done = await site.post(ADA_ADDRESS, signed(line))
    assert (status, done["offline_notice"]) == (200, True)
    shown = (await site.get(ADA_ADDRESS))[1]
    assert shown["offline_notice"] is True
    stranger = (await site.post(ADA_ADDRESS, signed("offline-notice: off", number=2, key=BOB)))[0]
    assert stranger == 403
    assert "secret-topic" not in f"{answer}{done}{shown}" and "ntfy" not in f"{done}{shown}"


async def test_web_settings_old_message_sent_by_a_stranger_tells_nothing_new(site: SettingsSite) -> None:
    old = signed("minimum-payout: regbtc 0.5")
    assert (await site.post(ADA_ADDRESS, old))[0] == 200
    assert (await site.post(ADA_ADDRESS, signed(f"register: alpha {ELSEWHERE}", number=2)))[0] == 200
    status, answer = await site.post(ADA_ADDRESS, old)
    assert (status, answer["again"]) == (200, True)
    assert ELSEWHERE not in json.dumps(answer)


async def test_web_settings_of_others_and_strangers(site: SettingsSite) -> None:
    status, answer = await site.post(BOB_ADDRESS, signed("minimum-payout: alpha 1", key=BOB, miner=BOB_ADDRESS))
    assert (status, answer) == (404, {"error": "nothing was mined for this address yet"})
    assert (await site.get("nobody"))[0] == 400
    assert (await site.get("x" * 129))[0] == 400
    assert (await site.post("nobody", signed("minimum-payout: alpha 1")))[0] == 400


async def test_web_settings_used_numbers_and_freezes(site: SettingsSite) -> None:
    assert (await site.post(ADA_ADDRESS, signed("minimum-payout: alpha 1", number=5)))[0] == 200
    status, answer = await site.post(ADA_ADDRESS, signed("minimum-payout: alpha 2", number=5))
    assert (status, answer["error"]) == (409, "number: 5 was used before, the next is 6")
    with site.database.write() as connection:
        settings_store.freeze(connection, RULES.miner(ADA_ADDRESS), "secret words", 1)
    status, answer = await site.post(ADA_ADDRESS, signed(f"release-held: alpha {ELSEWHERE}", number=6))
    assert (status, "has stopped payouts" in answer["error"]) == (403, True)
    shown = (await site.get(ADA_ADDRESS))[1]
    assert shown["frozen"] is True
    assert "secret" not in json.dumps(shown)


async def test_web_settings_other_methods_are_refused(site: SettingsSite) -> None:
    status, answer = await site.post(ADA_ADDRESS, {}, method="PUT")
    assert (status, answer["error"]) == (405, "only GET, HEAD and POST are answered here")


async def test_web_settings_posts_of_a_client_are_limited(site: SettingsSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site.server._routes._posts, "burst", 3)
    answers = [await site.post(ADA_ADDRESS, b"{}") for _ in range(5)]
    assert [status for status, _ in answers] == [400, 400, 400, 429, 429]
    assert "wait a minute" in answers[-1][1]["error"]
    assert (await site.get(ADA_ADDRESS))[0] == 200


async def test_web_settings_body_that_never_arrives_is_given_up(
    site: SettingsSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "BODY_TIMEOUT_S", 0.2)
    assert site.server.port is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", site.server.port)
    head = f"POST /api/v1/miners/{ADA_ADDRESS}/settings HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n"
    writer.write(head.encode() + b"{")
    async with asyncio.timeout(10):
        assert b" 408 " in await reader.readline()
    writer.close()


@pytest.mark.parametrize(
    "rest",
    [b"", b"Content-Length: 50\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
     b"Content-Encoding: deflate\r\nContent-Length: 5\r\n\r\nhello"],
)  # fmt: skip
async def test_web_settings_broken_bodies_harm_nobody(
    site: SettingsSite, caplog: pytest.LogCaptureFixture, rest: bytes
) -> None:
    assert site.server.port is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", site.server.port)
    writer.write(f"POST /api/v1/miners/{ADA_ADDRESS}/settings HTTP/1.1\r\nHost: x\r\n".encode() + rest)
    await writer.drain()
    writer.write_eof()
    async with asyncio.timeout(15):
        answer = await reader.read()
    writer.close()
    assert b" 500 " not in answer
    assert (await site.get(ADA_ADDRESS))[0] == 200
    assert [record.getMessage() for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []


async def test_web_without_settings_has_no_such_place() -> None:
    class NoBooks:
        """Asked nothing here."""

    server = WebServer(Live(), NoBooks(), CollectorRegistry())  # type: ignore[arg-type]
    await server.start("127.0.0.1", 0)
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{server.port}/api/v1/miners/{ADA_ADDRESS}/settings"
        for method in ("GET", "POST"):
            async with session.request(method, url) as answer:
                assert answer.status == 404
    await server.stop()
