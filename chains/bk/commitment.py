"""The bk kind as a pool mines it: votes are data of the MM2 trie, and every header that meets the target is one.

Anything that needs a node's core is elsewhere (chains/bk/core.py); here is what the pool's share path asks of a kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chains.kind import AuxTemplate, Commitment, SolvedHeader
from chains.mm2_proof import commitment
from chains.mm2_proof.proof import build_proof, serialize
from chains.mm2_proof.tree import MerkleLink
from chains.primitives.hashes import displayed, sha256d


class BkKind:
    """A slot is a MerkleLink. A vote is known by the hash of its header, because one template takes many."""

    name = "bk"
    tree = commitment.TREE
    many = True

    def found_hash(self, template: AuxTemplate, header_hash: bytes) -> bytes:
        return header_hash

    def commit(self, templates: Sequence[AuxTemplate]) -> Commitment:
        """The root over these templates and each chain's link. Raises DuplicateContextError naming both chains."""
        return commitment.commit(templates)

    def provable(self, coinbase: bytes) -> bool:
        """Always: the root stands at a fixed place, whatever the extranonces are."""
        return True

    def assemble(self, solved: SolvedHeader, template: AuxTemplate, slot: Any) -> dict[str, str]:
        """The parameters of submitvote, the datum and the proof in wire form R10, and the vote's displayed hash."""
        assert isinstance(slot, MerkleLink)
        assert template.datum is not None, "a template of votes has its datum"
        proof = build_proof(solved.header, solved.coinbase, solved.merkle_branch, slot, template.aux_hash)
        return {
            "hash": displayed(sha256d(solved.header)),
            "datum": template.datum.hex(),
            "proof": serialize(proof).hex(),
        }
