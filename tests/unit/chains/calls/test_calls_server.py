from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from chains.calls import server as module
from chains.calls.errors import CallError
from chains.calls.server import CallServer, CallSettings
from chains.calls.table import (
    INTEGER,
    TEXT,
    WAIT_PARAMETER,
    Access,
    Call,
    CallTable,
    Parameter,
    Waited,
)


class Refused(Exception):
    code, reason = -26, "not today"


class Core:
    def __init__(self) -> None:
        self.tip = 1


class FakeNode:
    def __init__(self) -> None:
        self.core = Core()
        self.event = asyncio.Event()
        self.asked: list[tuple[str, tuple[Any, ...]]] = []
        self.silent = False

    async def ask(self, call: str, parameters: tuple[Any, ...]) -> Any:
        self.asked.append((call, parameters))
        if self.silent:
            await asyncio.Event().wait()
        if parameters == ("refuse",):
            raise Refused
        return parameters

    def topic(self, name: str) -> asyncio.Event:
        assert name == "tip"
        return self.event

    def set_tip(self, tip: int) -> None:
        self.core.tip = tip
        self.event.set()
        self.event = asyncio.Event()


def broken(core: Core) -> None:
    raise ZeroDivisionError


def refused_by_kind(core: Core) -> None:
    raise Refused


def refusing(core: Core) -> None:
    raise CallError(-5, "no such block")


CALLS = (
    Call("gettip", "The tip.", Access.READ, (), "integer", lambda core: core.tip),
    Call("waitfortip", "The next one.", Access.READ, (Parameter("known", INTEGER, "what you have"), WAIT_PARAMETER),
         "integer", lambda core, known: Waited(core.tip, core.tip != known), waits="tip"),
    Call("put", "Write.", Access.WRITE, (Parameter("text", TEXT, "what"),), "text", None, lambda value: value[0] + "!"),
    Call("asking", "Of the process.", Access.WRITE, (), "", lambda node: node.asked and 1, of_process=True),
    Call("broken", "", Access.READ, (), "", broken),
    Call("kinds", "", Access.READ, (), "", refused_by_kind),
    Call("refusing", "", Access.READ, (), "", refusing),
)  # fmt: skip


class World:
    def __init__(self, open_reads: bool) -> None:
        self.node = FakeNode()
        settings = CallSettings(credentials=("user:secret", "__cookie__:abc"), open_reads=open_reads)
        self.server = CallServer(CallTable(CALLS), self.node, (Refused,), settings)

    async def post(self, data: Any, login: str | None = "user:secret", host: str | None = None) -> tuple[int, Any]:
        headers = {} if login is None else {"Authorization": "Basic " + base64.b64encode(login.encode()).decode()}
        if host is not None:
            headers["Host"] = host
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"http://127.0.0.1:{self.port}/", data=body, headers=headers) as answer,
        ):
            return answer.status, await answer.json() if "json" in answer.content_type else None

    async def call(self, name: str, *parameters: Any, **options: Any) -> tuple[int, Any, Any]:
        status, body = await self.post({"id": 7, "method": name, "params": list(parameters)}, **options)
        return (status, None, None) if body is None else (status, body["result"], body["error"])


@pytest_asyncio.fixture(params=[False, True], ids=["closed", "open"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    world = World(request.param)
    world.port = await world.server.start()
    yield world
    await world.server.close()


async def test_calls_server_reads_and_writes(world: World) -> None:
    assert await world.call("gettip") == (200, 1, None)
    assert await world.call("put", "x") == (200, "x!", None)
    assert world.node.asked == [("put", ("x",))]
    assert await world.call("put", "refuse") == (500, None, {"code": -26, "message": "not today"})
    assert await world.call("asking", login="__cookie__:abc") == (200, 1, None)
    assert (await world.call("help", "put"))[1].startswith("put text\n")


async def test_calls_server_errors_are_those_of_bitcoin_core(world: World, caplog: pytest.LogCaptureFixture) -> None:
    assert await world.call("nothing") == (404, None, {"code": -32601, "message": "Method not found"})
    assert await world.call("refusing") == (500, None, {"code": -5, "message": "no such block"})
    assert await world.call("kinds") == (500, None, {"code": -26, "message": "not today"})
    assert await world.call("gettip", 1) == (500, None, {"code": -1, "message": "gettip"})
    assert await world.call("broken") == (500, None, {"code": -1, "message": "internal error of the node"})
    assert "a call failed call='broken'" in caplog.text
    for data, status, code in (
        (b"{", 500, -32700), (b"[" * 100_000, 500, -32700), ([], 400, -32600), ({"params": []}, 400, -32600),
        ({"method": 1}, 400, -32600), ({"method": "gettip", "params": 5}, 400, -32600),
    ):  # fmt: skip
        got, body = await world.post(data)
        assert (got, body["error"]["code"]) == (status, code)


async def test_calls_server_writing_needs_credentials_always_and_reading_by_setting(world: World) -> None:
    assert await world.call("gettip", login="user:wrong") == (401, None, None)
    assert await world.call("put", "x", login=None) == (401, None, None)
    assert await world.call("asking", login=None) == (401, None, None)
    expected = (200, 1, None) if world.server._settings.open_reads else (401, None, None)
    assert await world.call("gettip", login=None) == expected
    assert await world.call("gettip", login=None, host="evil.example") == (401, None, None)
    assert await world.call("gettip", host="node.example:80") == (200, 1, None)
    assert world.node.asked == []


async def test_calls_server_waits_for_news(world: World) -> None:
    assert await world.call("waitfortip", 0, 5) == (200, 1, None)
    waiting = asyncio.create_task(world.call("waitfortip", 1, 30))
    await asyncio.sleep(0.1)
    world.node.set_tip(1)  # told, and no news to this caller
    await asyncio.sleep(0.1)
    assert not waiting.done()
    world.node.set_tip(2)
    assert await waiting == (200, 2, None)
    begun_s = time.monotonic()
    assert await world.call("waitfortip", 2, 1) == (200, 2, None)
    assert time.monotonic() - begun_s >= 1
    assert (await world.call("waitfortip", 2, 0))[2]["code"] == -8


async def test_calls_server_caller_that_leaves_waits_no_longer(world: World) -> None:
    waiting = asyncio.create_task(world.call("waitfortip", 1, 60))
    async with asyncio.timeout(30):
        while world.server._waiting == 0:
            await asyncio.sleep(0.01)
        waiting.cancel()
        while world.server._waiting == 1:
            await asyncio.sleep(0.01)


async def test_calls_server_waiting_is_limited(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 0)
    assert (await world.call("waitfortip", 2, 5))[2]["message"] == "0 calls are waiting already"


async def test_calls_server_core_that_does_not_answer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_S", 0.1)
    world.node.silent = True
    assert "no answer within" in (await world.call("put", "x"))[2]["message"]


async def test_calls_server_takes_post_only(world: World) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{world.port}/") as answer:
        assert answer.status == 405
