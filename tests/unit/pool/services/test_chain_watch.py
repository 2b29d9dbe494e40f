"""When a chain's nodes are used, and when the chain leaves and rejoins the tree."""

from __future__ import annotations

import asyncio
import gc
import logging
from dataclasses import replace

import pytest
from support.job_factory import aux_template, parent_template

from chains.kind import Health, Network, NodeState
from chains.node_rpc import NodeTimeoutError, NodeUnavailableError
from chains.primitives.address import AddressFormat
from pool.services import chain_watch
from pool.services.chain_watch import NodeHealth, TemplateWatch, WatchedChain

REGTEST = Network("regtest", "regtest", AddressFormat(0x6F, (0xC4,), "bcrt"))


class ScriptedNode:
    """A node that is as the test wants it to be."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = NodeState.OK
        self.failure: Exception | None = None
        self.number = 1
        self.blocks = 5
        self.hang = False
        self.asked = 0

    async def health(self) -> Health:
        if isinstance(self.failure, NodeUnavailableError) and not isinstance(self.failure, NodeTimeoutError):
            raise self.failure
        return Health(self.state, self.blocks)

    async def template(self, longpoll_id: str | None = None):
        self.asked += 1
        if self.hang:
            await asyncio.sleep(60)
        if self.failure is not None:
            raise self.failure
        return replace(aux_template("alpha", self.number), height=self.blocks + 1)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watched(monkeypatch):
    """A chain of two scripted nodes under watch, with quick timings; yields (nodes, posts, chain, clock)."""
    monkeypatch.setattr(chain_watch, "HEALTH_INTERVAL_S", 0.01)
    monkeypatch.setattr(chain_watch, "HANG_S", 0.05)
    nodes = [ScriptedNode("alpha[0]"), ScriptedNode("alpha[1]")]
    chain = WatchedChain("alpha", "mm2", REGTEST, nodes, b"", 60.0)
    posts: list = []
    clock = Clock()
    watch = TemplateWatch(chain, posts.append, poll_interval_s=0.01, longpoll=False, clock=clock)
    return nodes, posts, chain, clock, watch


async def until(condition, what: str, seconds: float = 3.0) -> None:
    for _ in range(int(seconds / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"never: {what}")


@pytest.fixture
async def running(watched):
    task = asyncio.create_task(watched[4].run())
    await until(lambda: watched[2].in_tree, "the chain joins")
    yield watched
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_watch_uses_the_preferred_node(running):
    nodes, posts, chain, _, _ = running
    asked = nodes[1].asked
    await asyncio.sleep(0.1)
    assert nodes[1].asked == asked and posts[-1].aux_hash == bytes([1]) * 32
    assert chain.state is NodeState.OK and chain.height == 5


async def test_watch_fails_over_and_returns_by_itself(running):
    nodes, posts, _, _, _ = running
    nodes[1].number = 2
    nodes[0].failure = NodeUnavailableError("refused")
    await until(lambda: posts[-1] and posts[-1].aux_hash == bytes([2]) * 32, "the second node is used")
    nodes[0].failure = None
    await until(lambda: posts[-1].aux_hash == bytes([1]) * 32, "the first node is used again")


@pytest.mark.parametrize("state", [NodeState.SYNCING, NodeState.WRONG_NETWORK])
async def test_watch_takes_a_syncing_or_foreign_chain_out_at_once(running, state):
    nodes, posts, chain, _, _ = running
    for node in nodes:
        node.state = state
    await until(lambda: posts[-1] is None, "the chain leaves")
    assert not chain.in_tree and chain.state is state and chain.target is None


async def test_watch_takes_a_hanging_chain_out_within_seconds(running):
    nodes, posts, _, _, _ = running
    for node in nodes:
        node.hang = True
    await until(lambda: posts[-1] is None, "the chain leaves")


async def test_watch_keeps_an_absent_chain_until_its_template_is_old(running):
    nodes, posts, chain, clock, _ = running
    for node in nodes:
        node.failure = NodeUnavailableError("refused")
    await until(lambda: chain.state is NodeState.DOWN, "the nodes are down")
    clock.now += 59
    await asyncio.sleep(0.6)
    assert posts[-1] is not None
    clock.now += 2
    await until(lambda: posts[-1] is None, "the chain leaves after away_s")
    for node in nodes:
        node.failure = None
    await until(lambda: posts[-1] is not None, "the chain rejoins")


async def test_watch_keeps_the_last_template_when_a_node_talks_garbage(running):
    nodes, posts, chain, _, _ = running
    for node in nodes:
        node.failure = ValueError("previousblockhash: missing")
    await until(lambda: all(chain.template_failed_at), "both were tried")
    assert posts[-1] is not None and chain.in_tree


async def test_watch_tells_a_state_once_and_its_end_once(running, caplog):
    nodes, _, _, _, _ = running
    with caplog.at_level(logging.INFO, "parapool.chain"):
        nodes[0].state = NodeState.SYNCING
        await asyncio.sleep(0.3)
        nodes[0].state = NodeState.OK
        await asyncio.sleep(0.2)
    told = [r.getMessage().split(" chain=")[0] for r in caplog.records if "node=alpha[0]" in r.getMessage()]
    assert told == ["node syncing", "node ok"]


async def test_watch_leaves_outages_to_the_rpc_clients_log(running, caplog):
    nodes, posts, _, _, _ = running
    with caplog.at_level(logging.INFO, "parapool.chain"):
        nodes[0].failure = NodeUnavailableError("refused")
        await asyncio.sleep(0.2)
        nodes[0].failure = None
        await asyncio.sleep(0.2)
    assert [r for r in caplog.records if "node=alpha[0]" in r.getMessage()] == [] and posts[-1] is not None


async def test_watch_tells_an_unusable_template_once(running, caplog):
    nodes, _, _, _, _ = running
    for node in nodes:
        node.failure = ValueError("previousblockhash: missing")
    await asyncio.sleep(0.3)
    assert caplog.text.count("previousblockhash: missing") == 1


class ParentNode(ScriptedNode):
    """A scripted node whose templates can be waited for; `hang` makes every call hang, health too."""

    async def health(self) -> Health:
        if self.hang:
            await asyncio.sleep(60)
        return await super().health()

    async def template(self, longpoll_id: str | None = None):
        self.asked += 1
        if self.hang or longpoll_id is not None:
            await asyncio.sleep(60)
        return replace(parent_template(), longpoll_id="1", node=self.name)


def lost(node: ScriptedNode) -> None:
    node.failure = NodeUnavailableError("refused")


async def test_watch_stays_on_the_newest_tip_until_the_next_node_has_it_too(running, caplog):
    nodes, posts, chain, clock, _ = running
    nodes[1].number, nodes[1].blocks = 2, 4
    lost(nodes[0])
    await until(lambda: nodes[1].asked > 3, "the second node is asked")
    clock.now += 29
    await asyncio.sleep(0.1)
    assert posts[-1].aux_hash == bytes([1]) * 32 and chain.in_tree, "its template waits"
    assert caplog.text.count("node is behind, its template waits chain=alpha node=alpha[1] height=5 newest=6") == 1
    nodes[1].blocks = 5
    await until(lambda: posts[-1].aux_hash == bytes([2]) * 32, "it has caught up")
    assert "goes back" not in caplog.text


async def test_watch_goes_back_when_no_node_reaches_the_newest_tip(running, caplog):
    nodes, posts, _, clock, _ = running
    nodes[1].number, nodes[1].blocks = 2, 4
    lost(nodes[0])
    await until(lambda: "template waits" in caplog.text, "the second node's template waits")
    clock.now += 31
    await until(lambda: posts[-1].aux_hash == bytes([2]) * 32, "it is taken")
    assert caplog.text.count("no node has the newest tip any more, the chain goes back chain=alpha node=alpha[1]") == 1
    nodes[1].number = 3
    await until(lambda: posts[-1].aux_hash == bytes([3]) * 32, "the next one at once")
    assert caplog.text.count("template waits") == 1


async def test_watch_believes_the_newest_templates_own_node_when_it_goes_back(running):
    """A reorganisation by hand (invalidateblock), or one to a shorter branch with more work."""
    nodes, posts, _, _, _ = running
    nodes[0].number, nodes[0].blocks = 2, 3
    await until(lambda: posts[-1].aux_hash == bytes([2]) * 32, "its template is taken")


async def test_watch_takes_another_branch_that_reached_the_height(running):
    nodes, posts, _, _, _ = running
    nodes[1].number = 2
    lost(nodes[0])
    await until(lambda: posts[-1].aux_hash == bytes([2]) * 32, "its template is taken")


async def test_watch_takes_a_template_that_tells_no_height(running):
    nodes, posts, _, _, _ = running
    nodes[1].number, nodes[1].blocks = 2, -1
    lost(nodes[0])
    await until(lambda: posts[-1].aux_hash == bytes([2]) * 32, "its template is taken")


async def test_watch_rejoins_with_whatever_a_node_has_after_the_chain_left(running):
    nodes, posts, chain, clock, _ = running
    for node in nodes:
        lost(node)
    await until(lambda: chain.state is NodeState.DOWN, "the nodes are down")
    clock.now += 61
    await until(lambda: posts[-1] is None, "the chain leaves")
    nodes[1].number, nodes[1].blocks, nodes[1].failure = 2, 3, None
    await until(lambda: posts[-1] is not None and posts[-1].aux_hash == bytes([2]) * 32, "it rejoins at once")


async def test_watch_does_not_return_to_the_preferred_node_before_it_caught_up(running, caplog):
    nodes, posts, chain, _, _ = running
    nodes[1].number, nodes[1].blocks = 2, 7
    lost(nodes[0])
    await until(lambda: posts[-1].aux_hash == bytes([2]) * 32, "the second node is used")
    nodes[0].failure = None
    await until(lambda: chain.health[0].state is NodeState.OK, "the first is back")
    asked = nodes[0].asked
    await asyncio.sleep(0.1)
    assert nodes[0].asked <= asked + 1 and posts[-1].aux_hash == bytes([2]) * 32
    nodes[0].number, nodes[0].blocks = 3, 7
    await until(lambda: posts[-1].aux_hash == bytes([3]) * 32, "it has caught up")


def test_watch_fails_over_to_a_node_that_has_the_tip():
    nodes = [ScriptedNode(f"alpha[{number}]") for number in range(4)]
    chain = WatchedChain("alpha", "mm2", REGTEST, nodes, b"", 60.0)
    for index, blocks in enumerate((4, 4, 5, 6)):
        chain.set_health(index, NodeHealth(NodeState.OK, blocks))
    assert chain.usable(1000.0) == [0, 1, 2, 3], "nothing is known to be newer"
    chain.template_height, chain.template_node = 6, 0
    assert chain.usable(1000.0) == [0, 2, 3, 1], "the newest template's own node was asked about its health too early"
    chain.template_failed_at[0] = chain.template_failed_at[2] = 990.0
    assert chain.usable(1000.0) == [3, 1, 0, 2], "one that failed is tried last"
    chain.set_health(3, NodeHealth(NodeState.DOWN))
    assert chain.usable(1000.0) == [1, 0, 2]


async def test_watch_counts_a_template_as_good_while_the_long_poll_waits(watched):
    """A parent's template may be older than `away_s`: no reason to leave with the first failure."""
    _, posts, _, clock, _ = watched
    nodes = [ParentNode("parent[0]")]
    chain = WatchedChain("parent", "bitcoin", REGTEST, nodes, b"", 60.0)
    task = asyncio.create_task(
        TemplateWatch(chain, posts.append, poll_interval_s=0.01, longpoll=True, clock=clock).run()
    )
    await until(lambda: nodes[0].asked == 2, "the long poll waits")
    clock.now += 100
    nodes[0].failure = NodeUnavailableError("refused")
    await until(lambda: chain.state is NodeState.DOWN, "the node is down")
    await asyncio.sleep(0.3)
    assert chain.in_tree and None not in posts
    clock.now += 61
    await until(lambda: posts[-1] is None, "the chain leaves away_s later")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_watch_goes_on_with_the_second_parent_node_when_the_first_hangs_in_any_call(watched):
    """The hint (a block of ours at the second node) ends the long poll, so that the plain call after it hangs."""
    _, posts, _, clock, _ = watched
    nodes = [ParentNode("parent[0]"), ParentNode("parent[1]")]
    chain = WatchedChain("parent", "bitcoin", REGTEST, nodes, b"", 60.0)
    watch = TemplateWatch(chain, posts.append, poll_interval_s=0.01, longpoll=True, clock=clock)
    task = asyncio.create_task(watch.run())
    await until(lambda: posts and posts[-1].node == "parent[0]", "the preferred node is used")
    await until(lambda: nodes[0].asked == 2, "its long poll waits")
    nodes[0].hang = True
    watch.hints.set()
    await until(lambda: nodes[0].asked == 3, "it is asked without waiting")
    await until(lambda: posts[-1].node == "parent[1]", "the second node is used")
    nodes[0].hang = False
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class DroppingNode(ParentNode):
    """Its connection breaks in the moment in which the long poll is given up, as when both are stopped at once."""

    async def template(self, longpoll_id: str | None = None):
        try:
            return await super().template(longpoll_id)
        except asyncio.CancelledError:
            raise NodeUnavailableError("server disconnected") from None


async def test_watch_that_ends_while_its_long_poll_fails_leaves_no_error_behind(watched):
    left: list = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: left.append(context["message"]))
    try:
        nodes = [DroppingNode("parent[0]")]
        chain = WatchedChain("parent", "bitcoin", REGTEST, nodes, b"", 60.0)
        watch = TemplateWatch(chain, watched[1].append, poll_interval_s=0.01, longpoll=True, clock=watched[3])
        task = asyncio.create_task(watch.run())
        await until(lambda: nodes[0].asked == 2, "the long poll waits")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0)
        del task, watch, chain
        gc.collect()
    finally:
        asyncio.get_running_loop().set_exception_handler(None)
    assert left == []
