"""Every entry of mm1.json, with the real Namecoin headers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chains.auxpow.commitment import AuxPowKind, sparse_tree, tag_of
from chains.auxpow.proof import MAGIC, build, check, parse
from chains.auxpow.slots import EqualChainIdsError, slot_of, smallest_height
from chains.kind import AuxTemplate, SolvedHeader
from chains.primitives.hashes import displayed, from_displayed, sha256d
from chains.primitives.header import HEADER_SIZE, parse_header
from chains.primitives.target import bits_to_target
from pool.verify import verify_file

VECTORS = json.loads((Path(__file__).parent / "mm1.json").read_text())
unhex = bytes.fromhex
ANY_TARGET = "f" * 64


def verdict_of_file(tmp_path: Path, **question: Any) -> tuple[int, str]:
    file = tmp_path / "auxpow.json"
    file.write_text(json.dumps(question))
    return verify_file("auxpow", file)


@pytest.mark.parametrize("vector", VECTORS["slots"], ids=lambda v: f"{v['chain_id']}-nonce{v['nonce']}")
def test_mm1_vector_slots(vector: dict[str, Any]) -> None:
    heights = range(len(vector["index_by_height"]))
    assert [slot_of(vector["chain_id"], h, vector["nonce"]) for h in heights] == vector["index_by_height"]


@pytest.mark.parametrize("vector", VECTORS["choose"], ids=lambda v: "-".join(map(str, v["chain_ids"])))
def test_mm1_vector_choose(vector: dict[str, Any]) -> None:
    ids = vector["chain_ids"]
    if "error" in vector:
        with pytest.raises(EqualChainIdsError, match=vector["error"]):
            smallest_height(ids)
        return
    assert smallest_height(ids) == vector["height"]
    assert {str(i): slot_of(i, vector["height"], vector["nonce"]) for i in ids} == vector["slots"]


def test_mm1_vector_build(tmp_path: Path) -> None:
    """One commitment for three chains gives the coinbase's tag and each chain's proof, to the byte."""
    vectors = VECTORS["build"]
    templates = [
        AuxTemplate(f"chain{v['chain_id']}", from_displayed(v["aux_hash_rpc"]), 1, 1, bytes(32), 0, "n", v["chain_id"])
        for v in vectors
    ]
    kind = AuxPowKind()
    commitment = kind.commit(templates)
    for vector, template in zip(vectors, templates, strict=True):
        assert sha256d(unhex(vector["aux_header"])) == template.aux_hash
        assert commitment.script_sig.hex() == "2c" + vector["tag"]
        assert commitment.script_sig.hex() in vector["coinbase"]
        slot = commitment.slots[template.chain]
        assert (slot.index, len(slot.branch), slot.nonce) == (vector["slot"], vector["height"], vector["nonce"])
        expected = parse(unhex(vector["auxpow_hex"]))
        solved = SolvedHeader(expected.parent.serialize(), unhex(vector["coinbase"]), expected.branch)
        payload = kind.assemble(solved, template, slot)
        assert payload["hash"] == vector["aux_hash_rpc"]
        built = parse(unhex(payload["auxpow"]))
        assert (built.coinbase, built.branch, built.chain_branch) == (
            expected.coinbase, expected.branch, expected.chain_branch,
        )  # fmt: skip
        assert payload["auxpow"] == vector["auxpow_hex"]
        assert check(built, template.aux_hash, vector["chain_id"]) == vector["check"] == "ok"
        question = {"chain_id": vector["chain_id"], "block_hash": vector["aux_hash_rpc"], "pow": "sha256d"}
        file = verdict_of_file(tmp_path, **question, target=ANY_TARGET, auxpow=vector["auxpow_hex"])
        assert file == (0, "ok")
    root, branches = sparse_tree({v["slot"]: from_displayed(v["aux_hash_rpc"]) for v in vectors}, vectors[0]["height"])
    assert displayed(root) == vectors[0]["root_displayed"]
    assert tag_of(root, 2).hex() == vectors[0]["tag"]
    assert branches[3] == commitment.slots["chain1"].branch


@pytest.mark.parametrize("vector", VECTORS["real"], ids=lambda v: v["name"])
def test_mm1_vector_real_header(vector: dict[str, Any], tmp_path: Path) -> None:
    """A block from a real chain: parses, serialises to the same bytes, checks, and its parent meets its target."""
    data = unhex(vector["header_with_auxpow"])
    header = parse_header(data[:HEADER_SIZE])
    assert displayed(header.hash) == vector["block_hash"]
    assert f"{header.version:08x}" == vector["version"]
    auxpow = parse(data[HEADER_SIZE:])
    assert auxpow.serialize() == data[HEADER_SIZE:]
    assert auxpow.chain_index == vector["chain_index"]
    assert (len(auxpow.chain_branch), len(auxpow.branch)) == (vector["chain_branch_len"], vector["branch_len"])
    script_sig = auxpow.coinbase.inputs[0].script_sig
    assert script_sig.find(MAGIC) == vector["magic_at"]
    size, nonce = vector["size_nonce"]
    assert script_sig[vector["root_at"] + 32 :].startswith(size.to_bytes(4, "little") + nonce.to_bytes(4, "little"))
    first_sibling = auxpow.chain_branch[0].hex() if auxpow.chain_branch else None
    assert first_sibling == vector["first_sibling"]
    assert auxpow.parent_hash.hex() == vector["parent_hash_field_natural"]
    assert auxpow.parent.hash.hex() == vector["parent_hash_real_natural"]
    assert check(auxpow, header.hash, vector["chain_id"]) == vector["check"] == "ok"
    rebuilt = build(
        auxpow.parent.serialize(), auxpow.coinbase.serialize(), auxpow.branch, auxpow.chain_branch, auxpow.chain_index
    )
    assert rebuilt.serialize()[-80:] == data[-80:]
    target = bits_to_target(header.bits)
    reached = int.from_bytes(auxpow.parent.hash, "little")
    question = {
        "chain_id": vector["chain_id"],
        "block_hash": vector["block_hash"],
        "auxpow": data[HEADER_SIZE:].hex(),
        "pow": "sha256d",
    }
    assert verdict_of_file(tmp_path, **question, target=f"{target:064x}") == (0, "ok")
    assert verdict_of_file(tmp_path, **question, target=f"{reached:064x}") == (0, "ok")
    assert verdict_of_file(tmp_path, **question, target=f"{reached - 1:064x}") == (1, "high-hash")


@pytest.mark.parametrize("vector", VECTORS["tamper"], ids=lambda v: v["case"])
def test_mm1_vector_tampered(vector: dict[str, Any], tmp_path: Path) -> None:
    auxpow = parse(unhex(vector["auxpow"]))
    assert auxpow.serialize().hex() == vector["auxpow"]
    block_hash = vector["block_hash_displayed"]
    assert check(auxpow, from_displayed(block_hash), vector["chain_id"]) == vector["check"]
    question = {"chain_id": vector["chain_id"], "block_hash": block_hash, "auxpow": vector["auxpow"], "pow": "scrypt"}
    expected = (0 if vector["check"] == "ok" else 1, vector["check"])
    assert verdict_of_file(tmp_path, **question, target=ANY_TARGET) == expected
