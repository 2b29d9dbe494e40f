"""Proofs of merged mining taken out of blocks that a real daemon accepted."""

from __future__ import annotations

from typing import Any

from block_making import KIND, TAG, solve
from node_daemons import PAYOUT_SCRIPT, RealNode
from stored_blocks import solved_from_node

from chains.auxpow import proof as auxpow_proof
from chains.auxpow.commitment import AuxPowKind
from chains.bitcoin.coinbase import build_coinbase
from chains.bitcoin.node import BitcoinNode
from chains.kind import AuxTemplate, Commitment, ParentTemplate, SubmitResult
from chains.mm2.commitment import Mm2Kind
from chains.mm2_proof import proof as mm2_proof
from chains.mm2_proof.tree import context_of
from chains.primitives.hashes import displayed, sha256d


def aux_template(chain: str, target: int, **identity: Any) -> AuxTemplate:
    aux_hash = sha256d(chain.encode())
    return AuxTemplate(
        chain=chain, aux_hash=aux_hash, target=target, height=1, previous_hash=bytes(32), value_sat=0, node="n",
        **identity,
    )  # fmt: skip


def committed(template: ParentTemplate, *commitments: Commitment) -> bytes:
    parts = [*(("commitment", c.script_sig) for c in commitments), ("tag", TAG)]
    outputs = [script for c in commitments for script in c.outputs]
    root = next(c.root for c in commitments if c.root is not None)
    return build_coinbase(template, parts, PAYOUT_SCRIPT, outputs, root).stripped(b"\x00\x00\x00\x01\xca\xfe\xba\xbe")


async def test_nodes_proofs_of_both_kinds_verify_from_an_accepted_block(
    chain_node: BitcoinNode, real_node: RealNode
) -> None:
    pow_name = real_node.network.pow_hash
    template = await chain_node.template()
    mm1 = [aux_template("regnmc", template.target, chain_id=1), aux_template("regdoge", template.target, chain_id=98)]
    mm2 = [aux_template(name, template.target, context=context_of(name)) for name in ("alpha", "beta", "gamma")]
    mm1_commitment, mm2_commitment = AuxPowKind().commit(mm1), Mm2Kind().commit(mm2)
    solved = solve(template, committed(template, mm1_commitment, mm2_commitment), pow_name)
    assert (await chain_node.submit(KIND.assemble(solved, template))).result is SubmitResult.ACCEPTED
    hash_hex = displayed(sha256d(solved.header))
    assert real_node.call("getbestblockhash") == hash_hex

    stored = solved_from_node(real_node, hash_hex)
    assert stored == solved
    for child in mm2:
        payload = Mm2Kind().assemble(stored, child, mm2_commitment.slots[child.chain])
        wire = bytes.fromhex(payload["proof"])
        assert child.context is not None
        verdict = mm2_proof.verify_wire(wire, child.aux_hash, child.context, template.target, pow_name)
        assert verdict == "ok"
        # Another block under the same proof gives another parent hash, which only luck would get under this target.
        assert mm2_proof.verify_wire(wire, bytes(32), child.context, 2**160, pow_name) == "high-hash"
    for child in mm1:
        payload = AuxPowKind().assemble(stored, child, mm1_commitment.slots[child.chain])
        assert child.chain_id is not None
        parsed = auxpow_proof.parse(bytes.fromhex(payload["auxpow"]))
        assert auxpow_proof.verify(parsed, child.aux_hash, child.chain_id, template.target, pow_name) == "ok"
