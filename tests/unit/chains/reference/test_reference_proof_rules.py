"""The independent AuxPoW and MM2 checkers against the vectors and their tamper cases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chains.primitives.hashes import from_displayed, sha256d
from chains.primitives.header import read_header
from chains.primitives.serialize import MalformedError, Reader
from chains.primitives.target import bits_to_target, meets
from chains.reference import auxpow_rules, mm2_rules
from chains.reference.mm2_rules import Mm2Proof

VECTORS = Path(__file__).parents[3] / "vectors"
MM1 = json.loads((VECTORS / "mm1.json").read_text())
MM2 = json.loads((VECTORS / "mm2.json").read_text())


def _check_auxpow(auxpow: str, block_hash: bytes, chain_id: int) -> str:
    reader = Reader(bytes.fromhex(auxpow))
    proof = auxpow_rules.read_proof(reader)
    reader.finish()
    return auxpow_rules.check_proof(proof, block_hash, chain_id) or "ok"


@pytest.mark.parametrize("case", MM1["tamper"], ids=lambda case: case["case"])
def test_reference_auxpow_rules_tamper(case: dict[str, Any]) -> None:
    block_hash = from_displayed(case["block_hash_displayed"])
    assert _check_auxpow(case["auxpow"], block_hash, case["chain_id"]) == case["check"]


@pytest.mark.parametrize("case", MM1["build"], ids=lambda case: str(case["chain_id"]))
def test_reference_auxpow_rules_built(case: dict[str, Any]) -> None:
    block_hash = sha256d(bytes.fromhex(case["aux_header"]))
    assert block_hash == from_displayed(case["aux_hash_rpc"])
    assert _check_auxpow(case["auxpow_hex"], block_hash, case["chain_id"]) == case["check"]


@pytest.mark.parametrize("case", MM1["real"], ids=lambda case: case["name"])
def test_reference_auxpow_rules_real_headers(case: dict[str, Any]) -> None:
    reader = Reader(bytes.fromhex(case["header_with_auxpow"]))
    header = read_header(reader)
    proof = auxpow_rules.read_proof(reader)
    reader.finish()
    assert header.hash == from_displayed(case["block_hash"])
    assert auxpow_rules.check_proof(proof, header.hash, case["chain_id"]) is None
    assert auxpow_rules.check_headers(header.version, proof, case["chain_id"]) is None
    assert auxpow_rules.parent_hash(proof).hex().startswith(case["parent_hash_real_natural"])
    assert meets(auxpow_rules.parent_hash(proof), bits_to_target(header.bits))


@pytest.mark.parametrize("case", MM1["slots"], ids=lambda case: f"{case['chain_id']}-{case['nonce']}")
def test_reference_auxpow_rules_slots(case: dict[str, Any]) -> None:
    slots = [auxpow_rules.expected_slot(case["nonce"], case["chain_id"], h) for h in range(9)]
    assert slots == case["index_by_height"]


def test_reference_auxpow_rules_header_rules() -> None:
    proof = auxpow_rules.read_proof(Reader(bytes.fromhex(MM1["build"][0]["auxpow_hex"])))
    assert auxpow_rules.check_headers(0x00010104, proof, 1) is None
    assert auxpow_rules.check_headers(0x00020104, proof, 1) == "block does not have our chain id"
    assert auxpow_rules.chain_id_of(0xFFFFFFFF) == 0  # -1 / 65536 in C
    assert auxpow_rules.chain_id_of(0x20242000) == 0x2024


def _proof(fields: dict[str, Any]) -> Mm2Proof:
    link = fields["hash_link"]
    return Mm2Proof(
        bytes.fromhex(fields["header_without_root"]),
        [bytes.fromhex(h) for h in fields["parent_branch"]],
        bytes.fromhex(link["state"]),
        link["length"],
        bytes.fromhex(link["extra"]),
        [bytes.fromhex(h) for h in fields["branch"]],
        bytes.fromhex(fields["last_txout_nonce"]),
        fields["sides"],
        fields["parent_sides"],
    )


POSITIVE = [(case, chain) for case in MM2["positive"] for chain in case["chains"]]
NEGATIVE = [case for case in MM2["negative"] if "proof" in case]


@pytest.mark.parametrize(("case", "chain"), POSITIVE, ids=lambda value: value["name"])
def test_reference_mm2_rules_accept_the_vectors(case: dict[str, Any], chain: dict[str, Any]) -> None:
    wire = bytes.fromhex(chain["proof_wire_r10"])
    proof = mm2_rules.parse_proof(wire)
    context, aux_hash = bytes.fromhex(chain["context"]), sha256d(bytes.fromhex(chain["aux_datum"]))
    assert aux_hash.hex() == chain["aux_hash"]
    assert mm2_rules.write_proof(proof) == wire
    assert mm2_rules.leaf_of(aux_hash).hex() == chain["leaf"]
    assert mm2_rules.check_proof(proof, context, aux_hash, int(case["target"], 16)) is None
    sides = chain["sides_root_first"]
    assert mm2_rules.parent_hash(proof, sides, aux_hash).hex() == case["parent_hash_natural_order"]
    height = int.from_bytes(bytes.fromhex(case["parent_hash_natural_order"]), "little")
    assert mm2_rules.check_proof(proof, context, aux_hash, height) is None
    assert mm2_rules.check_proof(proof, context, aux_hash, height - 1) == "high-hash"


@pytest.mark.parametrize("case", NEGATIVE, ids=lambda case: case["name"])
def test_reference_mm2_rules_refuse_the_vectors(case: dict[str, Any]) -> None:
    aux_hash = bytes.fromhex(case["proof"]["aux_hash"])
    context = bytes.fromhex(case["context"])
    assert mm2_rules.check_proof(_proof(case["proof"]), context, aux_hash, int(case["target"], 16)) == case["verify"]


SOUND = MM2["negative"][0]["proof"] | {"sides": "0111"}
LINK = SOUND["hash_link"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"sides": "011"}, "side-count"),
        ({"sides": "01110"}, "side-count"),
        ({"header_without_root": "00" * 47}, "malformed-proof"),
        ({"sides": "011x"}, "malformed-proof"),
        ({"last_txout_nonce": "deadbeef0000000100"}, "last-txout-nonce-length"),
        ({"hash_link": LINK | {"extra": LINK["extra"][2:]}}, "hash-link-extra"),
        ({"hash_link": LINK | {"length": 17}}, "hash-link-length"),
        ({"hash_link": LINK | {"length": 17 + 2**62}}, "hash-link-length"),
        ({"hash_link": LINK | {"extra": LINK["extra"][:-2] + "29"}}, "hash-link-ending"),
        ({"parent_branch": [], "parent_sides": "0"}, "not-generation-transaction"),
        ({"parent_branch": ["00" * 32] * 33, "parent_sides": "0" * 33}, "not-generation-transaction"),
        ({"branch": SOUND["branch"][::-1]}, "high-hash"),
    ],
)
def test_reference_mm2_rules_order(change: dict[str, Any], reason: str | None) -> None:
    case = MM2["negative"][0]
    proof = _proof(SOUND | change)
    aux_hash = bytes.fromhex(SOUND["aux_hash"])
    assert mm2_rules.check_proof(proof, bytes.fromhex(case["context"]), aux_hash, int(case["target"], 16)) == reason


def test_reference_mm2_rules_wire_is_exact() -> None:
    wire = bytes.fromhex(POSITIVE[0][1]["proof_wire_r10"])
    with pytest.raises(MalformedError):
        mm2_rules.parse_proof(wire + b"\x00")
    for cut in range(len(wire)):
        with pytest.raises(MalformedError):
            mm2_rules.parse_proof(wire[:cut])
