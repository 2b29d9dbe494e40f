"""Five cores of B_k in virtual time, each with a miner, and what may befall them; one seed decides everything."""

from __future__ import annotations

import random
from collections import Counter

from chains.bk.chain import BkChain
from chains.bk.core import BkCore
from chains.bk.messages import Offer
from chains.bk.parameters import BkParameters
from chains.peers.virtual import VirtualNetwork
from pool.simulation.bk_miner import read_drawn
from support.drawn_votes import Leader

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


def check_money(chain: BkChain, leaders: list[Leader]) -> None:
    """What votes say they earn is what the accounts have, to the unit, and together it is what was issued."""
    paid: dict[bytes, int] = {}
    for height in range(1, chain.height + 1):
        block = chain.block_at(height)
        for vote, amount in zip(block.included(), chain.amounts(block), strict=True):
            paid[vote.datum.script] = paid.get(vote.datum.script, 0) + amount
            place = chain.place_of(vote.id)
            assert place is not None and place.block is block and place.amount == amount
    for leader in leaders:
        account = chain.accounts.account(leader.script)
        assert account.balance + chain.accounts.immature(leader.script) == paid.get(leader.script, 0)
    assert sum(paid.values()) == chain.height * chain.parameters.subsidy == chain.accounts.issued


def run_anything(seed: int) -> Counter[str]:
    """Loss, partitions, crashes between two effects and equivocations, as the seed has it. Healed, all agree, and the
    money is right; how often what happened."""
    chance = random.Random(seed)
    k, interval_s = chance.choice([1, 2, 4, 8]), chance.choice([5, 20, 60])
    parameters = BkParameters("bk-anything", k=k, interval_s=interval_s, subsidy=1003, maturity_blocks=3)
    world = World(seed, loss=chance.choice([0.0, 0.1, 0.2, 0.3]), parameters=parameters)
    network, evil = world.network, Equivocator(world, 1)
    counts: Counter[str] = Counter()
    for _ in range(12):
        world.run(chance.randrange(5, 40))
        what = chance.choice(["partition", "heal", "crash", "restart", "equivocation", "nothing"])
        counts[what] += 1
        if what == "partition":
            nodes = chance.sample(range(5), 5)
            cut = chance.randrange(1, 4)
            network.partition([nodes[:cut], nodes[cut:]])
        elif what == "heal":
            network.heal()
        elif what == "crash":
            network.crash(chance.randrange(5), after_effects=chance.choice([0, 1, 2, 3, 7]))
        elif what == "restart":
            for node in [node for node in network.nodes if not node.alive]:
                network.restart(node.index)
        elif what == "equivocation" and network.nodes[0].alive:
            evil.act()
    network.heal()
    for node in network.nodes:
        node.effects_left = None
        if not node.alive:
            network.restart(node.index)
    world.run(100)
    world.settle(120)
    check_money(world.core(0).chain, [*world.leaders, evil.leader])
    counts["heights"] = world.core(0).chain.height
    return counts
