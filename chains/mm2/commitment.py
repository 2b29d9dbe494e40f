"""The mm2 kind: what its chains put into a parent's coinbase, and the proof a solved parent header gives each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chains.kind import AuxTemplate, Commitment, SolvedHeader
from chains.mm2_proof import commitment
from chains.mm2_proof.proof import build_proof, serialize
from chains.mm2_proof.tree import MerkleLink
from chains.primitives.hashes import displayed


class Mm2Kind:
    """Merged Mining 2: all chains share one trie, its root in the coinbase's last output; a slot is a MerkleLink."""

    name = "mm2"
    tree = commitment.TREE
    many = False

    def found_hash(self, template: AuxTemplate, header_hash: bytes) -> bytes:
        """The child's block hash is fixed by its template."""
        return template.aux_hash

    def commit(self, templates: Sequence[AuxTemplate]) -> Commitment:
        """The root over these templates and each chain's link. Raises DuplicateContextError naming both chains."""
        return commitment.commit(templates)

    def provable(self, coinbase: bytes) -> bool:
        """Always: the root stands at a fixed place, whatever the extranonces are."""
        return True

    def assemble(self, solved: SolvedHeader, template: AuxTemplate, slot: Any) -> dict[str, str]:
        """The parameters of submitmm2block: the displayed auxiliary hash and the proof in wire form R10."""
        assert isinstance(slot, MerkleLink)
        proof = build_proof(solved.header, solved.coinbase, solved.merkle_branch, slot, template.aux_hash)
        return {"hash": displayed(template.aux_hash), "proof": serialize(proof).hex()}
