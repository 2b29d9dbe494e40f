"""Our verifier and the devnet node's, written apart from the same text, must agree on good and on damaged proofs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.mm2_parents import TARGET, parent_of

from chains.mm2_proof.hash_link import HashLink
from chains.mm2_proof.proof import Proof, build_proof, parse, serialize, verify
from chains.mm2_proof.tree import context_of
from chains.primitives.hashes import sha256d
from chains.primitives.serialize import MalformedError
from chains.reference import mm2_rules
from chains.reference.mm2_rules import Mm2Proof

CONTEXTS = [context_of(name) for name in ("namecoin", "chain-a", "chain-b")]
DATA = {context: sha256d(context) for context in CONTEXTS}
PARENT = parent_of(DATA, (sha256d(b"1"), sha256d(b"2")))
PROOFS = [build_proof(PARENT.header, PARENT.coinbase, PARENT.branch, PARENT.tree.links[c], DATA[c]) for c in CONTEXTS]
some_bytes = st.sampled_from([b"", b"\x28", b"\x2a\x6a\x28", bytes(31), bytes(32), bytes(48), bytes(57), bytes(300)])
sides = st.text("01", max_size=6) | st.sampled_from(["2", "0" * 256, "0" * 257])
branches = st.lists(st.sampled_from([bytes(32), b"\1" * 32]), max_size=4).map(tuple) | st.sampled_from(
    [(bytes(31),), (bytes(32),) * 33, (bytes(32),) * 256, (bytes(32),) * 257]
)
links = st.builds(
    HashLink,
    st.sampled_from([PROOFS[0].hash_link.state, bytes(32), bytes(31)]),
    st.integers(0, 200) | st.sampled_from([2**61 - 1, 2**61, 2**64 - 1]),
    some_bytes,
)
changes = st.fixed_dictionaries(
    {},
    optional={
        "header_without_root": some_bytes,
        "parent_sides": sides,
        "parent_branch": branches,
        "hash_link": links,
        "sides": sides,
        "branch": branches,
        "last_txout_nonce": some_bytes,
        "aux_hash": st.just(sha256d(b"other")),
    },
)


def other_verdict(proof: Proof, context: bytes, target: int) -> str:
    link = proof.hash_link
    theirs = Mm2Proof(
        proof.header_without_root, proof.parent_branch, link.state, link.length, link.extra, proof.branch,
        proof.last_txout_nonce, proof.sides, proof.parent_sides,
    )  # fmt: skip
    return mm2_rules.check_proof(theirs, context, proof.aux_hash, target) or "ok"


@settings(max_examples=400)
@given(st.sampled_from(PROOFS), st.sampled_from(CONTEXTS), changes)
def test_mm2_two_readings_agree_on_damaged_proofs(proof: Proof, context: bytes, change: dict[str, object]) -> None:
    damaged = replace(proof, **change)  # type: ignore[arg-type]
    assert verify(damaged, context, TARGET) == other_verdict(damaged, context, TARGET)


@pytest.mark.parametrize("number", range(3))
def test_mm2_two_readings_agree_on_good_proofs_and_their_bytes(number: int) -> None:
    proof, context = PROOFS[number], CONTEXTS[number]
    assert verify(proof, context, TARGET) == other_verdict(proof, context, TARGET) == "ok"
    assert mm2_rules.write_proof(mm2_rules.parse_proof(serialize(proof))) == serialize(proof)


@settings(max_examples=200)
@given(st.sampled_from(PROOFS), st.integers(0, 299), st.integers(0, 255), st.integers(0, 3))
def test_mm2_two_readings_agree_on_damaged_bytes(proof: Proof, at: int, value: int, cut: int) -> None:
    wire = bytearray(serialize(proof))
    wire[at % len(wire)] = value
    data = bytes(wire[: len(wire) - cut])
    try:
        theirs = mm2_rules.parse_proof(data)
    except MalformedError:
        with pytest.raises(MalformedError):
            parse(data, CONTEXTS[0], proof.aux_hash)
        return
    ours = verify(parse(data, CONTEXTS[0], proof.aux_hash), CONTEXTS[0], TARGET)
    assert ours == (mm2_rules.check_proof(theirs, CONTEXTS[0], proof.aux_hash, TARGET) or "ok")
