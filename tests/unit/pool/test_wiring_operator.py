"""The operator's port of a whole pool process: drain, reload, bans, messages and connections over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from config_file import ADDRESS
from support.ports import free_port

from pool.accounting.books_away import BooksAwayError
from pool.accounting.closing import closing_bytes, closing_hash, read_closing
from pool.config.configuration import Config, load
from pool.data_dir import lock_data_dir
from pool.ledger import payment
from pool.operator.api import OperatorError
from pool.operator.tokens import Tokens
from pool.storage import ledger_store
from pool.storage.closing_store import Closings
from pool.storage.database import Database
from pool.wiring.operating import Operating
from pool.wiring.process import RunningPool

CONFIG = """\
pool: {{name: test, data_dir: {data}, fee_ppm: {fee_ppm}}}
stratum: {{ports: [{{bind: "127.0.0.1:{stratum}"}}, {{bind: "127.0.0.1:{stratum8}", extranonce2_size: 8}}]}}
http: {{bind: "127.0.0.1:{http}"}}
operator: {{bind: "127.0.0.1:{operator}"}}
parent: regbtc
chains:
  regbtc: {{kind: bitcoin, network: regtest, address: {address}, nodes: [{{url: "http://127.0.0.1:1", user: u, password: p}}]}}
"""  # noqa: E501


class World:
    """A running pool, a client of its ports, and the file that it reads again."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "pool.yaml"
        names = ("stratum", "stratum8", "http", "operator")
        self.words: dict[str, Any] = {"data": folder / "data", "address": ADDRESS, "fee_ppm": 0}
        self.words |= {name: free_port() for name in names}

    def config(self, **words: Any) -> Config:
        self.words |= words
        self.path.write_text(CONFIG.format(**self.words))
        return load(self.path)

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        token = (self.words["data"] / "operator.token").read_text().strip()
        url = f"http://127.0.0.1:{self.words['operator']}{path}"
        headers = {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession() as session, session.request(method, url, json=body, headers=headers) as got:
            return got.status, await got.json()

    async def public(self, path: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.words['http']}{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as got:
            return got.status, await got.text()


class Miner:
    """A connection that logs in and listens. No node gives it a job."""

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self.calls: list[dict[str, Any]] = []
        self.ended = asyncio.Event()
        self.logged_in = asyncio.Event()

    async def connect(self, port: int) -> Miner:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port)
        login = f"{ADDRESS}.{self.worker}"
        for number, method, params in ((1, "mining.subscribe", ["test/1"]), (2, "mining.authorize", [login, "x"])):
            self._writer.write(json.dumps({"id": number, "method": method, "params": params}).encode() + b"\n")
        self._task = asyncio.create_task(self._listen())
        async with asyncio.timeout(20):
            await self.logged_in.wait()
        return self

    async def _listen(self) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await self._reader.readline():
                message = json.loads(line)
                if message.get("id") == 2:
                    self.logged_in.set()
                elif "method" in message:
                    self.calls.append(message)
        self.ended.set()

    async def close(self) -> None:
        self._writer.close()
        await self._task


@pytest.fixture
async def world(reactor: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> AsyncIterator[World]:
    caplog.set_level(logging.INFO, "parapool")
    made = World(tmp_path)
    pool = RunningPool(made.config(), made.config)
    task = asyncio.create_task(pool.run())
    async with asyncio.timeout(30):
        while "pool started" not in caplog.text:
            assert not task.done()
            await asyncio.sleep(0.01)
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    lock_data_dir(tmp_path / "data").close()


async def until(condition: Any, what: str) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)


async def test_wiring_operator_drains_and_takes_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stratum.connection.LEAVE_S", 1.0)
    miners = [await Miner(f"rig{n}").connect(world.words["stratum8" if n % 2 else "stratum"]) for n in range(4)]
    assert (await world.call("GET", "/drain"))[1] == {
        "draining": False, "here": 4, "leaving": 0, "over_s": 0.0, "since_s": 0.0, "ends_in_s": 0.0,
    }  # fmt: skip
    status, state = await world.call("POST", "/drain", {"over_s": 3600})
    assert status == 200 and state["draining"] and state["over_s"] == 3600 and 3590 < state["ends_in_s"] <= 3600
    for port in ("stratum", "stratum8"):
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", world.words[port])
    assert "miners are being moved" in (await world.public("/healthz"))[1]
    assert (await world.public("/readyz"))[0] in (404, 503)
    await until(lambda: any(miner.calls for miner in miners), "the first of four is asked in the first quarter")
    assert sum(not miner.ended.is_set() for miner in miners) >= 3, "the others stay"

    status, state = await world.call("DELETE", "/drain")
    assert status == 200 and not state["draining"]
    back = [await Miner("back").connect(world.words[port]) for port in ("stratum", "stratum8")]
    assert "miners are being moved" not in (await world.public("/healthz"))[1]

    await world.call("POST", "/drain", {"over_s": 0})
    for miner in (*miners, *back):
        async with asyncio.timeout(20):
            await miner.ended.wait()
        assert [call["method"] for call in miner.calls] == ["client.reconnect"]
        await miner.close()
    assert (await world.call("GET", "/drain"))[1]["here"] == 0
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", world.words["stratum"]))
        other.listen()
        status, answer = await world.call("DELETE", "/drain")
        assert status == 409 and f"cannot listen on 127.0.0.1:{world.words['stratum']}" in answer["error"]
        assert (await world.call("GET", "/drain"))[1]["draining"]
    assert (await world.call("DELETE", "/drain"))[0] == 200
    await (await Miner("again").connect(world.words["stratum"])).close()


async def test_wiring_operator_reloads_and_says_what_changed(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.words["fee_ppm"] = 7
    assert await world.call("POST", "/reload") == (200, {"added": [], "removed": [], "changed": ["pool.fee_ppm"]})
    assert '"fee_ppm":7' in (await world.public("/api/v1/pool"))[1].replace(" ", "")
    before = world.words["http"]
    world.words["http"] = 1
    status, answer = await world.call("POST", "/reload")
    assert status == 409 and answer["lines"] == ["http: a change needs a restart"]
    assert "stays as it was" in answer["error"] and "configuration not taken over: http" in caplog.text
    world.words |= {"http": before, "fee_ppm": "much"}
    status, answer = await world.call("POST", "/reload")
    assert status == 409 and "pool.fee_ppm: expected a whole number" in answer["lines"][0]
    world.words["fee_ppm"] = 7
    tokens = world.words["data"] / "operator.token"
    tokens.chmod(0o644)
    status, answer = await world.call("POST", "/reload")
    assert status == 409 and "chmod o-r" in answer["lines"][0]
    tokens.chmod(0o600)
    former = tokens.read_text().strip()
    tokens.write_text("n" * 40 + "\n")
    assert (await world.call("GET", "/drain"))[0] == 401, "not before it is read again"
    tokens.write_text(former + "\n" + "anna " + "n" * 40 + "\n")


async def test_wiring_operator_bans_hold_over_a_restart_of_the_list(world: World) -> None:
    miner = await Miner("rig").connect(world.words["stratum"])
    status, ban = await world.call("POST", "/bans", {"address": "127.0.0.0/8", "seconds": 3600, "reason": "a test"})
    assert status == 200 and ban["network"] == "127.0.0.0/8" and ban["connections_ended"] == 1
    async with asyncio.timeout(20):
        await miner.ended.wait()
    await miner.close()
    status, listed = await world.call("GET", "/bans")
    [only] = listed["items"]
    assert (only["network"], only["reason"], only["by"]) == ("127.0.0.0/8", "a test", "operator")
    assert only["until_ms"] == ban["until_ms"] and listed["total"] == 1
    reader, writer = await asyncio.open_connection("127.0.0.1", world.words["stratum8"])
    with contextlib.suppress(ConnectionError):
        assert await reader.read() == b"", "turned away, at every port"
    writer.close()
    [kept] = json.loads((world.words["data"] / "bans.json").read_text())
    assert kept == only
    status, answer = await world.call("POST", "/bans", {"address": "0.0.0.0/0", "seconds": 1, "reason": "x"})
    assert status == 400 and "too much of the internet" in answer["error"]
    assert (await world.call("DELETE", "/bans/127.0.0.1"))[0] == 404
    assert (await world.call("DELETE", "/bans/nonsense"))[0] == 400
    assert (await world.call("DELETE", "/bans/127.0.0.0/8"))[0] == 200
    assert json.loads((world.words["data"] / "bans.json").read_text()) == []
    await (await Miner("rig").connect(world.words["stratum"])).close()


async def test_wiring_operator_tells_miners_and_lists_them(world: World) -> None:
    miners = [await Miner(name).connect(world.words["stratum"]) for name in ("one", "two", "three")]
    told = [
        await world.call("POST", "/message", {"text": "to all"}),
        await world.call("POST", "/message", {"text": "to one", "login": ADDRESS, "worker": "one"}),
        await world.call("POST", "/message", {"text": "to him", "login": ADDRESS}),
        await world.call("POST", "/message", {"text": "to nobody", "login": "bc1qnobody"}),
    ]
    assert told == [(200, {"connections_told": count, "missing": []}) for count in (3, 1, 3, 0)]
    await until(lambda: [len(miner.calls) for miner in miners] == [3, 2, 2], "everybody heard")
    assert [call["params"] for call in miners[0].calls] == [["to all"], ["to one"], ["to him"]]

    seen: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        _, page = await world.call("GET", f"/connections?limit=2&after={after}")
        assert page["total"] == 3 and page["missing"] == []
        seen += page["items"]
        after = page["after"]
    assert [item["logins"] for item in seen] == [
        [{"login": ADDRESS, "worker": name}] for name in ("one", "two", "three")
    ]
    first = seen[0]
    assert (first["address"], first["agent"], first["hashrate"], first["last_share_ms"]) == (
        "127.0.0.1", "test/1", None, None,
    )  # fmt: skip
    assert first["difficulty"] == 1.0 and not first["leaving"] and first["logins_total"] == 1
    _, page = await world.call("GET", f"/connections?login={ADDRESS}&worker=two")
    assert [item["number"] for item in page["items"]] == [seen[1]["number"]] and page["after"] is None
    for miner in miners:
        await miner.close()


async def test_wiring_operator_hands_the_sealed_books_out(world: World) -> None:
    assert await world.call("GET", "/closings") == (200, {"items": [], "after": 0})
    database = Database(world.config().database_url())
    with database.write() as connection:
        ledger_store.post(connection, payment.deposit("regbtc", "ab" * 32, 0, 7), 1)
    assert not Closings(database).step(5_000)
    database.close()
    status, page = await world.call("GET", "/closings?after=0")
    assert status == 200 and page["after"] == 1
    closing = read_closing(bytes.fromhex(page["items"][0]["bytes"]))
    assert [group.id for chain in closing.chains for group in chain.groups] == ["deposit:regbtc:" + "ab" * 32 + ":0"]
    assert page["items"][0]["hash"] == closing_hash(closing_bytes(closing)).hex()


async def test_wiring_operator_knows_no_books_where_none_are_kept(tmp_path: Path) -> None:
    config = World(tmp_path).config()
    mining: Any = SimpleNamespace(servers={}, intake=SimpleNamespace(pow_name="sha256d"))
    assert config.operator is not None
    tokens = Tokens({"anna": "a" * 40})
    operating = Operating(config.operator, tokens, config, mining, never, None)
    with pytest.raises(OperatorError, match="keeps no books") as refusal:
        await operating.closings(0, 1)
    assert refusal.value.status == 501

    async def away(*_: Any) -> None:
        raise BooksAwayError("gone")

    operating = Operating(config.operator, tokens, config, mining, never, away)
    with pytest.raises(OperatorError, match="gone") as refusal:
        await operating.closings(0, 1)
    assert refusal.value.status == 503


async def never() -> tuple[None, list[str]]:
    raise AssertionError
