"""A chain whose node tells when its tip moves."""

from __future__ import annotations

import asyncio

import pytest

from chains.kind import NodeState
from chains.node_rpc import NodeUnavailableError
from pool.services import tip_hints as module
from pool.services.chain_watch import NodeHealth, WatchedChain
from pool.services.tip_hints import tip_hints


class Node:
    name = "votes[0]"

    def __init__(self) -> None:
        self.tip = b"1"
        self.moved = asyncio.Event()
        self.asked: list[bytes] = []
        self.away = 0

    async def wait_for_tip(self, previous_hash: bytes, wait_s: int) -> None:
        self.asked.append(previous_hash)
        if self.away:
            self.away -= 1
            raise NodeUnavailableError("away")
        while self.tip == previous_hash:
            await self.moved.wait()
            self.moved.clear()


async def test_tip_hints_tell_at_once_and_outlive_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 0.01)
    monkeypatch.setattr(module, "LOOK_S", 0.001)
    node = Node()
    chain = WatchedChain("votes", "bk", None, [node], b"", 60)  # type: ignore[arg-type]
    have: list[bytes | None] = [None]
    hints: list[bytes] = []

    def moved() -> None:
        hints.append(node.tip)
        have[0] = node.tip

    async def until(count: int) -> None:
        async with asyncio.timeout(20):
            while len(hints) < count:
                await asyncio.sleep(0.002)

    task = asyncio.create_task(tip_hints(chain, lambda: have[0], moved))
    await asyncio.sleep(0.03)
    assert not node.asked, "no template, no node"
    have[0] = b"1"
    chain.health[0] = NodeHealth(NodeState.OK, 5)
    await asyncio.sleep(0.03)
    node.tip = b"2"
    node.moved.set()
    await until(1)
    node.away = 2
    node.tip = b"3"
    node.moved.set()
    await until(2)
    assert hints == [b"2", b"3"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
