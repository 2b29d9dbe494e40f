"""Every entry of mm2.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chains.mm2_proof import hash_link
from chains.mm2_proof.hash_link import HashLink
from chains.mm2_proof.proof import Proof, build_proof, parse, serialize, verify, verify_wire
from chains.mm2_proof.tree import DuplicateContextError, MerkleLink, build_tree, context_of, leaf_of, path_bits
from chains.primitives.hashes import displayed, sha256d
from chains.primitives.header import parse_header
from chains.primitives.merkle import coinbase_branch, merkle_root
from chains.primitives.transaction import parse_transaction
from pool.verify import verify_file

VECTORS = json.loads((Path(__file__).parent / "mm2.json").read_text())
CHAINS = [(v, c) for v in VECTORS["positive"] for c in v["chains"]]
CHAIN_IDS = [f"{v['name'].split()[0]}-{c['name']}" for v, c in CHAINS]
NEGATIVE = [v for v in VECTORS["negative"] if "verify" in v]
unhex = bytes.fromhex


@pytest.mark.parametrize("name", VECTORS["contexts"])
def test_mm2_vector_context(name: str) -> None:
    expected = VECTORS["contexts"][name]
    context = context_of(name)
    assert context.hex() == expected["context_natural"]
    assert displayed(context) == expected["displayed_as_uint256"]
    assert path_bits(context)[:16] == expected["bits_A"]


@pytest.mark.parametrize("vector", VECTORS["positive"], ids=lambda v: v["name"].split()[0])
def test_mm2_vector_parent(vector: dict[str, Any]) -> None:
    """Root, coinbase, branch and header of the parent."""
    tree = build_tree({unhex(c["context"]): sha256d(unhex(c["aux_datum"])) for c in vector["chains"]})
    assert tree.root.hex() == vector["mm2_root"]
    coinbase = unhex(vector["coinbase_stripped"])
    assert len(coinbase) == vector["coinbase_len"]
    assert coinbase.hex() == "".join(vector["stratum"].values())
    transaction = parse_transaction(coinbase)
    assert transaction.txid.hex() == vector["txid_natural_order"]
    assert transaction.outputs[-1].script.hex() == vector["script_pubkey"]
    others = [unhex(t) for t in vector["other_txids_natural_order"]]
    assert merkle_root([transaction.txid, *others]).hex() == vector["merkle_root_natural_order"]
    header = parse_header(unhex(vector["parent_header"]))
    assert header.merkle_root.hex() == vector["merkle_root_natural_order"]
    assert header.hash.hex() == vector["parent_hash_natural_order"]
    for chain in vector["chains"]:
        assert coinbase_branch(others) == tuple(unhex(s) for s in chain["parent_branch"])


@pytest.mark.parametrize(("vector", "chain"), CHAINS, ids=CHAIN_IDS)
def test_mm2_vector_proof(vector: dict[str, Any], chain: dict[str, Any], tmp_path: Path) -> None:
    context, aux_hash = unhex(chain["context"]), unhex(chain["aux_hash"])
    assert aux_hash == sha256d(unhex(chain["aux_datum"]))
    assert leaf_of(aux_hash).hex() == chain["leaf"]
    tree = build_tree([(unhex(c["context"]), unhex(c["aux_hash"])) for c in vector["chains"]])
    link = tree.links[context]
    assert link == MerkleLink(chain["sides_root_first"], tuple(unhex(s) for s in chain["branch_leaf_first"]))
    assert int(link.sides or "0", 2) == chain["p2pool_index"]
    coinbase = unhex(vector["coinbase_stripped"])
    expected = chain["hash_link"]
    assert hash_link.link_of(coinbase[:-44]) == HashLink(
        unhex(expected["state"]), expected["length"], unhex(expected["extra"])
    )
    others = coinbase_branch([unhex(t) for t in vector["other_txids_natural_order"]])
    proof = build_proof(unhex(vector["parent_header"]), coinbase, others, link, aux_hash)
    assert proof.header_without_root.hex() == chain["header_without_root"]
    wire = serialize(proof)
    assert wire.hex() == chain["proof_wire_r10"]
    assert parse(wire, context, aux_hash) == proof
    target = int(vector["target"], 16)
    assert verify(proof, context, target) == chain["verify"] == "ok"
    assert verify_wire(wire, aux_hash, context, target) == "ok"
    # equality meets the target, one less does not (N11)
    reached = int.from_bytes(unhex(vector["parent_hash_natural_order"]), "little")
    assert verify(proof, context, reached) == "ok"
    assert verify(proof, context, reached - 1) == "high-hash"
    file = tmp_path / "proof.json"
    question = {"context": chain["context"], "target": vector["target"], "wire": chain["proof_wire_r10"]}
    file.write_text(json.dumps(question | {"aux_hash": chain["aux_hash"]}))
    assert verify_file("mm2", file) == (0, "ok")


@pytest.mark.parametrize("vector", NEGATIVE, ids=lambda v: v["name"].split()[0])
def test_mm2_vector_refused(vector: dict[str, Any], tmp_path: Path) -> None:
    fields = vector["proof"]
    link = fields["hash_link"]
    proof = Proof(
        header_without_root=unhex(fields["header_without_root"]),
        parent_sides=fields["parent_sides"],
        parent_branch=tuple(unhex(s) for s in fields["parent_branch"]),
        hash_link=HashLink(unhex(link["state"]), link["length"], unhex(link["extra"])),
        sides=fields["sides"],
        branch=tuple(unhex(s) for s in fields["branch"]),
        aux_hash=unhex(fields["aux_hash"]),
        last_txout_nonce=unhex(fields["last_txout_nonce"]),
    )
    assert verify(proof, unhex(vector["context"]), int(vector["target"], 16)) == vector["verify"]
    file = tmp_path / "proof.json"
    file.write_text(json.dumps(vector))
    assert verify_file("mm2", file) == (1, vector["verify"])


@pytest.mark.parametrize(
    "vector", [v for v in VECTORS["negative"] if "build_error" in v], ids=lambda v: v["name"].split()[0]
)
def test_mm2_vector_build_refused(vector: dict[str, Any]) -> None:
    assert vector["build_error"] == "duplicate-context"
    with pytest.raises(DuplicateContextError, match=vector["context"]):
        build_tree([(unhex(vector["context"]), bytes(32)), (unhex(vector["context"]), bytes(31) + b"\1")])
