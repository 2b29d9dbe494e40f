"""Aux mode: the network's proofs are MM2 data under another chain's proofs of work."""

from __future__ import annotations

from typing import Any

import pytest
from ppow_miner import AUX_NETWORK, BOTH, CHAIN_A, NETWORK, SCRIPTS, ask, new_node, read, start
from support.aux_proofs import OTHER, solved_header

from chains.mm2_proof.proof import parent_header, parse
from chains.mm2_proof.tree import context_of
from chains.parallel.core import ParallelCore
from chains.parallel.manifest import manifest_of
from chains.parallel.parameters import NetworkParameters
from chains.parallel.proof import AuxDatum, InvalidProofError, aux_wire, read_proof
from chains.primitives.hashes import displayed, from_displayed, sha256d


def outer(context: bytes, datum_hash: bytes, target: int, salt: int = 0, meet: bool = True) -> bytes:
    """An MM2 proof for a datum."""
    return solved_header(context, datum_hash, target, salt, meet)[1]


def started() -> ParallelCore:
    node = new_node(network=AUX_NETWORK)
    start(node)
    return node


def offer(node: ParallelCore, *names: str) -> dict[str, Any]:
    answer: dict[str, Any] = ask(node, "createparalleldatum", {name: SCRIPTS[0].hex() for name in names}, now_ms=0)
    return answer


def mined(node: ParallelCore, made: dict[str, Any], salt: int = 0, meet: bool = True) -> dict[str, Any]:
    proof = outer(bytes.fromhex(made["context"]), from_displayed(made["hash"]), int(made["target"], 16), salt, meet)
    answer: dict[str, Any] = ask(node, "submitparalleldatum", made["hash"], proof.hex())
    return answer


def test_parallel_aux_datum_is_mined_under_another_chain() -> None:
    node = started()
    made = offer(node, "a", "b")
    assert made["context"] == context_of("parallel:test").hex()
    assert made["coinbasevalue"] == 5700
    assert sha256d(bytes.fromhex(made["datum"])) == from_displayed(made["hash"])
    answer = mined(node, made)
    assert answer["result"] == "accepted"
    assert [block["state"] for block in answer["blocks"]] == ["block", "block"]
    assert read(node, "getparallelblockstatus", "a", answer["id"])["amount"] == 5000
    assert mined(node, made)["result"] == "duplicate"
    assert mined(node, made, salt=1)["result"] == "inconclusive", "another parent's block, another proof"
    again = offer(node, "a")
    assert (again["height"], again["previousblockhash"]) == (2, answer["id"])
    assert mined(node, again)["result"] == "accepted"


def test_parallel_aux_datum_is_the_same_until_something_changes() -> None:
    node = started()
    made = offer(node, "a")
    ask(node, "nonsense")
    assert offer(node, "a") == made
    assert offer(node, "b")["hash"] != made["hash"]
    assert mined(node, offer(node))["result"] == "accepted", "no chain at all is a proof too"


def test_parallel_aux_proof_id_is_datum_and_parent_header() -> None:
    datum = AuxDatum(AUX_NETWORK.context, AUX_NETWORK.genesis, bytes(32), 0x207FFFFF, 1_700_000_000)
    assert datum.wire == b"".join((
        b"PPA1", AUX_NETWORK.context, AUX_NETWORK.genesis, bytes(32), bytes.fromhex("ffff7f20"),
        (1_700_000_000).to_bytes(4, "little"),
    ))  # fmt: skip
    proof_wire = outer(AUX_NETWORK.context, datum.hash, 2**255)
    proof = read_proof(aux_wire(datum, proof_wire, manifest_of({})), AUX_NETWORK)
    header = parent_header(parse(proof_wire, AUX_NETWORK.context, datum.hash))
    assert proof.id == sha256d(datum.wire + sha256d(header))
    assert proof.claims_height(7), "an aux-mode proof claims no height"


def reason(wire: bytes, network: NetworkParameters = AUX_NETWORK) -> str:
    with pytest.raises(InvalidProofError) as refused:
        read_proof(wire, network)
    return refused.value.reason


def test_parallel_aux_proof_is_refused_for_its_reason() -> None:
    empty = manifest_of({})
    datum = AuxDatum(AUX_NETWORK.context, AUX_NETWORK.genesis, bytes(32), 0x207FFFFF, 1_700_000_000)
    good = outer(AUX_NETWORK.context, datum.hash, 2**255)
    other = AuxDatum(OTHER, AUX_NETWORK.genesis, bytes(32), 0x207FFFFF, 1_700_000_000)
    easy = AuxDatum(AUX_NETWORK.context, AUX_NETWORK.genesis, bytes(32), 0x2100FFFF, 1_700_000_000)
    assert reason(aux_wire(other, good, empty)) == "malformed"
    assert reason(aux_wire(datum, good[:-1], empty)) == "malformed"
    assert reason(aux_wire(datum, good, empty) + b"\x00") == "malformed"
    assert reason(aux_wire(easy, good, empty)) == "bad-bits"
    assert reason(aux_wire(datum, good, manifest_of({CHAIN_A.context: bytes(32)}))) == "manifest-root"
    assert reason(aux_wire(datum, outer(AUX_NETWORK.context, datum.hash, 2**255, meet=False), empty)) == "high-hash"
    hard = AuxDatum(AUX_NETWORK.context, AUX_NETWORK.genesis, bytes(32), 0x1F00FFFF, 1_700_000_000)
    assert reason(aux_wire(hard, good, empty)) == "high-hash", "the proof of another datum"


def test_parallel_modes_are_strangers() -> None:
    root, aux = new_node(network=NETWORK), started()
    start(root)
    assert root.network != aux.network
    assert ask(root, "createparalleldatum", {})[0] == -8
    assert ask(aux, "submitparalleldatum", displayed(bytes(32)), "")["result"] == "stale"
    assert ask(aux, "submitparalleldatum", "12", "")[0] == -22
    assert len({chain.id_on(NETWORK) for chain in BOTH}) == 2
