"""What the books are told of a chain: the best sight of all its usable nodes, and no conclusion from silence."""

from __future__ import annotations

import asyncio

import pytest

from chains.families import network
from chains.kind import BlockIncome, BlockStatus, NodeState
from chains.node_rpc import NodeUnavailableError, RpcError
from pool.services import chain_view
from pool.services.chain_view import ChainNodesView
from pool.services.chain_watch import NodeHealth, WatchedChain

AWAY = NodeUnavailableError("no answer")
ON_CHAIN = BlockStatus(True, 3, 10)
BESIDE = BlockStatus(True, -1, 10)
UNKNOWN = BlockStatus(False)


class Node:
    def __init__(self, status=UNKNOWN, reward=5) -> None:
        self.name = "n"
        self.status = status
        self.reward = reward

    async def block_status(self, hash_hex):
        if isinstance(self.status, Exception):
            raise self.status
        return self.status

    async def block_reward(self, hash_hex):
        if isinstance(self.reward, Exception):
            raise self.reward
        return self.reward


def view(*nodes: Node, states: tuple[NodeState, ...] = (), heights: tuple[int, ...] = ()) -> ChainNodesView:
    chain = WatchedChain("regbtc", "bitcoin", network("bitcoin", "regtest"), list(nodes), b"", 60.0)
    for index in range(len(nodes)):
        state = states[index] if states else NodeState.OK
        chain.set_health(index, NodeHealth(state, heights[index] if heights else 100))
    return ChainNodesView(chain)


@pytest.mark.parametrize(
    ("statuses", "seen"),
    [
        ((UNKNOWN, ON_CHAIN), ON_CHAIN),
        ((BESIDE, ON_CHAIN), ON_CHAIN),
        ((ON_CHAIN, AWAY), ON_CHAIN),
        ((AWAY, ON_CHAIN), ON_CHAIN),
        ((RpcError(-1, "odd"), ON_CHAIN), ON_CHAIN),
        ((UNKNOWN, BESIDE), BESIDE),
        ((BESIDE, UNKNOWN), BESIDE),
        ((UNKNOWN, UNKNOWN), UNKNOWN),
    ],
)
async def test_view_of_a_block_is_that_of_the_node_that_knows_most(statuses, seen):
    assert await view(*map(Node, statuses)).block_status("00") == seen


@pytest.mark.parametrize("statuses", [(UNKNOWN, AWAY), (AWAY, BESIDE), (AWAY,), (RpcError(-1, "odd"), UNKNOWN)])
async def test_view_takes_no_block_for_an_orphan_while_a_usable_node_is_silent(statuses):
    """The silent node may be the one that is ahead and has the block."""
    with pytest.raises(NodeUnavailableError, match=r"no answer|odd"):
        await view(*map(Node, statuses)).block_status("00")


async def test_view_asks_only_usable_nodes():
    states = (NodeState.SYNCING, NodeState.OK, NodeState.DOWN)
    shown = view(Node(UNKNOWN), Node(ON_CHAIN), Node(AWAY), states=states, heights=(500, 90, 700))
    assert await shown.block_status("00") == ON_CHAIN and shown.tip_height == 90 and shown.synced
    nothing = view(Node(ON_CHAIN), states=(NodeState.SYNCING,))
    assert not nothing.synced and nothing.tip_height is None
    with pytest.raises(NodeUnavailableError, match="no usable node of regbtc"):
        await nothing.block_status("00")


async def test_view_knows_a_chain_at_height_zero():
    assert view(Node(), heights=(0,)).tip_height == 0


@pytest.mark.parametrize(
    "nodes",
    [
        (Node(ON_CHAIN, 7),),
        (Node(AWAY), Node(ON_CHAIN, 7)),
        (Node(BESIDE, 1), Node(UNKNOWN, 2), Node(ON_CHAIN, 7)),
        (Node(ON_CHAIN, AWAY), Node(ON_CHAIN, 7)),
    ],
)
async def test_view_reads_the_reward_from_a_node_that_has_the_block_on_its_chain(nodes):
    assert await view(*nodes).block_reward("00") == 7


@pytest.mark.parametrize(
    ("nodes", "words"),
    [((Node(BESIDE),), "no usable node of regbtc has block 00"), ((Node(ON_CHAIN, AWAY), Node(UNKNOWN)), "no answer")],
)
async def test_view_has_no_reward_of_a_block_that_nobody_shows(nodes, words):
    with pytest.raises(NodeUnavailableError, match=words):
        await view(*nodes).block_reward("00")


class HangingNode(Node):
    async def block_status(self, hash_hex):
        await asyncio.sleep(60)


async def test_view_does_not_wait_for_a_hanging_node_when_another_knows(monkeypatch):
    monkeypatch.setattr(chain_view, "ANSWER_S", 0.02)
    nodes = view(HangingNode(), Node(ON_CHAIN))
    assert await nodes.block_status("00") == ON_CHAIN
    assert await nodes.block_reward("00") == 5
    with pytest.raises(NodeUnavailableError, match="no answer within"):  # the one that is silent may be ahead
        await view(HangingNode(), Node(UNKNOWN)).block_status("00")


class VoteNode(Node):
    def __init__(self, income) -> None:
        super().__init__()
        self.income = income

    async def income_at(self, height):
        if isinstance(self.income, Exception):
            raise self.income
        return self.income


async def test_view_reads_a_blocks_votes_from_a_node_that_answers():
    income = BlockIncome("11" * 32, 7, ())
    assert await view(VoteNode(AWAY), VoteNode(income)).income_at(7) == income
    assert await view(VoteNode(None), VoteNode(income)).income_at(7) is None
    with pytest.raises(NodeUnavailableError, match="no answer"):
        await view(VoteNode(AWAY)).income_at(7)
    with pytest.raises(NodeUnavailableError, match="no usable node of regbtc"):
        await view(VoteNode(income), states=(NodeState.DOWN,)).income_at(7)
    assert not view(Node()).votes
