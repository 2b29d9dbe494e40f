"""Connections that are asked to go, ports that shut and open again, and sentences for people, over real sockets."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import Any

import pytest
from stratum_peer import POLICY, methods, request, submit_request
from test_stratum_server import LENIENT, FakePool, Miner, house, until
from twisted.internet.error import CannotListenError

from stratum import connection
from stratum.server import StratumServer


async def test_leaving_miners_are_asked_then_hung_up_on(reactor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LEAVE_S", 0.5)
    async with house(reactor) as home:
        miner, silent = await home.miner(), await home.miner()
        await miner.start()
        await until(lambda: len(home.server.connections) == 2)
        for one in list(home.server.connections):
            one.leave()
            one.leave()
            assert not one.stays
        asked = await miner.line()
        assert (asked["method"], asked["params"]) == ("client.reconnect", [])
        miner.send(submit_request(id=3))
        assert (await miner.line())["result"] is True, "shares under way count"
        assert await silent.closed() == b"", "who never spoke has nothing to finish"
        assert await miner.closed() == b"", "asked once, then the line ends"
        await until(lambda: home.server.counters.closed["drained"] == 2)


async def test_leaving_names_the_place_that_the_port_names(reactor: Any) -> None:
    pool = FakePool()
    policy = dataclasses.replace(POLICY, drain_to=("pool-b.example.org", 3334))
    server = StratumServer(pool, policy, LENIENT)
    port = server.listen(reactor, "127.0.0.1", 0).getHost().port
    miner = Miner(*await asyncio.open_connection("127.0.0.1", port))
    await miner.start()
    [one] = server.connections
    one.leave()
    assert (await miner.line())["params"] == ["pool-b.example.org", 3334, 0]
    miner.writer.close()
    await server.stop().asFuture(asyncio.get_running_loop())


async def test_leaving_shut_ports_refuse_and_open_again(reactor: Any) -> None:
    async with house(reactor) as home:
        home.server.stop_listening()
        await asyncio.sleep(0)
        home.server._ports.clear()
        port = home.server.listen(reactor, "127.0.0.1", home.port).getHost().port
        miner = await home.miner()
        await miner.start()
        home.server.shut()
        home.server.shut()
        await asyncio.sleep(0.05)
        with pytest.raises(ConnectionRefusedError):
            await home.miner()
        assert home.server.admit("127.0.0.1", POLICY) is None, "who was on the way"
        miner.send(submit_request(id=3))
        assert (await miner.line())["result"] is True, "who is here goes on"
        taken = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", port)
        with pytest.raises(CannotListenError):
            home.server.reopen()
        assert home.server.closed_to_new
        taken.close()
        await taken.wait_closed()
        home.server.reopen()
        home.server.reopen()
        other = await home.miner()
        assert methods(await other.start()) == ["#1", "#2", "set_difficulty", "notify"]


async def test_leaving_tells_those_who_can_hear(reactor: Any) -> None:
    async with house(reactor) as home:
        miner, silent = await home.miner(), await home.miner()
        await miner.start()
        silent.send(request(1, "mining.subscribe"))
        await silent.line()
        assert sorted(one.tell("maintenance at 10 o'clock") for one in home.server.connections) == [False, True]
        told = await miner.line()
        assert (told["method"], told["params"]) == ("client.show_message", ["maintenance at 10 o'clock"])
        assert json.dumps(told)
