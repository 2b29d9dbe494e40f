"""Five nodes of B_k in virtual time: they agree, whatever the network and one of them do."""

from __future__ import annotations

import random

import pytest
from support.drawn_votes import Leader

from chains.bk.core import BkCore
from chains.bk.parameters import BkParameters
from chains.peers.virtual import VirtualNetwork
from pool.simulation.bk_miner import read_drawn

PARAMETERS = BkParameters("bk-test", k=4, interval_s=20, subsidy=1003, maturity_blocks=3)


class World:
    """A network with a miner at each node: votes come by chance, leaders propose as soon as they may."""

    def __init__(self, seed: int, nodes: int = 5, loss: float = 0.0, parameters: BkParameters = PARAMETERS) -> None:
        self.network = VirtualNetwork(seed=seed, latency_ms=(20, 300), loss=loss)
        self.chance = random.Random(seed)
        self.parameters = parameters
        self.leaders = [Leader(number, seed) for number in range(nodes)]
        self.mining = set(range(nodes))
        for number in range(nodes):
            self.network.add(lambda number=number: BkCore(parameters, random.Random(number), read_drawn))
        self.network.connect_all()
        for number in range(nodes):
            self._mine_later(number)

    def core(self, number: int) -> BkCore:
        core = self.network.nodes[number].core
        assert isinstance(core, BkCore)
        return core

    def _mine_later(self, number: int) -> None:
        mean_s = self.parameters.interval_s / self.parameters.k * len(self.leaders)
        wait_ms = round(1000 * self.chance.expovariate(1 / mean_s))
        self.network.at(self.network.now_ms + wait_ms, lambda: self._mine(number))

    def _mine(self, number: int) -> None:
        self._mine_later(number)
        if number in self.mining and self.network.nodes[number].alive:
            self.vote(number)

    def vote(self, number: int) -> None:
        core, leader = self.core(number), self.leaders[number]
        drawn = leader.draw(core.chain.graph.best, core.chain.rules, self.network.now_ms // 1000)
        assert self.network.ask(number, "submitvote", *drawn).done
        for one in range(len(self.leaders)):
            self.lead(one)

    def lead(self, number: int) -> None:
        if self.network.nodes[number].alive and number in self.mining:
            offer = self.leaders[number].proposal(self.core(number).chain)
            if offer is not None:
                assert self.network.ask(number, "submitblock", offer).value is None

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.network.run_for(1000)
            for number in range(len(self.leaders)):
                self.lead(number)

    def tips(self) -> set[bytes]:
        return {node.core.chain.graph.best.id for node in self.network.nodes if node.alive}

    def settle(self, seconds: int = 60) -> None:
        """Nobody mines any more; what is known spreads."""
        self.mining.clear()
        self.network.loss = 0.0
        for _ in range(seconds):
            self.network.run_for(1000)
            if len(self.tips()) == 1:
                break
        assert len(self.tips()) == 1, [node.core.chain.height for node in self.network.nodes]
        states = {node.core.chain.accounts.snapshot() for node in self.network.nodes}
        assert len(states) == 1

    def offences(self) -> list[str]:
        return [score.reason for node in self.network.nodes for score in node.offences]


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
