"""Leading blocks over a node that says what the test wants, with real files and a real key."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chains.bk.proposal import Proposal, proposal_of
from chains.kind import SubmitAnswer, SubmitResult
from chains.node_rpc import NodeUnavailableError
from chains.signer.promises import PromisesError
from chains.signer.signer import Signer, create_signer
from chains.votes.header import BlockHeader, votes_root
from pool.blocks.led_blocks import Leader, LedBlocks
from pool.services import block_leading
from pool.services.block_leading import BlockLeading

VOTE = "0a" * 32
ACCEPTED = SubmitAnswer(SubmitResult.ACCEPTED)
REFUSED = SubmitAnswer(SubmitResult.REJECTED, "block-vote-missing")


def proposal(height: int = 7, body: bytes = b"\x00") -> Proposal:
    root = votes_root((bytes.fromhex(VOTE)[::-1],))
    header = BlockHeader(bytes([height]) * 32, height, root, body.ljust(32, b"\x00"))
    return proposal_of(header.serialize(), (VOTE,), body)


class Node:
    def __init__(self, name: str, answer: SubmitAnswer | Exception = ACCEPTED) -> None:
        self.name = name
        self.answer = answer
        self.proposals: list[Proposal | Exception | None] = []
        self.blocks: list[tuple[Proposal, bytes]] = []

    async def proposal(self, wait_s: int) -> Proposal | None:
        while not self.proposals:
            await asyncio.sleep(0.001)
        found = self.proposals.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    async def submit_block(self, proposal: Proposal, signature: bytes) -> SubmitAnswer:
        self.blocks.append((proposal, signature))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class World:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        create_signer(folder / "key", folder / "key.promises").close()
        self.nodes = [Node("votes[0]"), Node("votes[1]")]
        self.usable: list[Any] = list(self.nodes)
        self.leading = BlockLeading("votes", lambda: self.usable)

    def open(self) -> Leader:
        return Leader(Signer(self.folder / "key", self.folder / "key.promises"), LedBlocks(self.folder / "signed"))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    for name in ("PAUSE_S", "NO_NODE_S", "OPEN_AGAIN_S"):
        monkeypatch.setattr(block_leading, name, 0.001)
    return World(tmp_path)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.002)


async def ended(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_block_leading_signs_and_tells_every_node(world: World) -> None:
    world.nodes[0].proposals = [None, proposal()]
    world.nodes[1].answer = REFUSED
    task = asyncio.create_task(world.leading.run(world.open))
    await until(lambda: world.leading.led)
    assert [len(node.blocks) for node in world.nodes] == [1, 1]
    assert (world.leading.led, world.leading.refused, world.leading.problem) == (1, 0, "")
    await ended(task)
    assert world.leading.problem == block_leading.ENDED
    world.open().close()  # its files are free


async def test_block_leading_hands_in_after_a_crash_what_was_signed_before_it(world: World) -> None:
    leader = world.open()
    signed = leader.sign(proposal())
    leader.close()
    world.usable = []
    world.nodes[0].proposals = [proposal(body=b"\x01")]  # the node forgot what it had proposed
    task = asyncio.create_task(world.leading.run(world.open))
    await asyncio.sleep(0.02)
    assert not world.nodes[0].blocks
    world.usable = list(world.nodes)
    await until(lambda: len(world.nodes[0].blocks) == 2)
    assert world.nodes[0].blocks == [(signed.proposal, signed.signature)] * 2
    await ended(task)


async def test_block_leading_goes_on_after_a_node_without_an_answer(world: World) -> None:
    world.nodes[0].proposals = [NodeUnavailableError("away"), proposal()]
    world.nodes[0].answer, world.nodes[1].answer = NodeUnavailableError("away"), NodeUnavailableError("away")
    task = asyncio.create_task(world.leading.run(world.open))
    await until(lambda: world.leading.results["unavailable"])
    world.nodes[1].answer = ACCEPTED
    world.nodes[0].proposals = [proposal(body=b"\x01")]
    await until(lambda: world.leading.led)
    assert len({block for block in world.nodes[1].blocks}) == 1, "the same block, whatever the node proposes"
    await ended(task)


async def test_block_leading_tells_what_nobody_takes(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.nodes[0].answer = world.nodes[1].answer = REFUSED
    world.nodes[0].proposals = [proposal()]
    task = asyncio.create_task(world.leading.run(world.open))
    await until(lambda: world.leading.refused)
    assert world.leading.results["rejected"] == 1
    assert "taken by no node chain=votes height=7" in caplog.text and "block-vote-missing" in caplog.text
    await ended(task)


async def test_block_leading_leaves_a_vote_alone_whose_block_is_lost(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    leader = world.open()
    leader.sign(proposal())
    leader.close()
    for path in (world.folder / "signed").iterdir():
        path.unlink()
    world.nodes[0].proposals = [proposal(body=b"\x01"), proposal(8)]
    task = asyncio.create_task(world.leading.run(world.open))
    await until(lambda: world.leading.led)
    assert [block.height for block, _ in world.nodes[0].blocks] == [8]
    assert world.leading.results["unsigned"] == 1 and "cannot be led twice" in caplog.text
    await ended(task)


async def test_block_leading_waits_for_the_key_that_another_process_holds(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    other = world.open()
    world.nodes[0].proposals = [proposal()]
    task = asyncio.create_task(world.leading.run(world.open))
    await until(lambda: "in use by another signer" in world.leading.problem)
    await asyncio.sleep(0.02)
    assert caplog.text.count("no block is led") == 1 and not world.nodes[0].blocks
    other.close()
    await until(lambda: world.leading.led)
    await ended(task)


async def test_block_leading_opens_a_signer_anew_whose_disk_failed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter([PromisesError("no space left")])
    sign = Leader.sign

    def failing(self: Leader, wanted: Proposal) -> Any:
        for failure in failures:
            raise failure
        return sign(self, wanted)

    monkeypatch.setattr(Leader, "sign", failing)
    world.nodes[0].proposals = [proposal(), proposal()]
    task = asyncio.create_task(world.leading.run(world.open))
    await until(lambda: world.leading.led)
    assert world.leading.results["unsigned"] == 1 and world.leading.problem == ""
    await ended(task)
