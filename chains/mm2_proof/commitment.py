"""What all chains of the MM2 trie, of whatever kind, put into a parent's coinbase: one root, and a link for each."""

from __future__ import annotations

from collections.abc import Sequence

from chains.kind import AuxTemplate, Commitment
from chains.mm2_proof.tree import DuplicateContextError, build_tree

TREE = "mm2"


def commit(templates: Sequence[AuxTemplate]) -> Commitment:
    """The root over these templates and each chain's MerkleLink. Chains that one proof pays (a consensus-proof network)
    have context and datum in common, and with them a leaf. Raises DuplicateContextError, naming both chains, for
    different data under one context: the tree has one place for it."""
    if not templates:
        return Commitment()
    leaves: dict[bytes, AuxTemplate] = {}
    for template in templates:
        other = leaves.setdefault(_context(template), template)
        if other is not template and not is_one_leaf(other, template):
            raise DuplicateContextError(f"chains {other.chain} and {template.chain} have the same MM2 context")
    tree = build_tree([(context, template.aux_hash) for context, template in leaves.items()])
    return Commitment(root=tree.root, slots={t.chain: tree.links[_context(t)] for t in templates})


def is_one_leaf(one: AuxTemplate, other: AuxTemplate) -> bool:
    """Whether both templates are of one datum, so that one proof of work solves both."""
    return one.datum is not None and (one.context, one.datum) == (other.context, other.datum)


def _context(template: AuxTemplate) -> bytes:
    if template.context is None:
        raise ValueError(f"the template of chain {template.chain} has no context")
    return template.context
