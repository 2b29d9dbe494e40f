"""The Stratum client against a tiny server: handshake, terms, shares, and a pool that misbehaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
from tiny_pool import GENESIS_HASH_HEX, GENESIS_NONCE, GENESIS_NOTIFY, GENESIS_TIME, TinyPool

from pool.mining_client.client import LoginRefusedError, Refusal, StratumClient, StratumError


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


async def test_mining_client_solves_the_genesis_job() -> None:
    async with TinyPool(GENESIS_NOTIFY) as pool:
        client = StratumClient("127.0.0.1", pool.port, "ADDRESS.rig", "d=1")
        await client.connect()
        job = await client.next_job(5)
        solution = await client.solve(job, start_nonce=GENESIS_NONCE - 2500)
        assert solution.pow_hash[::-1].hex() == GENESIS_HASH_HEX
        assert solution.is_block
        assert (solution.nonce, solution.ntime, solution.extranonce2) == (GENESIS_NONCE, GENESIS_TIME, bytes(4))
        assert await client.submit(job, solution.extranonce2, solution.ntime, solution.nonce) == (True, None)
        again = await client.submit(job.job_id, solution.extranonce2, solution.ntime, solution.nonce)
        assert again == (False, Refusal(22, "Duplicate share"))
        await client.close()
    assert [method for method, _ in pool.requests] == [
        "mining.configure", "mining.subscribe", "mining.authorize", "mining.extranonce.subscribe",
        "mining.submit", "mining.submit",
    ]  # fmt: skip
    assert pool.requests[2][1] == ["ADDRESS.rig", "d=1"]
    assert pool.requests[4][1] == ["ADDRESS.rig", "genesis", "00000000", "495fab29", f"{GENESIS_NONCE:08x}"]


async def test_mining_client_tells_when_a_target_has_no_nonce_left() -> None:
    async with TinyPool(GENESIS_NOTIFY) as pool:
        client = StratumClient("127.0.0.1", pool.port, "u")
        await client.connect()
        job = await client.next_job(5)
        with pytest.raises(ValueError, match="no nonce"):
            await client.solve(job, 0, start_nonce=2**32 - 100)
        await client.close()


async def test_mining_client_takes_the_version_mask_and_sends_rolled_bits() -> None:
    async with TinyPool(GENESIS_NOTIFY, difficulty=1e-9, mask=0x1FFFE000) as pool:
        client = StratumClient("127.0.0.1", pool.port, "u")
        await client.connect()
        job = await client.next_job(5)
        solution = await client.solve(job, version_bits=0x00002000)
        assert (await client.submit(job, bytes(4), job.time, solution.nonce, 0x00002000))[0]
        await client.close()
    assert pool.headers[0][:4].hex() == "01200000"
    assert pool.requests[-1][1][5] == "00002000"


async def test_mining_client_binds_new_terms_to_the_next_job() -> None:
    async with TinyPool(GENESIS_NOTIFY, difficulty=2.0) as pool:
        client = StratumClient("127.0.0.1", pool.port, "u")
        await client.connect()
        first = await client.next_job(5)
        pool.push("mining.set_difficulty", 8)
        pool.push("mining.set_extranonce", "01020304", 6)
        await until(lambda: client.extranonce2_size == 6)
        assert client.difficulty == 8.0
        assert (first.difficulty, first.extranonce1, first.extranonce2_size) == (2.0, bytes(4), 4)
        pool.push("mining.notify", *GENESIS_NOTIFY)
        second = await client.next_job(5)
        assert (second.difficulty, second.extranonce1.hex(), second.extranonce2_size) == (8.0, "01020304", 6)
        await client.close()


async def test_mining_client_answers_what_a_pool_asks() -> None:
    async with TinyPool(GENESIS_NOTIFY) as pool:
        said: list[str] = []
        client = StratumClient("127.0.0.1", pool.port, "u", say=said.append)
        await client.connect()
        pool.push("client.get_version", request_id=7)
        pool.push("mining.ping", request_id=8)
        pool.push("client.dance", request_id=9)
        pool.push("client.show_message", "unknown chain\n\x1b[31mgamma")
        await until(lambda: len(pool.replies) == 3 and bool(client.messages))
        assert pool.replies[0] == {"id": 7, "result": "parapool-miner/0.1", "error": None}
        assert pool.replies[1] == {"id": 8, "result": "pong", "error": None}
        assert pool.replies[2] == {"id": 9, "result": None, "error": [-3, "Method not found", None]}
        assert client.messages == ["unknown chain  [31mgamma"]
        assert said == ["the pool says: unknown chain  [31mgamma"]
        await client.close()


async def test_mining_client_reconnects_to_the_same_host_only() -> None:
    async with TinyPool(GENESIS_NOTIFY) as pool:
        said: list[str] = []
        client = StratumClient("127.0.0.1", pool.port, "u", say=said.append)
        await client.connect()
        pool.push("client.reconnect", "thief.example", 3333, 0)
        await until(lambda: bool(said))
        assert not client.closed.is_set()
        assert client.reconnect_wanted is None
        pool.push("client.reconnect", "127.0.0.1", 4444, 2)
        await until(client.closed.is_set)
        assert client.reconnect_wanted == (4444, 2.0)
        await client.close()


@pytest.mark.parametrize(
    "answer",
    [(False, None), (None, [24, "Unauthorized worker", None]), (None, {"code": 24, "message": "Unauthorized worker"})],
)
async def test_mining_client_tells_a_refused_login(answer: tuple[object, object]) -> None:
    async with TinyPool(GENESIS_NOTIFY, answers={"mining.authorize": answer}) as pool:
        client = StratumClient("127.0.0.1", pool.port, "nobody")
        with pytest.raises(LoginRefusedError):
            await client.connect()
        assert client.closed.is_set()


@pytest.mark.parametrize(
    "answer", [(None, [20, "full", None]), ([[], "zz", 4], None), ([[], "00", 0], None), (True, None)]
)
async def test_mining_client_refuses_a_subscription_that_is_none(answer: tuple[object, object]) -> None:
    async with TinyPool(GENESIS_NOTIFY, answers={"mining.subscribe": answer}) as pool:
        client = StratumClient("127.0.0.1", pool.port, "u")
        with pytest.raises(StratumError):
            await client.connect()
        assert client.closed.is_set()


@pytest.mark.parametrize(
    "line",
    [
        b"hello\n",
        b"[1, 2]\n",
        b"[" * 100_000 + b"\n",
        json.dumps({"id": None, "method": "mining.notify", "params": ["j"]}).encode() + b"\n",
        b'{"id": null, "method": "mining.set_difficulty", "params": [NaN]}\n',
        b'{"id": null, "method": "mining.set_difficulty", "params": [0]}\n',
        b'{"id": null, "method": "mining.set_difficulty", "params": [true]}\n',
        b'{"id": null, "method": "mining.set_extranonce", "params": [7, 4]}\n',
        b'{"id": null, "method": "mining.set_version_mask", "params": ["xyz"]}\n',
        b"x" * 2_000_000,
    ],
)
async def test_mining_client_ends_the_connection_at_a_line_that_is_no_stratum(line: bytes) -> None:
    async with TinyPool(GENESIS_NOTIFY) as pool:
        client = StratumClient("127.0.0.1", pool.port, "u")
        await client.connect()
        await client.next_job(5)
        pool.push_line(line)
        with pytest.raises(StratumError, match="no Stratum"):
            await client.next_job(5)
        with pytest.raises(StratumError):
            await client.submit("j", bytes(4), 0, 0)
        await client.close()


async def test_mining_client_fails_what_waits_when_the_pool_goes_away() -> None:
    async with TinyPool(GENESIS_NOTIFY) as pool:
        client = StratumClient("127.0.0.1", pool.port, "u")
        await client.connect()
        await client.next_job(5)
        waiting = asyncio.ensure_future(client.next_job())
        await asyncio.sleep(0)
        pool.drop()
        with pytest.raises(StratumError, match="closed the connection"):
            await waiting
        await client.close()


async def test_mining_client_waits_for_an_answer_no_longer_than_told() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    client = StratumClient("127.0.0.1", server.sockets[0].getsockname()[1], "u", timeout_s=0.05)
    with pytest.raises(StratumError, match=r"no answer to mining\.configure"):
        await client.connect()
    server.close()
    await server.wait_closed()


async def test_mining_client_tells_when_no_job_comes() -> None:
    async with TinyPool(GENESIS_NOTIFY) as pool:
        client = StratumClient("127.0.0.1", pool.port, "u")
        await client.connect()
        await client.next_job(5)
        with pytest.raises(TimeoutError):
            await client.next_job(0.01)
        await client.close()
