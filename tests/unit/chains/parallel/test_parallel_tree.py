"""The tree of proofs and its difficulty: what bits and times a proof must have, and who is asked for what."""

from __future__ import annotations

from support.consensus_mining import solve

from chains.parallel.manifest import manifest_of
from chains.parallel.parameters import ChainParameters, NetworkParameters
from chains.parallel.proof import InvalidProofError, read_proof
from chains.parallel.tree import ProofTree
from chains.primitives.target import bits_to_target

EMPTY = manifest_of({})
ADJUSTED = NetworkParameters("adjusted", first_bits=0x2000FFFF, interval_s=60, half_life_s=600)


def grow(tree: ProofTree, times: list[int]) -> None:
    for time_s in times:
        bits = tree.next_bits(tree.best)
        wire = solve(tree.best.id, tree.best.height + 1, EMPTY, time_s, bits)
        tree.add(read_proof(wire, tree.parameters))


def test_parallel_bits_keep_to_the_schedule_from_the_first_proof() -> None:
    tree = ProofTree(ADJUSTED)
    grow(tree, [10**9])
    assert tree.next_bits(tree.best) == 0x2000FFFF, "however long after the constants were written down"
    grow(tree, [10**9 + 60 * number for number in range(1, 4)])
    assert tree.next_bits(tree.best) == 0x2000FFFF, "on schedule"
    target = bits_to_target(0x2000FFFF)
    grow(tree, [10**9 + 240 + 600])
    assert bits_to_target(tree.next_bits(tree.best)) == 2 * target, "a half-life behind"


def test_parallel_bits_get_harder_when_proofs_come_fast() -> None:
    tree = ProofTree(ADJUSTED)
    grow(tree, [10**9 + number for number in range(8)])
    assert bits_to_target(tree.next_bits(tree.best)) < bits_to_target(0x2000FFFF) * 63 // 100


def test_parallel_time_follows_the_median_of_eleven() -> None:
    tree = ProofTree(NetworkParameters("still", first_bits=0x207FFFFF, half_life_s=None))
    assert tree.least_time_s(tree.best) == 0
    grow(tree, list(range(1000, 1011)))
    assert tree.least_time_s(tree.best) == 1006
    try:
        grow(tree, [1005])
    except InvalidProofError as error:
        assert error.reason == "time-too-old"
    else:
        raise AssertionError("a time before the median")
    grow(tree, [1006])


def test_parallel_locator_names_the_tip_and_reaches_genesis() -> None:
    tree = ProofTree(NetworkParameters("still", first_bits=0x207FFFFF, half_life_s=None))
    grow(tree, list(range(1, 201)))
    locator = tree.locator(None, 64)
    assert locator[:3] == [tree.path[200], tree.path[200], tree.path[199]]
    assert locator[-1] == tree.genesis.id
    assert len(locator) < 24
    assert len(list(tree.wires_after([b"\x01" * 32, tree.path[190]]))) == 10
    assert len(list(tree.wires_after([]))) == 200


def test_parallel_network_and_chain_ids_name_every_rule() -> None:
    networks = [
        NetworkParameters("one"),
        NetworkParameters("two"),
        NetworkParameters("one", interval_s=61),
        NetworkParameters("one", half_life_s=None),
        NetworkParameters("one", first_bits=0x1C00FFFF),
        NetworkParameters("one", easiest_bits=0x1D00FFFF),
    ]
    assert len({network.id for network in networks}) == len(networks)
    chains = [
        ChainParameters("c", "context", 50),
        ChainParameters("c", "other context", 50),
        ChainParameters("c", "context", 51),
        ChainParameters("c", "context", 50, maturity_blocks=7),
        ChainParameters("c", "context", 50, halving_blocks=7),
        ChainParameters("c", "context", 50, start=bytes(32)),
    ]
    ids = {chain.id_on(network) for chain in chains for network in networks[:2]}
    assert len(ids) == 2 * len(chains)


def test_parallel_subsidy_halves() -> None:
    chain = ChainParameters("c", "context", 50, halving_blocks=10)
    assert [chain.subsidy_at(height) for height in (1, 10, 11, 21, 61, 10_000)] == [50, 50, 25, 12, 0, 0]
