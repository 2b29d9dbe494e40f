from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from chains import node_rpc
from chains.node_rpc import (
    JsonRpc,
    NodeConnectionError,
    NodeLoginError,
    NodeTimeoutError,
    NodeUnavailableError,
    RpcError,
)


class FakeNode:
    """An HTTP server whose answer to the next calls is set by the test."""

    def __init__(self) -> None:
        self.answer: Callable[[dict[str, Any]], Any] = lambda call: {"result": None, "error": None, "id": call["id"]}
        self.authorizations: list[str | None] = []
        self.accepted_authorization: str | None = None
        self.calls: list[dict[str, Any]] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        authorization = request.headers.get("Authorization")
        self.authorizations.append(authorization)
        if self.accepted_authorization not in (None, authorization):
            return web.Response(status=401)
        call = await request.json()
        self.calls.append(call)
        answer = self.answer(call)
        if asyncio.iscoroutine(answer):
            answer = await answer
        return answer if isinstance(answer, web.StreamResponse) else web.json_response(answer)


@pytest.fixture
async def fake_node() -> AsyncIterator[FakeNode]:
    node = FakeNode()
    application = web.Application(client_max_size=2**30)
    application.router.add_post("/", node.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    node.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    yield node
    await runner.cleanup()


@pytest.fixture
async def rpc(fake_node: FakeNode) -> AsyncIterator[JsonRpc]:
    client = JsonRpc(fake_node.url, user="u", password="p", timeout_s=1.0, name="n1")
    yield client
    await client.close()


async def test_node_rpc_returns_the_result_with_exact_amounts(fake_node: FakeNode, rpc: JsonRpc) -> None:
    fake_node.answer = lambda call: web.Response(text=f'{{"result": {{"a": 0.1}}, "error": null, "id": {call["id"]}}}')
    assert await rpc.call("getbalance", "x", Decimal("1.10")) == {"a": Decimal("0.1")}
    assert fake_node.calls[0]["method"] == "getbalance"
    assert fake_node.calls[0]["params"] == ["x", "1.10"]
    assert fake_node.authorizations == ["Basic " + base64.b64encode(b"u:p").decode()]


async def test_node_rpc_null_is_a_result(rpc: JsonRpc) -> None:
    assert await rpc.call("submitblock", "00") is None


@pytest.mark.parametrize("status", [200, 404, 500])
async def test_node_rpc_error_object_is_an_rpc_error_whatever_the_status(
    fake_node: FakeNode, rpc: JsonRpc, status: int
) -> None:
    fake_node.answer = lambda call: web.json_response(
        {"result": None, "error": {"code": -8, "message": "block hash unknown"}, "id": call["id"]}, status=status
    )
    with pytest.raises(RpcError, match="block hash unknown") as raised:
        await rpc.call("submitauxblock")
    assert (raised.value.code, raised.value.message) == (-8, "block hash unknown")


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda call: web.Response(text="garbage"), "not JSON"),
        (lambda call: web.Response(text="[" * 100_000), "not JSON"),
        (lambda call: web.Response(text='{"result": NaN, "error": null, "id": 1}'), "not JSON"),
        (lambda call: web.Response(body=b"\xff\xfe\x00"), "not JSON"),
        (lambda call: web.Response(text='{"result": 1e9999999999999999999999}'), "not JSON"),
        (lambda call: web.Response(text='{"result": ' + "9" * 5000 + "}"), "not JSON"),
        (lambda call: [], "not a JSON-RPC object"),
        (lambda call: {"result": 1, "error": None, "id": 77}, "another call"),
        (lambda call: {"error": {"code": -1, "message": ""}, "id": 77}, "another call"),
        (lambda call: {"result": 1, "error": "oops", "id": call["id"]}, "no JSON-RPC error"),
        (lambda call: {"error": {"code": "x"}, "id": call["id"]}, "no JSON-RPC error"),
        (lambda call: {"id": call["id"]}, "without a result"),
        (lambda call: web.Response(status=500, text="boom"), "HTTP 500"),
        (lambda call: web.Response(status=503, text="Work queue depth exceeded"), "HTTP 503"),
        (lambda call: web.json_response({"result": 1, "error": None, "id": call["id"]}, status=500), "HTTP 500"),
        (lambda call: web.Response(status=403), "refuses our login"),
        (lambda call: web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}), "HTTP 302"),
        (lambda call: {"error": {"code": -28, "message": "Loading"}, "id": call["id"]}, "starting: Loading"),
    ],
)
async def test_node_rpc_whatever_is_no_answer_is_an_outage(
    fake_node: FakeNode, rpc: JsonRpc, make: Callable[[dict[str, Any]], Any], text: str
) -> None:
    fake_node.answer = make
    with pytest.raises(NodeUnavailableError, match=text):
        await rpc.call("getblocktemplate")


async def test_node_rpc_error_without_id_is_still_the_nodes_answer(fake_node: FakeNode, rpc: JsonRpc) -> None:
    fake_node.answer = lambda call: {"error": {"code": -32700, "message": "Parse error"}, "id": None}
    with pytest.raises(RpcError, match="Parse error"):
        await rpc.call("x")


async def test_node_rpc_error_text_is_one_printable_line(fake_node: FakeNode, rpc: JsonRpc) -> None:
    fake_node.answer = lambda call: {"error": {"code": -1, "message": "a\nb\x1b" + "c" * 999}, "id": call["id"]}
    with pytest.raises(RpcError) as raised:
        await rpc.call("x")
    assert raised.value.message == "a b " + "c" * 296


async def test_node_rpc_refuses_an_endless_answer(
    fake_node: FakeNode, rpc: JsonRpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_rpc, "MAX_ANSWER_BYTES", 1000)
    fake_node.answer = lambda call: {"result": "a" * 2000, "error": None, "id": call["id"]}
    with pytest.raises(NodeUnavailableError, match="more than 1000 bytes"):
        await rpc.call("x")


async def test_node_rpc_refused_connection_is_an_outage() -> None:
    rpc = JsonRpc("http://127.0.0.1:1/", timeout_s=1.0)
    with pytest.raises(NodeUnavailableError, match="no connection"):
        await rpc.call("x")
    await rpc.close()


async def test_node_rpc_hanging_node_times_out(fake_node: FakeNode) -> None:
    rpc = JsonRpc(fake_node.url, timeout_s=0.05)
    fake_node.answer = lambda call: asyncio.sleep(0.5)
    with pytest.raises(NodeTimeoutError, match="no answer to x within"):
        await rpc.call("x")
    await rpc.close()


async def test_node_rpc_cookie_is_read_again_when_refused(fake_node: FakeNode, tmp_path: Path) -> None:
    cookie = tmp_path / ".cookie"
    rpc = JsonRpc(fake_node.url, cookie_file=cookie, timeout_s=1.0)
    with pytest.raises(NodeUnavailableError, match="cannot read the cookie file"):
        await rpc.call("x")
    cookie.write_text("__cookie__:old")
    assert await rpc.call("x") is None
    cookie.write_text("__cookie__:new\n")
    fake_node.accepted_authorization = "Basic " + base64.b64encode(b"__cookie__:new").decode()
    assert await rpc.call("x") is None
    cookie.write_text("__cookie__:wrong")
    fake_node.accepted_authorization = "Basic other"
    with pytest.raises(NodeUnavailableError, match=r"refuses our login \(HTTP 401\)"):
        await rpc.call("x")
    await rpc.close()


async def test_node_rpc_user_and_password_may_stand_in_the_url(fake_node: FakeNode) -> None:
    rpc = JsonRpc(fake_node.url.replace("http://", "http://me:secret@"))
    await rpc.call("x")
    assert fake_node.authorizations == ["Basic " + base64.b64encode(b"me:secret").decode()]
    assert "secret" not in rpc.name
    await rpc.close()


async def test_node_rpc_tells_an_outage_once_and_the_return_once(
    fake_node: FakeNode, rpc: JsonRpc, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "parapool.node")
    good = fake_node.answer
    await rpc.call("getblockchaininfo")
    fake_node.answer = lambda call: web.Response(status=500)
    for _ in range(3):
        with pytest.raises(NodeUnavailableError):
            await rpc.call("getblocktemplate")
    fake_node.answer = lambda call: good(call) if call["method"] != "getblocktemplate" else web.Response(status=500)
    await rpc.call("getblockchaininfo")  # another method answers: not back
    with pytest.raises(NodeUnavailableError):
        await rpc.call("getblocktemplate")
    fake_node.answer = good
    await rpc.call("getblocktemplate")
    await rpc.call("getblocktemplate")
    assert [record.getMessage() for record in caplog.records] == [
        "node is away: HTTP 500 node=n1 method=getblocktemplate",
        "node is back node=n1",
    ]


async def test_node_rpc_long_poll_that_runs_out_of_time_is_no_outage(
    fake_node: FakeNode, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_rpc, "LONG_POLL_S", 0.05)
    rpc = JsonRpc(fake_node.url, timeout_s=0.02)
    fake_node.answer = lambda call: asyncio.sleep(0.5)
    with pytest.raises(NodeTimeoutError):
        await rpc.call("getblocktemplate", timeout_s=0.1)
    assert caplog.records == []
    await rpc.close()


async def test_node_rpc_long_poll_does_not_hold_up_other_calls(fake_node: FakeNode, rpc: JsonRpc) -> None:
    released = asyncio.Event()

    async def wait(call: dict[str, Any]) -> web.Response:
        await released.wait()
        return web.json_response({"result": "tip", "error": None, "id": call["id"]})

    good = fake_node.answer
    fake_node.answer = lambda call: wait(call) if call["params"] == ["long"] else good(call)
    poll = asyncio.create_task(rpc.call("getblocktemplate", "long", timeout_s=10))
    for _ in range(3):
        assert await rpc.call("getblockchaininfo") is None
    released.set()
    assert await poll == "tip"


async def test_node_rpc_refuses_parameters_without_json_form(rpc: JsonRpc) -> None:
    with pytest.raises(TypeError, match="bytes has no JSON form"):
        await rpc.call("x", b"raw")


async def test_node_rpc_tells_a_refused_login_from_a_refused_connection(fake_node: FakeNode) -> None:
    fake_node.accepted_authorization = "somebody else's"
    client = JsonRpc(fake_node.url, user="u", password="p")
    with pytest.raises(NodeLoginError) as refused:
        await client.call("m")
    assert refused.value.status == 401
    await client.close()
    nobody = JsonRpc("http://127.0.0.1:9")
    with pytest.raises(NodeConnectionError):
        await nobody.call("m")
    await nobody.close()


async def test_node_rpc_that_was_closed_asks_nobody_and_tells_no_outage(
    fake_node: FakeNode, rpc: JsonRpc, caplog: pytest.LogCaptureFixture
) -> None:
    fake_node.answer = lambda call: asyncio.sleep(5)
    waiting = asyncio.create_task(rpc.call("getblocktemplate"))
    while not fake_node.calls:
        await asyncio.sleep(0.01)
    await rpc.close()
    with pytest.raises(NodeUnavailableError, match="no connection"):
        await waiting
    for ask in (rpc.call, rpc.ask_aside):
        with pytest.raises(NodeUnavailableError, match="nobody asks this node any more"):
            await ask("getblockchaininfo")
    await rpc.close()
    assert (len(fake_node.calls), caplog.records) == (1, [])


async def test_node_rpc_keeps_the_nodes_clock(fake_node: FakeNode, rpc: JsonRpc) -> None:
    assert rpc.date is None
    date = "Sat, 21 Nov 2026 20:00:00 GMT"
    fake_node.answer = lambda call: web.json_response(
        {"result": 1, "error": None, "id": call["id"]}, headers={"Date": date}
    )
    await rpc.call("m")
    assert rpc.date == date
