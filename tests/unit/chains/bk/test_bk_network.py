"""Five nodes of B_k in virtual time: they agree, whatever the network and one of them do."""

from __future__ import annotations

import random

import pytest
from support.bk_network import PARAMETERS, Equivocator, World, check_money, run_anything
from support.drawn_votes import Leader

from chains.bk.core import BkCore
from chains.bk.parameters import BkParameters
from chains.bk.serving import answered
from chains.peers.core import Asked, Started
from pool.simulation.bk_miner import read_drawn


def test_bk_network_agrees() -> None:
    world = World(1)
    world.run(400)
    world.settle()
    assert 12 < world.core(0).chain.height < 28
    assert not world.offences()
    height = world.core(0).chain.height
    assert world.core(0).chain.accounts.issued == height * PARAMETERS.subsidy


@pytest.mark.parametrize("seed", range(3))
def test_bk_network_agrees_under_loss_crashes_and_partitions(seed: int) -> None:
    world = World(seed, loss=0.2)
    world.run(60)
    world.network.partition([[0, 1], [2, 3, 4]])
    world.run(120)
    world.network.crash(3)
    world.network.crash(1, after_effects=5)
    world.run(60)
    for number in (1, 3):
        if not world.network.nodes[number].alive:
            world.network.restart(number)
    world.network.heal()
    world.run(120)
    world.settle()
    assert world.core(0).chain.height > 8
    assert not [node.index for node in world.network.nodes if node.scores.is_banned([], 0)]


def test_bk_network_latecomer_catches_up_with_a_long_chain() -> None:
    world = World(3, nodes=2, parameters=BkParameters("bk-long", k=1, interval_s=2, subsidy=10, maturity_blocks=3))
    world.run(1300)
    assert world.core(0).chain.height > 550, "more than one list of ids"
    world.mining.clear()
    world.network.add(lambda: BkCore(world.parameters, random.Random(9), read_drawn))
    world.network.connect(0, 2)
    world.network.run_until(lambda: len(world.tips()) == 1, 60_000)
    assert world.core(2).chain.accounts.snapshot() == world.core(0).chain.accounts.snapshot()
    assert not world.offences()


def test_bk_network_agrees_although_a_leader_equivocates() -> None:
    world = World(5, loss=0.1)
    evil = Equivocator(world, 1)
    for _ in range(10):
        world.run(15)
        evil.act()
    world.run(60)
    world.settle()
    graph = world.core(0).chain.graph
    signed = {(b.header.previous, b.leader): 0 for b in graph.blocks.values()}
    for block in graph.blocks.values():
        signed[block.header.previous, block.leader] += 1
    assert max(signed.values()) >= 2, "it did equivocate"
    assert world.core(0).chain.height > 8


def test_bk_network_agrees_although_blocks_are_withheld_and_released_late() -> None:
    """A miner with a third of the votes keeps a fork of its own to itself, then shows all of it at once."""
    world = World(6)
    withheld = BkCore(world.parameters, random.Random(66), read_drawn)
    list(withheld.on(world.network.now_ms, Started({})))
    leader = Leader(80, 8)
    for _ in range(6):  # quicker than the others for a while
        for _ in range(world.parameters.k):
            now_ms, chain = world.network.now_ms, withheld.chain
            drawn = leader.draw(chain.graph.best, chain.rules, now_ms // 1000)
            list(withheld.on(now_ms, Asked("submitvote", 1, drawn)))
        offer = leader.proposal(withheld.chain)
        assert offer is not None
        list(withheld.on(world.network.now_ms, Asked("submitblock", 1, (offer,))))
    world.run(70)
    before = world.core(0).chain.height
    assert 1 <= before < 6
    door = world.network.stranger(2, b"\x80" * 32)
    for height in range(1, 7):
        door.send("block", answered(withheld.chain.block_at(height)).serialize())
    world.run(10)
    for number in range(5):
        chain = world.core(number).chain
        assert chain.block_at(6).id == withheld.chain.block_at(6).id, "more work wins, whoever made it"
        issued = chain.height * world.parameters.subsidy
        assert chain.accounts.issued == issued, "rewards of the losing blocks are gone"
    world.run(60)
    world.settle()
    assert not world.offences()


def test_bk_network_forks_of_many_blocks_come_together() -> None:
    """Longer than what waits, and than what is walked back block by block."""
    parameters = BkParameters("bk-forks", k=1, interval_s=2, subsidy=10, maturity_blocks=3)
    world = World(9, nodes=4, parameters=parameters)
    world.network.partition([[0, 1], [2, 3]])
    world.run(300)
    heights = [world.core(number).chain.height for number in range(4)]
    assert min(heights) > 50
    world.network.heal()
    world.run(10)
    world.settle()
    assert not [reason for reason in world.offences() if reason != "vote-deep"]


def test_bk_network_votes_are_paid_once_and_to_the_unit_through_reorganisations() -> None:
    world = World(8, loss=0.2)
    world.run(60)
    world.network.partition([[0, 1], [2, 3, 4]])
    world.run(150)
    world.network.heal()
    world.run(60)
    world.settle()
    check_money(world.core(0).chain, world.leaders)


@pytest.mark.parametrize("seed", range(100, 104))
def test_bk_network_agrees_after_anything(seed: int) -> None:
    """Loss, partitions, crashes between two effects and equivocations, as the seed has it; healed, all agree."""
    assert run_anything(seed)["heights"] > 0
