"""The HTTP edge, the controls and the faults of reference nodes, and a real process killed in the middle."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from statistics import median

import aiohttp
import pytest
import pytest_asyncio
from reference_client import (
    ADDRESS,
    LEGACY_ADDRESS,
    PASSWORD,
    SEED,
    USER,
    Refused,
    Rpc,
    StartNode,
    credentials,
)

from chains.primitives.hashes import from_displayed, sha256d
from chains.primitives.target import bits_to_target
from chains.reference.block import Block, PlainForm, mine_header, parse_block
from chains.reference.mm2_rules import parse_proof, write_proof

SEGWIT = {"rules": ["segwit"]}
LIMIT_S = 60  # of every wait for what must come soon


async def test_reference_server_wants_the_password(start_node: StartNode) -> None:
    node = await start_node()
    body = b'{"id":1,"method":"getblockcount"}'
    assert await node.post(body) == (200, b'{"result":0,"error":null,"id":1}\n')
    assert await node.post(body, password="wrong") == (401, b"")
    async with node.session.post(node.url, data=body) as response:
        assert response.status == 401
        assert response.headers["WWW-Authenticate"] == 'Basic realm="jsonrpc"'
    async with node.session.get(node.url) as response:
        assert response.status == 405


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"not json", 500, -32700),
        (b"[" * 100_000, 500, -32700),
        (b'{"id":1,"method":"getblockhash","params":[NaN]}', 500, -32700),
        (b"12", 400, -32600),
        (b'{"id":1}', 400, -32600),
        (b'{"id":1,"method":5}', 400, -32600),
        (b'{"id":1,"method":"getblockcount","params":5}', 400, -32600),
        (b'{"id":1,"method":"nosuch"}', 404, -32601),
        (b'{"id":1,"method":"getblockcount","params":[1]}', 500, -1),
        (b'{"id":1,"method":"getblockhash","params":["1"]}', 500, -3),
        (b'{"id":1,"method":"getblockhash","params":[1]}', 500, -8),
        (b'{"id":1,"method":"getblock","params":["00"]}', 500, -8),
        (b'{"id":1,"method":"sendtoaddress","params":["nonsense",1]}', 500, -5),
        (b'{"id":1,"method":"sendtoaddress","params":["%s",1]}' % ADDRESS.encode(), 500, -6),
        (b'{"id":1,"method":"sendtoaddress","params":["%s",0.000000001]}' % ADDRESS.encode(), 500, -3),
        (b'{"id":1,"method":"getblocktemplate","params":[{}]}', 500, -8),
        (b'{"id":1,"method":"getblocktemplate","params":[{"mode":"x","rules":["segwit"]}]}', 500, -8),
    ],
)
async def test_reference_server_errors(start_node: StartNode, body: bytes, status: int, code: int) -> None:
    node = await start_node()
    got, answer = await node.post(body)
    assert got == status
    assert json.loads(answer)["error"]["code"] == code


async def test_reference_server_takes_named_parameters(start_node: StartNode) -> None:
    node = await start_node()
    _, answer = await node.post(b'{"id":null,"method":"getblockhash","params":{"height":0}}')
    assert json.loads(answer)["result"] == await node("getblockhash", 0)


async def test_reference_server_longpoll_returns_at_once_on_a_new_tip(start_node: StartNode) -> None:
    node = await start_node(longpoll_s=10 * LIMIT_S)
    template = await node("getblocktemplate", SEGWIT)
    waiting = asyncio.create_task(node("getblocktemplate", SEGWIT | {"longpollid": template["longpollid"]}))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    (block_hash,) = await node.mine(1)
    async with asyncio.timeout(LIMIT_S):
        fresh = await waiting
    assert fresh["previousblockhash"] == block_hash
    again = await node("getblocktemplate", SEGWIT | {"longpollid": template["longpollid"]})
    assert again["longpollid"] == fresh["longpollid"]  # an old id is answered at once


async def test_reference_server_longpoll_sees_the_mempool_after_its_minute(start_node: StartNode) -> None:
    node = await start_node(longpoll_s=60)
    await node.mine(12)
    template = await node("getblocktemplate", SEGWIT)
    waiting = asyncio.create_task(node("getblocktemplate", SEGWIT | {"longpollid": template["longpollid"]}))
    await asyncio.sleep(0.05)
    await node("sendtoaddress", ADDRESS, 1)
    await asyncio.sleep(0.05)
    assert not waiting.done()
    node.now_s += 61
    await node("sendtoaddress", ADDRESS, 1)  # any change wakes it to look at the clock
    fresh = await asyncio.wait_for(waiting, LIMIT_S)
    assert len(fresh["transactions"]) == 2
    assert fresh["coinbasevalue"] == 50 * 10**8 + sum(t["fee"] for t in fresh["transactions"])


async def test_reference_server_faults(start_node: StartNode) -> None:
    node = await start_node()
    aux = await start_node("auxpow")
    child = await start_node("mm2")
    await node("devnet_set", {"syncing": True, "chain": "main"})
    info = await node("getblockchaininfo")
    assert (info["initialblockdownload"], info["chain"]) == (True, "main")
    assert info["headers"] > info["blocks"]
    with pytest.raises(Refused) as refused:
        await node("getblocktemplate", SEGWIT)
    assert refused.value.code == -10
    await node("devnet_set", {"syncing": False, "chain": None, "garbage": True})
    with pytest.raises((aiohttp.ClientError, ValueError)):
        await node("getblockcount")
    await node("devnet_set", {"garbage": False, "http_500": True})
    status, _ = await node.post(b'{"method":"getblockcount"}')
    assert status == 500
    await node("devnet_set", {"http_500": False, "hang_s": 0.3})
    began = time.monotonic()
    await node("getblockcount")
    assert time.monotonic() - began >= 0.3
    await node("devnet_clear")
    assert (await node("getblockchaininfo"))["chain"] == "regtest"
    for other, method in ((aux, "createauxblock"), (child, "createmm2block")):
        await other("devnet_set", {"syncing": True})
        with pytest.raises(Refused) as refused:
            await other(method, ADDRESS)
        assert refused.value.code == -10
    with pytest.raises(Refused) as refused:
        await node("devnet_set", {"nosuch": 1})
    assert refused.value.code == -8


async def test_reference_server_refusals(start_node: StartNode) -> None:
    node = await start_node()
    block_hex = await _own_block(node)
    await node("devnet_refuse_next", "bad-cb-made-up")
    assert await node("submitblock", block_hex) == "bad-cb-made-up"
    await node("devnet_refuse_next", "bad-shape", "proposal", 2)
    for expected in ("bad-shape", "bad-shape", None):
        assert await node("getblocktemplate", SEGWIT | {"mode": "proposal", "data": block_hex}) == expected
    await node("devnet_set", {"refuse_containing": "aa21a9ed"})
    assert await node("submitblock", block_hex) == "bad-cb-refused-by-devnet"
    await node("devnet_clear")
    assert await node("submitblock", block_hex) is None
    assert await node("submitblock", block_hex) == "duplicate"


async def _own_block(node: Rpc) -> str:
    """A block as somebody else would mine it: one of the node's own with another time and nonce."""
    (block_hash,) = await node.mine(1)
    old = parse_block(bytes.fromhex(await node("getblock", block_hash, 0)), PlainForm())
    await node("invalidateblock", block_hash)
    header = mine_header(replace(old.header, time=old.header.time + 1), bits_to_target(old.header.bits))
    return Block(header, old.transactions).serialize().hex()


async def test_reference_server_reorganise(start_node: StartNode) -> None:
    node = await start_node()
    old = await node.mine(4)
    new = await node("devnet_reorganise", 2)
    assert len(new) == 3
    assert await node("getbestblockhash") == new[-1]
    assert (await node("getblockheader", old[-1]))["confirmations"] == -1
    assert (await node("getblockheader", old[1]))["confirmations"] == 4
    assert (await node("getblockheader", old[1]))["nextblockhash"] == new[0]
    await node("invalidateblock", new[0])
    assert await node("getbestblockhash") == old[-1]
    await node("reconsiderblock", new[0])
    assert await node("getbestblockhash") == new[-1]
    tips = {tip["hash"]: tip["status"] for tip in await node("getchaintips")}
    assert tips == {new[-1]: "active", old[-1]: "valid-fork"}


async def test_reference_server_dogecoin_dialect(start_node: StartNode) -> None:
    node = await start_node("auxpow", chain_id=98, dialect="dogecoin")
    await node.mine(12, LEGACY_ADDRESS)
    with pytest.raises(Refused) as refused:
        await node("createauxblock", "nonsense")
    assert (refused.value.code, refused.value.message) == (-8, "Invalid coinbase payout address")
    with pytest.raises(Refused):
        await node("createauxblock", ADDRESS)  # no segwit, so no bech32
    one = await node("createauxblock", LEGACY_ADDRESS)
    other = await node("createauxblock", await node("getnewaddress"))
    assert one == other  # one cache for all addresses
    assert one["chainid"] == 98
    namecoin = await start_node("auxpow")
    first = await namecoin("createauxblock", LEGACY_ADDRESS)
    assert first != await namecoin("createauxblock", await namecoin("getnewaddress"))
    assert first == await namecoin("createauxblock", LEGACY_ADDRESS)


async def test_reference_server_aux_templates_end_with_the_tip(start_node: StartNode) -> None:
    for kind, create, submit in (
        ("auxpow", "createauxblock", "submitauxblock"),
        ("mm2", "createmm2block", "submitmm2block"),
    ):
        node = await start_node(kind)
        offer = await node(create, ADDRESS)
        assert (await node(create, ADDRESS))["hash"] == offer["hash"]
        await node.mine(1)
        fresh = await node(create, ADDRESS)
        assert fresh["hash"] != offer["hash"]
        with pytest.raises(Refused) as refused:
            await node(submit, offer["hash"], "00")
        assert (refused.value.code, refused.value.message) == (-8, "block hash unknown")


async def test_reference_server_mm2_contract(start_node: StartNode) -> None:
    node = await start_node("mm2")
    await node.mine(3)
    info = await node("getmm2chaininfo")
    assert info == {
        "chain": "regtest",
        "context_name": "alpha",
        "context": sha256d(b"alpha").hex(),
        "blocks": 3,
        "headers": 3,
        "bestblockhash": await node("getbestblockhash"),
        "initialblockdownload": False,
    }
    offer = await node("createmm2block", ADDRESS)
    assert offer["context"] == info["context"]
    assert offer["previousblockhash"] == info["bestblockhash"]
    assert (offer["height"], offer["coinbasevalue"], offer["bits"]) == (4, 50 * 10**8, "207fffff")
    assert int(offer["target"], 16) == bits_to_target(0x207FFFFF)
    with pytest.raises(Refused) as refused:
        await node("createmm2block", "nonsense")
    assert refused.value.code == -5
    for wrong in ("zz", "00", ""):
        with pytest.raises(Refused) as refused:
            await node("submitmm2block", offer["hash"], wrong)
        assert (refused.value.code, refused.value.message) == (-22, "Proof decode failed")

    # The node's own form mines the proof for the template that it still remembers.
    devnet = node.server._devnet
    block = devnet._blocks[from_displayed(offer["hash"])]
    _, proof = devnet.node.form.mine(block.header, bits_to_target(block.header.bits))
    broken = write_proof(replace(parse_proof(proof), extra=bytes(60)))
    assert await node("submitmm2block", offer["hash"], broken.hex()) == "hash-link-ending"
    assert await node("submitmm2block", offer["hash"], proof.hex()) is None
    assert await node("submitmm2block", offer["hash"], proof.hex()) == "duplicate"
    assert await node("getbestblockhash") == offer["hash"]
    assert (await node("getblockheader", offer["hash"]))["mm2"]["proof"] == proof.hex()


async def test_reference_server_lost_race_of_a_child(start_node: StartNode) -> None:
    node = await start_node("mm2")
    offer = await node("createmm2block", ADDRESS)
    devnet = node.server._devnet
    block = devnet._blocks[from_displayed(offer["hash"])]
    _, proof = devnet.node.form.mine(block.header, bits_to_target(block.header.bits))
    await node.mine(1)
    assert await node("submitmm2block", offer["hash"], proof.hex()) == "inconclusive"


async def test_reference_server_answers_fast(start_node: StartNode) -> None:
    node = await start_node("auxpow", trickle_s=0)
    await node.mine(12)
    await node("createauxblock", ADDRESS)
    took_s = []
    for _ in range(50):
        began = time.monotonic()
        await node("createauxblock", ADDRESS)
        took_s.append(time.monotonic() - began)
    assert median(took_s) < 0.02  # a busy machine adds to some of them, a slow node to all



class _Process:
    """`python -m chains.reference.run` as a child process."""

    def __init__(self, directory: Path, session: aiohttp.ClientSession, *more: str) -> None:
        self.arguments = ["-m", "chains.reference.run", "--kind", "bitcoin", "--name", "regbtc", "--port", "0"]
        self.arguments += ["--user", USER, "--password", PASSWORD, "--seed", SEED, "--data", str(directory), *more]
        self._session = session
        self.process: asyncio.subprocess.Process

    async def start(self) -> int:
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(sys.executable, *self.arguments, stdout=pipe, stderr=pipe)
        assert self.process.stdout is not None
        line = (await asyncio.wait_for(self.process.stdout.readline(), LIMIT_S)).decode().split()
        assert line[:2] == ["READY", f"pid={self.process.pid}"]
        return int(line[2].removeprefix("port="))

    async def call(self, port: int, method: str, *params: object) -> object:
        body = {"id": 1, "method": method, "params": list(params)}
        url = f"http://127.0.0.1:{port}/"
        async with self._session.post(url, json=body, headers=credentials()) as response:
            answer: object = (await response.json())["result"]
            return answer


@pytest_asyncio.fixture(loop_scope="session")
async def child(tmp_path: Path) -> AsyncIterator[_Process]:
    async with aiohttp.ClientSession() as session:
        made = _Process(tmp_path, session)
        yield made
        if made.process.returncode is None:
            made.process.kill()
            await made.process.wait()


async def test_reference_server_survives_kill(child: _Process) -> None:
    port = await child.start()
    await child.call(port, "generatetoaddress", 13, ADDRESS)
    txid = await child.call(port, "sendtoaddress", ADDRESS, 1)
    tip = await child.call(port, "getbestblockhash")
    child.process.kill()
    await child.process.wait()
    port = await child.start()
    assert await child.call(port, "getbestblockhash") == tip
    assert await child.call(port, "getrawmempool") == [txid]
    assert await child.call(port, "stop") == "parapool devnet node stopping"
    assert await asyncio.wait_for(child.process.wait(), LIMIT_S) == 0
    await child.start()
    child.process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(child.process.wait(), LIMIT_S) == 0


async def test_reference_server_names_what_stops_it_from_starting(child: _Process) -> None:
    await child.start()
    pipe = asyncio.subprocess.PIPE
    second = await asyncio.create_subprocess_exec(sys.executable, *child.arguments, stdout=pipe, stderr=pipe)
    out, err = await asyncio.wait_for(second.communicate(), LIMIT_S)
    assert (second.returncode, out) == (1, b"")
    assert b"in use by another node" in err
