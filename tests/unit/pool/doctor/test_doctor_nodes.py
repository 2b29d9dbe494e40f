"""The doctor at a node's bedside: each planted fault is found, once, and the remedy names what to change."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from doctor_world import DoctorWorld, picked
from support.ports import free_port

from pool.doctor import node_checks
from pool.doctor.doctor import examine
from pool.doctor.finding import Result

TEST_ADDRESS = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx"  # BIP173
HANGS_S = 30.0


async def test_doctor_finds_nothing_wrong_where_nothing_is(world: DoctorWorld) -> None:
    findings = await world.examine()
    assert {f.result for f in findings} == {Result.GOOD}, [f for f in findings if f.result is not Result.GOOD]
    checks = {(f.subject, f.check) for f in findings}
    every_node = {"answers", "network", "synced", "latency", "peers", "clock", "submission", "template"}
    assert {(f"{name}[0]", check) for name in world.nodes for check in every_node} <= checks
    assert {
        ("regbtc", "job"), ("regbtc[0]", "block proposal"), ("regbtc", "coinbase"), ("regnmc", "AuxPoW proof"),
        ("alpha", "MM2 proof"), ("alpha[0]", "own rules"),
    } <= checks  # fmt: skip


async def test_doctor_changes_nothing(world: DoctorWorld) -> None:
    before = {name: node.devnet.node.chain.tip.hash for name, node in world.nodes.items()}
    await world.examine()
    assert {name: node.devnet.node.chain.tip.hash for name, node in world.nodes.items()} == before
    assert not (world.directory / "data").exists()
    never = {"walletpassphrase", "getnewaddress", "getrawchangeaddress", "sendtoaddress", "generatetoaddress"}
    assert not never & {call for node in world.nodes.values() for call in node.calls}


async def test_doctor_finds_a_node_that_is_down(world: DoctorWorld) -> None:
    world.set_node("regnmc", url=f"http://127.0.0.1:{free_port()}")
    (finding,) = (await world.wrong()).items()
    assert finding[0] == "regnmc[0] answers" and "no connection" in finding[1].found
    assert "Start the node" in finding[1].remedy and "chains.regnmc.nodes.0.url" in finding[1].remedy


async def test_doctor_finds_a_wrong_password(world: DoctorWorld) -> None:
    world.set_node("alpha", password="not it")
    (finding,) = (await world.wrong()).items()
    assert finding[0] == "alpha[0] login" and "HTTP 401" in finding[1].found
    assert "chains.alpha.nodes.0.user and password" in finding[1].remedy


async def test_doctor_finds_a_cookie_that_it_may_not_read(world: DoctorWorld, tmp_path: Path) -> None:
    cookie = tmp_path / "cookie"
    cookie.write_text("__cookie__:old\n")
    world.set_node("regnmc", user=None, password=None, cookie_file=str(cookie))
    config = world.config
    old = picked(await examine(config), Result.WRONG)["regnmc[0] login"]
    assert "cookie_file to the .cookie of this very node" in old.remedy
    cookie.unlink()
    cookie.mkdir()  # root may read every file, and nobody a folder
    unreadable = picked(await examine(config), Result.WRONG)["regnmc[0] login"]
    assert "rpccookieperms=group" in unreadable.remedy


async def test_doctor_finds_a_node_of_another_network(world: DoctorWorld) -> None:
    world.nodes["regbtc"].faults.chain = "main"
    wrong = await world.wrong()
    finding = wrong["regbtc[0] network"]
    assert set(wrong) == {"regbtc[0] network"} and "'main'" in finding.found
    assert "chains.regbtc.nodes.0.url" in finding.remedy and "chains.regbtc.network" in finding.remedy


async def test_doctor_finds_a_node_of_another_context(world: DoctorWorld) -> None:
    world.chain("alpha")["context_name"] = "omega"
    wrong = await world.wrong()
    assert set(wrong) == {"alpha[0] network"} and "context" in wrong["alpha[0] network"].found
    assert "chains.alpha.context_name" in wrong["alpha[0] network"].remedy


async def test_doctor_finds_a_node_of_another_kind(world: DoctorWorld) -> None:
    world.set_node("alpha", url=world.node_section("regnmc")["url"])
    world.chain("regnmc")["nodes"][0]["url"] = f"http://127.0.0.1:{free_port()}"
    finding = (await world.wrong())["alpha[0] answers"]
    assert "Method not found" in finding.found and "no node of kind mm2" in finding.remedy


async def test_doctor_finds_a_node_that_is_syncing(world: DoctorWorld) -> None:
    world.nodes["regnmc"].faults.syncing = True
    wrong = await world.wrong()
    assert set(wrong) == {"regnmc[0] synced"}
    assert "caught up" in wrong["regnmc[0] synced"].remedy


async def test_doctor_finds_a_parent_without_peers(world: DoctorWorld) -> None:
    world.chain("regbtc").update({"family": "bitcoin", "network": "test", "address": TEST_ADDRESS})
    world.nodes["regbtc"].faults.chain = "test"
    wrong = await world.wrong()
    assert set(wrong) == {"regbtc[0] peers"}
    assert "addnode" in wrong["regbtc[0] peers"].remedy


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ({"connections": 1}, Result.NOTE),
        ({"connections": 8}, Result.GOOD),
        ({"connections": 8, "networkactive": False}, Result.WRONG),
        ({}, Result.UNCHECKED),
    ],
)
async def test_doctor_judges_peers(world: DoctorWorld, answer: dict[str, Any], result: Result) -> None:
    world.chain("regbtc").update({"family": "bitcoin", "network": "test", "address": TEST_ADDRESS})
    world.nodes["regbtc"].faults.chain = "test"
    world.nodes["regbtc"].lies["getnetworkinfo"] = lambda _: answer
    assert "regbtc[0] peers" in picked(await world.examine(), result)


@pytest.mark.parametrize(
    ("off_s", "result"),
    [(0, Result.GOOD), (20, Result.NOTE), (-20, Result.NOTE), (600, Result.WRONG), (-600, Result.WRONG)],
)
async def test_doctor_finds_a_clock_that_is_off(world: DoctorWorld, off_s: int, result: Result) -> None:
    world.nodes["regnmc"].date = formatdate(time.time() + off_s, usegmt=True)
    finding = picked(await world.examine(), result)["regnmc[0] clock"]
    if off_s:
        assert ("ahead of ours" if off_s > 0 else "behind ours") in finding.found and "time service" in finding.remedy


async def test_doctor_cannot_read_a_date_that_is_none(world: DoctorWorld) -> None:
    world.nodes["regnmc"].date = "yesterday"
    assert "regnmc[0] clock" in picked(await world.examine(), Result.UNCHECKED)


async def test_doctor_gives_a_hanging_node_up_and_looks_at_the_rest(
    world: DoctorWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_checks, "ANSWER_S", 0.5)
    world.nodes["regnmc"].faults.hang_s = HANGS_S
    begun = time.monotonic()
    wrong = await world.wrong()
    assert time.monotonic() - begun < HANGS_S / 2
    assert set(wrong) == {"regnmc[0] answers"} and "no answer within 0.5 s" in wrong["regnmc[0] answers"].found
    assert "hangs or is overloaded" in wrong["regnmc[0] answers"].remedy


async def test_doctor_finds_garbage_in_a_nodes_place(world: DoctorWorld) -> None:
    world.nodes["regnmc"].faults.garbage = True
    wrong = await world.wrong()
    assert set(wrong) == {"regnmc[0] answers"} and "something else listens" in wrong["regnmc[0] answers"].remedy


async def test_doctor_finds_a_node_that_takes_no_blocks(world: DoctorWorld) -> None:
    def missing(_: Any) -> Any:
        raise LookupError("Method not found")

    world.nodes["regbtc"].lies["submitblock"] = missing
    wrong = await world.wrong()
    assert set(wrong) == {"regbtc[0] submission"} and "rpcwhitelist" in wrong["regbtc[0] submission"].remedy


async def test_doctor_notes_a_slow_node(world: DoctorWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_checks, "SLOW_MS", 50)
    world.nodes["regnmc"].faults.hang_s = 0.1
    assert "regnmc[0] latency" in picked(await world.examine(), Result.NOTE)


async def test_doctor_looks_at_every_node_of_a_chain(world: DoctorWorld) -> None:
    second = {**world.node_section("regnmc"), "url": f"http://127.0.0.1:{free_port()}"}
    world.chain("regnmc")["nodes"].append(second)
    wrong = await world.wrong()
    assert set(wrong) == {"regnmc[1] answers"} and "chains.regnmc.nodes.1.url" in wrong["regnmc[1] answers"].remedy


@asynccontextmanager
async def listening(first_bytes: bytes) -> AsyncIterator[int]:
    """A port that says this to whoever comes."""

    async def say(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first_bytes)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(say, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


ZMQ = b"\xff" + bytes(8) + b"\x7f"


@pytest.mark.parametrize(
    ("said", "notifications", "words"),
    [
        (ZMQ, [{"type": "pubhashblock", "address": "tcp://127.0.0.1:1"}], None),
        (ZMQ, None, None),
        (ZMQ, [{"type": "pubhashtx"}], "publishes no hashblock"),
        (b"SSH-2.0-OpenSSH\r\n", None, "something else than ZMQ"),
        (b"", None, "the connection ended at once"),
    ],
)
async def test_doctor_looks_for_a_zmq_publisher(
    world: DoctorWorld, said: bytes, notifications: Any, words: str | None
) -> None:
    if notifications is not None:
        world.nodes["regbtc"].lies["getzmqnotifications"] = lambda _: notifications
    async with listening(said) as port:
        world.set_node("regbtc", zmq_hashblock=f"tcp://127.0.0.1:{port}")
        findings = {f"{f.subject} {f.check}": f for f in await world.examine()}
    finding = findings["regbtc[0] zmq"]
    assert (finding.result is Result.GOOD) == (words is None)
    assert words is None or (words in finding.found and "zmqpubhashblock=" in finding.remedy)


async def test_doctor_finds_a_zmq_endpoint_that_is_closed(world: DoctorWorld, tmp_path: Path) -> None:
    for endpoint in (f"tcp://127.0.0.1:{free_port()}", f"ipc://{tmp_path}/none"):
        world.set_node("regbtc", zmq_hashblock=endpoint)
        wrong = await world.wrong()
        assert set(wrong) == {"regbtc[0] zmq"} and endpoint in wrong["regbtc[0] zmq"].remedy


def test_doctor_hands_in_what_no_node_can_take() -> None:
    assert {kind: all(set(text) == {"0"} for text in sent.values()) for kind, sent in node_checks._NOTHING.items()} == {
        "bitcoin": True, "auxpow": True, "mm2": True, "bk": True, "parallel": True,
    }  # fmt: skip


