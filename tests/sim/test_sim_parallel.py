"""Five nodes of a consensus-proof network in virtual time: loss, partitions, crashes, a miner who hides bodies.

The cores are those of the process. Whatever happens, once the network is whole and quiet all followers of a chain
believe the same of it, and every coin is in exactly one account.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from support.consensus_mining import solve, solved

from chains.parallel import messages as wire
from chains.parallel.body import BlockCoinbase, root_of, serialize_body
from chains.parallel.calls import READS
from chains.parallel.core import ParallelCore
from chains.parallel.manifest import manifest_of
from chains.parallel.messages import ProofMessage
from chains.parallel.parameters import ChainParameters, NetworkParameters
from chains.peers.virtual import VirtualNetwork
from chains.primitives.hashes import sha256d

NETWORK = NetworkParameters("simulated", first_bits=0x207FFFFF, half_life_s=None)
CHAINS = [
    ChainParameters(name, f"parallel {name}", subsidy=5000, maturity_blocks=3, hrp=f"p{name}", fee_rate=0)
    for name in "abc"
]
FOLLOWS = [CHAINS, CHAINS, CHAINS[:1], CHAINS[1:], CHAINS]
"""Which chains each of the five nodes follows."""


def script(number: int) -> bytes:
    return b"\x00\x14" + bytes((number,)) * 20


class World:
    """The network, and miners on it at random."""

    def __init__(self, seed: int, loss: float) -> None:
        self.random = random.Random(seed)
        self.network = VirtualNetwork(seed=seed, latency_ms=(20, 400), loss=loss)
        for number, chains in enumerate(FOLLOWS):
            self.network.add(lambda number=number, chains=chains: ParallelCore(NETWORK, chains, random.Random(number)))
        self.network.connect_all()
        self.mined = 0

    def core(self, index: int) -> ParallelCore:
        core = self.network.nodes[index].core
        assert isinstance(core, ParallelCore)
        return core

    def alive(self) -> list[int]:
        return [node.index for node in self.network.nodes if node.alive]

    def mine(self, index: int) -> None:
        """A proof by one node, with a body of some of the chains that it follows."""
        core = self.core(index)
        names = [chain.name for chain in FOLLOWS[index] if self.random.random() < 0.8]
        offer = READS["getconsensustemplate"](core, {name: script(index + 1).hex() for name in names})
        self.mined += 1
        proof, bodies = solved(offer, self.mined)
        reply = self.network.ask(index, "submitconsensusproof", proof.hex(), bodies)
        assert not self.network.nodes[index].alive or reply.done

    def mine_for(self, duration_ms: int, every_ms: int = 4_000) -> None:
        until = self.network.now_ms + duration_ms
        while self.network.now_ms < until:
            self.network.run_for(max(1, int(self.random.expovariate(1 / every_ms))))
            if self.alive():
                self.mine(self.random.choice(self.alive()))

    def agreed(self) -> bool:
        if len(self.alive()) != len(FOLLOWS) or len({self.core(index).tree.best.id for index in self.alive()}) != 1:
            return False
        return all(len(set(beliefs.values())) == 1 for beliefs in self.beliefs().values())

    def beliefs(self) -> dict[str, dict[int, tuple[object, ...]]]:
        """By chain, what each follower believes of it."""
        found: dict[str, dict[int, tuple[object, ...]]] = {}
        for index in self.alive():
            for chain in self.core(index).chains.values():
                state = (chain.state.tip, *chain.accounts.snapshot())
                found.setdefault(chain.parameters.name, {})[index] = state
        return found

    def settle(self) -> None:
        """Heal everything, let one proof break any tie, and wait for agreement."""
        self.network.loss = 0.0
        self.network.heal()
        for node in self.network.nodes:
            if not node.alive:
                self.network.restart(node.index)
        self.network.run_for(60_000)
        self.mine(0)
        self.network.run_until(self.agreed, limit_ms=600_000)

    def check_sums(self) -> None:
        for index in self.alive():
            for chain in self.core(index).chains.values():
                accounts = chain.accounts
                held = sum(accounts.account(script(n)).balance + accounts.immature(script(n)) for n in range(1, 10))
                assert held == accounts.issued == 5000 * chain.state.height
                paid = sum(facts.amount for facts in chain.state.blocks)
                assert paid == accounts.issued, "blocks pay, voids and gaps do not"

    def honest(self) -> bool:
        """Nobody scored anybody, and nobody was over a rate."""
        return not any(node.offences or node.over_rate for node in self.network.nodes)


@pytest.mark.parametrize("seed", [1, 2])
def test_sim_parallel_nodes_agree_under_loss(seed: int) -> None:
    world = World(seed, loss=0.2)
    world.mine_for(240_000)
    world.settle()
    assert world.core(0).tree.best.height > 20
    assert world.honest()
    world.check_sums()


@pytest.mark.parametrize("seed", [3, 4])
def test_sim_parallel_partitions_and_crashes_heal(seed: int) -> None:
    world = World(seed, loss=0.1)
    world.mine_for(60_000)
    world.network.partition([[0, 1], [2, 3, 4]])
    world.mine_for(60_000)
    assert len({world.core(index).tree.best.id for index in range(5)}) > 1
    world.network.heal()
    world.network.crash(1, after_effects=7)
    world.network.crash(4)
    world.mine_for(60_000)
    for index in (1, 4):
        if not world.network.nodes[index].alive:
            world.network.restart(index)
    world.mine_for(60_000)
    world.settle()
    assert world.honest()
    world.check_sums()


@pytest.mark.parametrize("seed", [8, 9])
def test_sim_parallel_nodes_agree_whatever_happened(seed: int) -> None:
    """A quarter of an hour of partitions and crashes as they come, at a loss of a fifth."""
    world = World(seed, loss=0.2)
    chance, network = world.random, world.network
    until_ms = network.now_ms + 900_000
    while network.now_ms < until_ms:
        what = chance.choice(["nothing", "partition", "crash", "two crashes"])
        if what == "partition":
            order = chance.sample(range(5), 5)
            cut = chance.randint(1, 4)
            network.partition([order[:cut], order[cut:]])
        elif what != "nothing":
            for index in chance.sample(range(5), 1 + (what == "two crashes")):
                network.crash(index, after_effects=chance.choice([0, 3, 11]))
        world.mine_for(chance.randint(20_000, 120_000))
        network.heal()
        for node in network.nodes:
            node.effects_left = None
            if not node.alive:
                network.restart(node.index)
        world.mine_for(chance.randint(5_000, 30_000))
    world.settle()
    assert world.mined > 150
    assert world.honest()
    world.check_sums()


def hide(world: World, parent: bytes, height: int, body: tuple[bytes, ...], salt: int) -> bytes:
    """A proof whose body of chain a its miner keeps to himself."""
    context = CHAINS[0].context
    manifest = manifest_of({context: root_of(body)}) if body else manifest_of({})
    return solve(parent, height, manifest, world.network.now_ms // 1000 + height, salt=salt)


def test_sim_parallel_hidden_body_stalls_nobody_for_long_and_may_come_late() -> None:
    world = World(5, loss=0.0)
    world.mine_for(60_000)
    world.settle()
    tip = world.core(0).tree.best
    chain = world.core(0).chains[CHAINS[0].context]
    body = (BlockCoinbase(chain.state.tip, chain.state.height + 1, script(9)).serialize(),)
    strangers = [world.network.stranger(index, bytes(31) + b"\xee") for index in range(5)]
    parent, proofs = tip.id, []
    for number in range(8):
        proof = hide(world, parent, tip.height + 1 + number, body if number == 0 else (), 10_000 + number)
        proofs.append(proof)
        parent = sha256d(proof[:80])
    for proof in proofs[:6]:
        for stranger in strangers:
            stranger.send(wire.PROOF, ProofMessage(proof, ()).encode())
        world.network.run_for(2_000)
    heights = [world.core(index).tree.best.height for index in range(5)]
    assert heights == [tip.height, tip.height, tip.height, tip.height + 6, tip.height], "node 3 does not follow a"
    for proof in proofs[6:]:
        strangers[3].send(wire.PROOF, ProofMessage(proof, ()).encode())
        world.network.run_for(8_000)
    world.network.run_until(world.agreed, limit_ms=120_000)
    assert world.core(0).tree.best.height == tip.height + 8
    assert told(world, 0, proofs[0])["reason"] == "body-missing"
    world.mine_for(30_000)
    root = root_of(body)
    for _ in range(200):  # whoever asks is told at last
        for stranger in strangers:
            wanted = [payload for name, payload in stranger.received if name == wire.GET_BODIES]
            stranger.received.clear()
            if any(root in payload for payload in wanted):
                stranger.send(wire.BODY, root + serialize_body(body))
        world.network.run_for(2_000)
    world.settle()
    assert told(world, 0, proofs[0])["state"] == told(world, 4, proofs[0])["state"] == "block"
    world.check_sums()


def told(world: World, index: int, proof: bytes) -> dict[str, Any]:
    name = sha256d(proof[:80])[::-1].hex()
    answer: dict[str, Any] = READS["getparallelblockstatus"](world.core(index), "a", name)
    return answer


def test_sim_parallel_node_joins_and_leaves_chains_at_a_restart() -> None:
    world = World(7, loss=0.1)
    world.mine_for(90_000)
    world.network.crash(2)
    world.network.crash(4)
    for index, chains in ((2, CHAINS), (4, CHAINS[:1])):
        node = world.network.nodes[index]
        node.make_core = lambda index=index, chains=chains: ParallelCore(NETWORK, chains, random.Random(index))
        world.network.restart(index)
    world.settle()
    assert sorted(world.beliefs()["c"]) == [0, 1, 2, 3], "2 has joined b and c, 4 has left them"
    assert world.honest()
    world.check_sums()


def test_sim_parallel_body_passes_through_nodes_that_do_not_follow_its_chain() -> None:
    world = World(10, loss=0.0)
    for index in range(5):
        for other in range(index + 2, 5):
            world.network.disconnect(index, other)  # a line is left: what 4 knows of b, 0 gets through 2, which is of a
    world.network.run_for(5_000)
    for _ in range(20):
        world.mine(4)
        world.network.run_for(5_000)
    assert world.agreed()
    assert world.core(0).chains[CHAINS[1].context].state.height > 5
    assert not [note for node in world.network.nodes for note in node.notes if note.event != "node started"]
    assert world.honest()


def test_sim_parallel_late_joiner_syncs_from_nothing() -> None:
    world = World(6, loss=0.0)
    world.network.disconnect(0, 4)
    for index in range(1, 4):
        world.network.disconnect(index, 4)
    for _ in range(300):
        world.network.run_for(1_000)
        world.mine(world.random.choice([0, 1]))
    for index in range(4):
        world.network.connect(index, 4)
    world.settle()
    assert world.core(4).tree.best.height > 250
    assert world.honest(), "a sync floods nobody"
    told_of = {note.event for note in world.network.nodes[4].notes}
    assert told_of <= {"node started"}, "nothing is a void only because its body is on its way, and nothing is undone"
    world.check_sums()
