"""A consensus-proof network under watch: its chains get their templates together, and jobs never have half of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from support.job_factory import SCRIPT, aux_template, parent_template

from chains.bitcoin.block import BitcoinKind
from chains.families import network
from chains.kind import AuxTemplate, Health, NodeState
from chains.node_rpc import NodeUnavailableError
from chains.parallel.commitment import ParallelKind
from chains.parallel.network_node import NetworkTemplate
from chains.primitives.hashes import sha256d
from pool.jobs.commitments import commit
from pool.jobs.job_table import JobTable
from pool.jobs.template_board import TemplateBoard
from pool.jobs.template_set import TemplateSet
from pool.services import chain_watch, job_broadcast
from pool.services.chain_watch import WatchedChain
from pool.services.job_broadcast import JobBroadcast, JobSettings
from pool.services.network_watch import NetworkWatch, network_of

MAIN = network("parallel", "main")
CHAINS = ("one", "two")


class SharedNode:
    """A node that is as the test wants it to be."""

    name = "net[0]"

    def __init__(self) -> None:
        self.number = 1
        self.offered = set(CHAINS)
        self.failure: Exception | None = None

    async def health(self) -> Health:
        if self.failure is not None:
            raise self.failure
        return Health(NodeState.OK, 5)

    async def template(self) -> NetworkTemplate:
        if self.failure is not None:
            raise self.failure
        offers = datum(self.number)
        return NetworkTemplate(6, 2**255, {name: offers[name] for name in CHAINS if name in self.offered})


class OwnNode:
    """One chain's view of it."""

    def __init__(self, chain: str, shared: SharedNode) -> None:
        self.name = f"{chain}[0]"
        self.chain = chain
        self.network = shared

    async def health(self) -> Health:
        if self.chain not in self.network.offered:
            return Health(NodeState.WRONG_NETWORK, 0, "the node does not follow it")
        return await self.network.health()


def datum(number: int, chains: tuple[str, ...] = CHAINS) -> dict[str, AuxTemplate]:
    """The templates of a datum: equal but for chain, node, height and value."""
    wire = bytes([number]) * 108
    return {
        name: replace(
            aux_template(name, number), aux_hash=sha256d(wire), datum=wire, context=b"\x05" * 32, value_sat=place
        )
        for place, name in enumerate(chains)
    }


async def until(condition: Any, what: str) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"never: {what}")


class World:
    def __init__(self) -> None:
        self.node = SharedNode()
        self.members = {
            name: WatchedChain(name, "parallel", MAIN, [OwnNode(name, self.node)], SCRIPT, 0.05) for name in CHAINS
        }
        self.posts: list[dict[str, AuxTemplate | None]] = []
        self.network = network_of(self.members, "net")
        self.watch = NetworkWatch(self.network, self.members, lambda post: self.posts.append(dict(post)),
                                  poll_interval_s=0.01)  # fmt: skip


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(chain_watch, "HEALTH_INTERVAL_S", 0.01)
    made = World()
    task = asyncio.create_task(made.watch.run())
    await until(lambda: all(chain.in_tree for chain in made.members.values()), "both chains join")
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_network_watch_posts_all_chains_of_a_datum_at_once(world: World) -> None:
    assert world.posts[-1] == datum(1)
    await until(lambda: all(chain.state is NodeState.OK for chain in world.members.values()), "both are healthy")
    assert [chain.target for chain in world.members.values()] == [2**255] * 2
    world.node.number = 2
    await until(lambda: world.posts[-1] == datum(2), "the next datum")
    assert all(set(post) == set(CHAINS) for post in world.posts)
    hashes = [{template.aux_hash for template in post.values() if template} for post in world.posts]
    assert all(len(found) == 1 for found in hashes), "no post has two data"


async def test_network_watch_leaves_out_a_chain_that_a_node_does_not_follow(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "parapool.chain")
    world.node.offered = {"one"}
    await until(lambda: world.posts[-1] == {**datum(1), "two": None}, "it leaves")
    two = world.members["two"]
    assert (two.in_tree, two.target) == (False, None)
    await until(lambda: two.state is NodeState.WRONG_NETWORK, "its own health tells")
    world.node.offered = set(CHAINS)
    await until(lambda: world.posts[-1] == datum(1) and two.in_tree, "it is back")
    told = [record.message.partition(" chain=two")[0] for record in caplog.records if " chain=two" in record.message]
    assert [words for words in told if words.startswith("chain")] == ["chain leaves", "chain joins"]


async def test_network_watch_takes_all_chains_out_when_the_nodes_are_away(world: World) -> None:
    world.node.failure = NodeUnavailableError("refused")
    await until(lambda: world.posts[-1] == {"one": None, "two": None}, "both leave")
    assert not any(chain.in_tree for chain in world.members.values())
    again = network_of(world.members, "net")
    assert not again.in_tree


async def test_network_watch_goes_on_after_a_reload_where_it_was(world: World) -> None:
    again = network_of(world.members, "net")
    assert again.in_tree and again.template_at == world.network.template_at


class Parent:
    async def propose(self, payload: dict[str, str], node: str) -> None:
        return None


async def test_network_jobs_have_all_chains_of_one_datum_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_broadcast, "COALESCE_S", 0.01)
    monkeypatch.setattr(job_broadcast, "AUX_SPACING_S", 0.01)
    kinds = dict.fromkeys(CHAINS, ParallelKind())
    settings = JobSettings(
        parent_kind=BitcoinKind(), kinds=kinds, notify=dict.fromkeys(CHAINS, "new_job"), payout_script=SCRIPT,
        tag=b"/t/", difficulty_of=lambda target: 1.0, propose=Parent().propose,
    )  # fmt: skip
    sent: list[Any] = []
    jobs = JobBroadcast(TemplateBoard(CHAINS), JobTable(), settings, sent.append)
    jobs.post_parent(parent_template())
    for number in range(1, 6):
        jobs.post_together(datum(number))
        jobs.post_parent(parent_template(previous=bytes([number]) * 32))
        await until(lambda: sent and len(sent[-1].templates.aux) == 2, "a job with both")
        await until(lambda number=number: sent[-1].templates.aux["one"] == datum(number)["one"], "the newest datum")
    for job in sent:
        assert len({template.aux_hash for template in job.templates.aux.values()}) <= 1
        if job.templates.aux:
            assert job.commitments.slots["one"] == job.commitments.slots["two"]
    jobs.board.arrange(("one",))
    assert jobs.board.aux("one") is None, "its datum pays a chain that nobody books any more"


def test_network_chains_of_one_datum_are_one_leaf_and_of_two_an_alarm(caplog: pytest.LogCaptureFixture) -> None:
    kinds = dict.fromkeys(CHAINS, ParallelKind())
    both = TemplateSet(parent_template(), MappingProxyType(datum(1)))
    alone = TemplateSet(parent_template(), MappingProxyType({"one": datum(1)["one"]}))
    assert commit(both, kinds).root == commit(alone, kinds).root
    board = TemplateBoard(CHAINS)
    board.post_aux("one", datum(1)["one"])
    assert board.clash("two", datum(1)["two"]) is None
    assert board.clash("two", datum(2)["two"]) == "one"
    assert board.clash("two", datum(2)["two"], besides=("one", "two")) is None
