"""The parallel kind as a pool merge-mines it (aux mode): one datum of the MM2 trie for a network and all its chains.

Each chain has a template of its own, all with the same datum: they share a leaf, and one proof solves all of them.

Anything that needs a node's core is elsewhere (chains/parallel/core.py); here is what the pool's share path asks of a
kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chains.kind import AuxTemplate, Commitment, SolvedHeader
from chains.mm2_proof import commitment
from chains.mm2_proof.proof import build_proof, serialize
from chains.mm2_proof.tree import MerkleLink
from chains.primitives.hashes import displayed, sha256d


class ParallelKind:
    """A slot is a MerkleLink. A consensus proof is known by datum and parent header together."""

    name = "parallel"
    tree = commitment.TREE
    many = False

    def found_hash(self, template: AuxTemplate, header_hash: bytes) -> bytes:
        """The id of the consensus proof that the header makes of the template."""
        assert template.datum is not None, "a template of consensus proofs has its datum"
        return sha256d(template.datum + header_hash)

    def commit(self, templates: Sequence[AuxTemplate]) -> Commitment:
        """The root over these templates and each chain's link. Raises DuplicateContextError naming both chains."""
        return commitment.commit(templates)

    def provable(self, coinbase: bytes) -> bool:
        """Always: the root stands at a fixed place, whatever the extranonces are."""
        return True

    def assemble(self, solved: SolvedHeader, template: AuxTemplate, slot: Any) -> dict[str, str]:
        """`hash` is the consensus proof's displayed id, `datum` and `proof` (wire form R10) what makes it."""
        assert isinstance(slot, MerkleLink) and template.datum is not None
        proof = build_proof(solved.header, solved.coinbase, solved.merkle_branch, slot, template.aux_hash)
        return {
            "hash": displayed(self.found_hash(template, sha256d(solved.header))),
            "datum": template.datum.hex(),
            "proof": serialize(proof).hex(),
        }
