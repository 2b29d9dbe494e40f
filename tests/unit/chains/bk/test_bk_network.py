"""Five nodes of B_k in virtual time: they agree, whatever the network and one of them do."""

from __future__ import annotations

import random

import pytest
from support.drawn_votes import Leader

from chains.bk.core import BkCore
from chains.bk.messages import Offer
from chains.bk.parameters import BkParameters
from chains.bk.serving import answered
from chains.peers.core import Asked, Started
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
        reply = self.network.ask(number, "submitvote", *drawn)
        assert reply.done or not self.network.nodes[number].alive
        for one in range(len(self.leaders)):
            self.lead(one)

    def lead(self, number: int) -> None:
        if self.network.nodes[number].alive and number in self.mining:
            offer = self.leaders[number].proposal(self.core(number).chain)
            if offer is not None:
                reply = self.network.ask(number, "submitblock", offer)
                assert reply.value is None, reply.value

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


class Equivocator:
    """Owner of half the hash rate who signs several blocks with one leader vote and shows each to another node."""

    def __init__(self, world: World, number: int) -> None:
        self.world, self.leader = world, Leader(90 + number, 9)
        self.doors = [world.network.stranger(node, bytes([90 + number, node]).ljust(32, b"\x01")) for node in range(5)]

    def act(self) -> None:
        """A block's worth of votes for what node 0 prefers, released in as many versions as there are nodes."""
        chain = self.world.core(0).chain
        best, k = chain.graph.best, chain.rules.k
        votes = [self.leader.vote(chain, best, self.world.network.now_ms // 1000) for _ in range(k + 4)]
        votes.sort(key=lambda vote: vote.size)
        for node, door in enumerate(self.doors):
            if door.closed:
                continue
            chosen = (*votes[: k - 1], votes[k - 1 + node % 5])
            offer = self.leader.signed(best, chosen, chain.build(bytes(32)), chain.rules)
            wires = tuple(vote.serialize() for vote in chosen)
            door.send("block", Offer(offer.block, offer.body_size, offer.body, wires).serialize())


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
    chain = world.core(0).chain
    paid: dict[bytes, int] = {}
    for height in range(1, chain.height + 1):
        block = chain.block_at(height)
        for vote, amount in zip(block.included(), chain.amounts(block), strict=True):
            paid[vote.datum.script] = paid.get(vote.datum.script, 0) + amount
            place = chain.place_of(vote.id)
            assert place is not None and place.block is block and place.amount == amount
    for leader in world.leaders:
        account = chain.accounts.account(leader.script)
        assert account.balance + chain.accounts.immature(leader.script) == paid.get(leader.script, 0)
    assert sum(paid.values()) == chain.height * world.parameters.subsidy == chain.accounts.issued


@pytest.mark.parametrize("seed", range(100, 104))
def test_bk_network_agrees_after_anything(seed: int) -> None:
    """Loss, partitions, crashes between two effects and equivocations, as the seed has it; healed, all agree."""
    chance = random.Random(seed)
    k, interval_s = chance.choice([1, 2, 4, 8]), chance.choice([5, 20, 60])
    parameters = BkParameters("bk-anything", k=k, interval_s=interval_s, subsidy=1003, maturity_blocks=3)
    world = World(seed, loss=chance.choice([0.0, 0.1, 0.2, 0.3]), parameters=parameters)
    network, evil = world.network, Equivocator(world, 1)
    for _ in range(12):
        world.run(chance.randrange(5, 40))
        match chance.choice(["part", "heal", "crash", "restart", "evil", "nothing"]):
            case "part":
                nodes = chance.sample(range(5), 5)
                cut = chance.randrange(1, 4)
                network.partition([nodes[:cut], nodes[cut:]])
            case "heal":
                network.heal()
            case "crash":
                network.crash(chance.randrange(5), after_effects=chance.choice([0, 1, 2, 3, 7]))
            case "restart":
                for node in [node for node in network.nodes if not node.alive]:
                    network.restart(node.index)
            case "evil" if network.nodes[0].alive:
                evil.act()
    network.heal()
    for node in network.nodes:
        node.effects_left = None
        if not node.alive:
            network.restart(node.index)
    world.run(100)
    world.settle(120)
