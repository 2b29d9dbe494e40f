"""What all chains of the MM2 trie, of whatever kind, put into a parent's coinbase: one root, and a link for each."""

from __future__ import annotations

from collections.abc import Sequence

from chains.kind import AuxTemplate, Commitment
from chains.mm2_proof.tree import DuplicateContextError, build_tree

TREE = "mm2"


def commit(templates: Sequence[AuxTemplate]) -> Commitment:
    """The root over these templates and each chain's MerkleLink. Raises DuplicateContextError naming both chains."""
    if not templates:
        return Commitment()
    owners: dict[bytes, str] = {}
    for template in templates:
        other = owners.setdefault(_context(template), template.chain)
        if other != template.chain:
            raise DuplicateContextError(f"chains {other} and {template.chain} have the same MM2 context")
    tree = build_tree([(_context(template), template.aux_hash) for template in templates])
    return Commitment(root=tree.root, slots={t.chain: tree.links[_context(t)] for t in templates})


def _context(template: AuxTemplate) -> bytes:
    if template.context is None:
        raise ValueError(f"the template of chain {template.chain} has no context")
    return template.context
