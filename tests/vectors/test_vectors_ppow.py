"""The consensus-proof vectors: eight proofs mined by a reference through the fields of mining.notify alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chains.parallel.body import block_id, read_block_coinbase, read_body, root_of, serialize_body
from chains.parallel.manifest import Manifest, manifest_of
from chains.parallel.parameters import NetworkParameters
from chains.parallel.proof import InvalidProofError, read_proof, root_coinbase, root_wire
from chains.parallel.tree import ProofTree
from chains.primitives.header import parse_header

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "ppow.json").read_text())
CONTEXTS = {name: bytes.fromhex(context) for name, context in VECTORS["contexts"].items()}
NETWORK = NetworkParameters(
    "vectors", first_bits=int(VECTORS["bits"], 16), half_life_s=None, genesis_hash=bytes.fromhex(VECTORS["genesis_cp"])
)
PROOFS: list[dict[str, Any]] = VECTORS["consensus_proofs"]
NEGATIVE: dict[str, str] = VECTORS["negative"]
IDS = [f"{number}-height-{proof['height']}" for number, proof in enumerate(PROOFS)]


@pytest.mark.parametrize("vector", PROOFS, ids=IDS)
def test_ppow_proof_is_read_and_made_to_the_byte(vector: dict[str, Any]) -> None:
    wire = bytes.fromhex(vector["cp_wire"])
    proof = read_proof(wire, NETWORK)
    assert proof.id.hex() == vector["cp_hash_natural_order"]
    assert proof.commitment.hex() == vector["R"]
    roots = {CONTEXTS[name]: root_of([bytes.fromhex(one) for one in body]) for name, body in vector["bodies"].items()}
    assert sorted(vector["collected"]) == sorted(vector["bodies"])
    manifest = manifest_of(roots)
    assert proof.manifest == manifest
    assert manifest.commitment().hex() == vector["R"]
    assert proof.claims_height(vector["height"])
    assert not proof.claims_height(vector["height"] + 1)
    nonce = bytes.fromhex(vector["extranonce1"] + vector["extranonce2"])
    coinbase = root_coinbase(vector["height"], manifest.commitment(), b"/ppow/", nonce)
    assert coinbase.hex() == vector["notify"][1] + nonce.hex() + vector["notify"][2]
    assert root_wire(parse_header(wire[:80]), coinbase, manifest) == wire


@pytest.mark.parametrize("vector", PROOFS, ids=IDS)
def test_ppow_parallel_blocks_have_their_ids(vector: dict[str, Any]) -> None:
    proof = read_proof(bytes.fromhex(vector["cp_wire"]), NETWORK)
    roots = dict(proof.manifest.roots)
    made = {name: block_id(proof.id, CONTEXTS[name], roots[CONTEXTS[name]]).hex() for name in vector["bodies"]}
    assert made == vector["parallel_block_ids"]
    for body in vector["bodies"].values():
        transactions = tuple(bytes.fromhex(one) for one in body)
        assert read_body(serialize_body(transactions)) == transactions
        assert read_block_coinbase(transactions[0]).serialize() == transactions[0]


def _negatives() -> dict[str, bytes]:
    """The five negative cases, made of the first proof as their names say."""
    wire = bytes.fromhex(PROOFS[0]["cp_wire"])
    proof = read_proof(wire, NETWORK)
    front = wire[: len(wire) - len(proof.manifest.serialize())]
    roots = proof.manifest.roots
    relabelled = (roots[0], roots[1], (bytes((roots[2][0][0],)) + b"\xff" * 31, roots[2][1]))
    unknown = read_proof(bytes.fromhex(PROOFS[1]["cp_wire"]), NETWORK)
    changed = wire.replace(b"/ppow/", b"/pplw/")
    return {
        "entry dropped from the manifest": front + Manifest(roots[:-1]).serialize(),
        "entry relabelled as another chain": front + Manifest(relabelled).serialize(),
        "entry twice": front + Manifest((roots[0], *roots)).serialize(),
        "coinbase changed": changed,
        "unknown prev": unknown.wire,
    }


@pytest.mark.parametrize(("case", "reason"), NEGATIVE.items(), ids=[name.replace(" ", "-") for name in NEGATIVE])
def test_ppow_negative_is_refused_for_its_reason(case: str, reason: str) -> None:
    tree = ProofTree(NETWORK)
    with pytest.raises(InvalidProofError) as refused:
        tree.add(read_proof(_negatives()[case], NETWORK))
    assert refused.value.reason == reason


def test_ppow_more_work_wins_and_a_tie_stays_with_the_first_seen() -> None:
    tree = ProofTree(NETWORK)
    read = [read_proof(bytes.fromhex(vector["cp_wire"]), NETWORK) for vector in PROOFS]
    for proof in read[:4]:
        tree.add(proof)
    assert tree.best.id == read[3].id
    for proof in read[4:7]:
        tree.add(proof)
        assert tree.best.id == read[3].id, "less or equal work changes nothing"
    tree.add(read[7])
    assert tree.best.id == read[7].id
    assert [tree.path[height] for height in (1, 2, 5)] == [read[0].id, read[4].id, read[7].id]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"bits": 0x2000FFFE}, "bad-bits"),
        ({"time": 5}, "time-too-old"),
        ({"script_sig": b"\x02\x01"}, "coinbase-height"),
    ],
)
def test_ppow_proof_out_of_its_place_is_refused(changes: dict[str, Any], reason: str) -> None:
    tree = ProofTree(NETWORK)
    first, second = (read_proof(bytes.fromhex(vector["cp_wire"]), NETWORK) for vector in PROOFS[:2])
    tree.add(first)
    with pytest.raises(InvalidProofError) as refused:
        tree.add(replace(second, **changes))
    assert refused.value.reason == reason
