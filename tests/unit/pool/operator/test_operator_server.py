"""The operator's port over real sockets: who is let in, what each call becomes, what is refused and how."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from operator_site import ANNA, BEN, OperatorError, operator_site

from pool.data_dir import StartError
from pool.operator import server as operator_server
from pool.operator.server import MAX_BODY, MAX_CONNECTIONS, OperatorServer
from pool.operator.tokens import Tokens


@pytest.fixture(autouse=True)
def told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "parapool")


@pytest.mark.parametrize(
    ("call", "asked"),
    [
        (("GET", "/drain"), ("drain_state",)),
        (("POST", "/drain"), ("begin_drain", 1200)),
        (("POST", "/drain", {"over_s": 0}), ("begin_drain", 0)),
        (("DELETE", "/drain"), ("end_drain",)),
        (("POST", "/reload"), ("reload",)),
        (("POST", "/bans", {"address": "192.0.2.1", "seconds": 6, "reason": "x"}), ("ban", "192.0.2.1", 6, "x")),
        (("DELETE", "/bans/2001:db8::/64"), ("unban", "2001:db8::/64")),
        (("DELETE", "/bans/192.0.2.0%2F24"), ("unban", "192.0.2.0/24")),
        (("POST", "/message", {"text": "héllo"}), ("tell", "héllo", None, None)),
        (("POST", "/message", {"text": "x", "login": "A", "worker": "rig"}), ("tell", "x", "A", "rig")),
        (("GET", "/connections"), ("connections", 0, 100, None, None)),
        (("GET", "/closings"), ("closings", 0, 4)),
        (("GET", "/closings?after=5&limit=9999"), ("closings", 5, 4)),
        (("GET", "/connections?after=5&limit=9999&login=A&worker=w"), ("connections", 5, 1000, "A", "w")),
    ],
)  # fmt: skip
async def test_operator_calls_reach_the_pool_and_the_log(
    call: tuple[Any, ...], asked: tuple[Any, ...], caplog: pytest.LogCaptureFixture
) -> None:
    async with operator_site() as site:
        status, headers, _ = await site.call(*call, token=BEN)
        assert status == 200 and site.pool.asked == [asked] and headers["cache-control"] == "no-store"
    lines = [r.getMessage() for r in caplog.records if r.getMessage().startswith("operator call")]
    assert len(lines) == 1 and f"who=ben method={call[0]} path='{call[1].partition('?')[0]}" in lines[0]
    assert "status=200" in lines[0] and BEN not in caplog.text


@pytest.mark.parametrize("token", [None, "", "c" * 40, ANNA[:-1], ANNA + "a", "ä" * 40])
async def test_operator_lets_nobody_in_without_a_good_token(
    token: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    async with operator_site() as site:
        for path in ("/drain", "/nothing"):
            status, headers, answer = await site.call("POST", path, b"x" * 100, token=token)
            assert status == 401 and "operator.token_file" in answer["error"]
            assert headers["www-authenticate"] == "Bearer"
        assert site.pool.asked == []
    assert caplog.text.count("operator call without a good token address=127.0.0.1") == 1, "once a minute"
    assert not token or token not in caplog.text


async def test_operator_takes_the_token_as_bearer_only(caplog: pytest.LogCaptureFixture) -> None:
    async with operator_site() as site:
        head = b"GET /drain HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: %b\r\n\r\n"
        for scheme, status in ((b"bearer", 200), (b"Basic", 401)):
            assert (await site.raw(head % (scheme + b" " + ANNA.encode())))[0] == status
        assert (await site.call("GET", f"/drain?token={ANNA}", token=None))[0] == 401
        site.server.adopt(Tokens({"ben": BEN}))
        assert (await site.call("GET", "/drain", token=ANNA))[0] == 401
        assert (await site.call("GET", "/drain", token=BEN))[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("POST", "/drain", b"{", 400, "the body is no JSON; expected an object with over_s"),
        ("POST", "/drain", b"[" * 8000, 400, "the body is no JSON"),
        ("POST", "/drain", b"\xff", 400, "the body is no JSON"),
        ("POST", "/drain", [1], 400, "expected an object with over_s"),
        ("POST", "/drain", {"over": 1}, 400, "'over': unknown field, expected over_s"),
        ("POST", "/drain", {"over_s": -1}, 400, "over_s: expected a whole number from 0 to 86400"),
        ("POST", "/drain", {"over_s": 1.5}, 400, "over_s: expected a whole number"),
        ("POST", "/drain", {"over_s": True}, 400, "over_s: expected a whole number"),
        ("POST", "/reload", {"x": 1}, 400, "unknown field, expected none"),
        ("POST", "/bans", {}, 400, "address: expected text"),
        ("POST", "/bans", {"address": "192.0.2.1", "reason": "r"}, 400, "seconds: expected a whole number from 1"),
        ("POST", "/bans", {"address": "192.0.2.1", "seconds": 1}, 400, "reason: expected text"),
        ("DELETE", "/bans/192.0.2.9", None, 404, "there is no such ban"),
        ("POST", "/message", {"text": ""}, 400, "text: expected text of 1 to 300 letters"),
        ("POST", "/message", {"text": "x" * 301}, 400, "text: expected text of 1 to 300 letters"),
        ("POST", "/message", {"text": "a\nb"}, 400, "text: expected text without control characters"),
        ("POST", "/message", {"text": "a\u202eb"}, 400, "text: expected text without control characters"),
        ("POST", "/message", {"text": "x", "worker": "rig"}, 400, "worker: expected login beside it"),
        ("POST", "/message", {"text": "x", "login": 5}, 400, "login: expected text"),
        ("GET", "/closings?limit=0", None, 400, "limit: expected a whole number of at least 1"),
        ("GET", "/connections?limit=0", None, 400, "limit: expected a whole number of at least 1"),
        ("GET", "/connections?after=x", None, 400, "after: expected a whole number"),
        ("GET", "/connections?page=1", None, 400, "unknown field, expected after, limit, login, worker"),
        ("PUT", "/drain", None, 405, "expected DELETE or GET or POST here"),
        ("GET", "/", None, 404, "there is nothing here, but at /drain, /reload"),
        ("GET", "/metrics", None, 404, "there is nothing here"),
        ("POST", "/message", b" " * (MAX_BODY + 1), 413, f"a body has at most {MAX_BODY} bytes"),
    ],
)
async def test_operator_refuses_in_a_sentence(
    method: str, path: str, body: Any, status: int, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with operator_site() as site:
        got, headers, answer = await site.call(method, path, body)
        assert got == status and words in answer["error"] and headers["content-type"].startswith("application/json")
        assert [asked[0] for asked in site.pool.asked] in ([], ["unban"])
    assert caplog.text.count("operator call who=anna") == 1 and f"status={status}" in caplog.text
    assert "Traceback" not in caplog.text


async def test_operator_errors_of_the_pool_are_answers(caplog: pytest.LogCaptureFixture) -> None:
    async with operator_site() as site:
        site.pool.problem = OperatorError(409, "nothing is taken over", ["http: a change needs a restart"])
        status, _, answer = await site.call("POST", "/reload")
        assert (status, answer["lines"]) == (409, ["http: a change needs a restart"])
        site.pool.problem = RuntimeError("ours")
        status, _, answer = await site.call("POST", "/reload")
        assert status == 500 and "its log says why" in answer["error"] and "ours" not in answer["error"]
    assert "an operator's call failed path='/reload'" in caplog.text


async def test_operator_bans_come_in_pages() -> None:
    async with operator_site() as site:
        site.pool.every_ban = [{"network": f"192.0.2.{number}"} for number in range(5)]
        seen, after = [], 0
        while after is not None:
            _, _, answer = await site.call("GET", f"/bans?limit=2&after={after}")
            assert answer["total"] == 5 and len(answer["items"]) <= 2
            seen += answer["items"]
            after = answer["after"]
        assert seen == site.pool.every_ban
        assert (await site.call("GET", "/bans?after=99"))[2] == {"total": 5, "items": [], "after": None}


async def test_operator_silent_connections_do_not_keep_others_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator_server, "FIRST_REQUEST_S", 0.5)
    async with operator_site() as site:
        silent = [await site.open() for _ in range(MAX_CONNECTIONS)]
        await asyncio.sleep(0.1)
        reader, writer = await site.open()
        async with asyncio.timeout(10):
            with suppress(ConnectionError):
                assert await reader.read() == b"", "one too many"
            writer.close()
            assert [await reader.read() for reader, _ in silent] == [b""] * MAX_CONNECTIONS
        assert (await site.call("GET", "/drain"))[0] == 200
        for _, writer in silent:
            writer.close()


async def test_operator_unix_socket_is_our_own_users(tmp_path: Path) -> None:
    path = tmp_path / "operator.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    async with operator_site(path) as site:
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert (await site.call("GET", "/drain"))[0] == 200
        assert (await site.call("GET", "/drain", token="x"))[0] == 401
        with pytest.raises(StartError, match="cannot listen on"):
            await OperatorServer(site.pool, Tokens({"anna": ANNA})).start(None, path)
        assert (await site.call("GET", "/drain"))[0] == 200, "the other one's socket is left alone"
    assert not path.exists()
    path.write_text("somebody's file")
    with pytest.raises(StartError):
        async with operator_site(path):
            pass
    assert path.read_text() == "somebody's file"


async def test_operator_port_that_is_taken_is_said() -> None:
    async with operator_site() as site:
        with pytest.raises(StartError, match=r"operator: cannot listen on 127\.0\.0\.1"):
            assert site.server.port is not None
            await OperatorServer(site.pool, Tokens({"anna": ANNA})).start(("127.0.0.1", site.server.port), None)


async def test_operator_closings_are_read_page_by_page(tmp_path: Path) -> None:
    async with operator_site() as site:
        answers = [await site.call("GET", f"/closings?after={after}") for after in (0, 8, 9)]
    assert [(status, page["after"]) for status, _, page in answers] == [(200, 1), (200, 9), (200, 9)]
    assert [len(page["items"]) for _, _, page in answers] == [1, 1, 0]
