"""The auxpow kind: one 44-byte tag in the parent's scriptSig for all MM1 chains, and the proof each chain gets from it.

The tag is `fabe6d6d ‖ root in displayed order ‖ size u32 LE ‖ nonce u32 LE`. The tree is sparse: empty slots are zeros
and their subtrees repeat, so that a height of 30 costs 30 hashes per chain.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chains.auxpow.proof import MAGIC, build, holds_magic_twice
from chains.auxpow.slots import EqualChainIdsError, slot_of, smallest_height
from chains.kind import AuxTemplate, Commitment, SolvedHeader
from chains.primitives.hashes import displayed, sha256d
from chains.primitives.script import push
from chains.primitives.transaction import parse_transaction

EMPTY_LEAF = bytes(32)


@dataclass(frozen=True, slots=True)
class AuxPowSlot:
    """A chain's place in the tree: index, siblings leaf first (natural order), and the tree's nonce."""

    index: int
    branch: tuple[bytes, ...]
    nonce: int = 0


class AuxPowKind:
    """Merged mining as Namecoin introduced it (MM1, AuxPoW)."""

    name = "auxpow"
    tree = "mm1"
    many = False

    def found_hash(self, template: AuxTemplate, header_hash: bytes) -> bytes:
        """The child's block hash is fixed by its template."""
        return template.aux_hash

    def commit(self, templates: Sequence[AuxTemplate]) -> Commitment:
        """The tag over these templates and each chain's slot. Raises EqualChainIdsError, which names both chains."""
        if not templates:
            return Commitment()
        owners: dict[int, str] = {}
        for template in templates:
            other = owners.setdefault(_chain_id(template), template.chain)
            if other != template.chain:
                raise EqualChainIdsError(
                    f"chains {other} and {template.chain} have the same chain id {template.chain_id}"
                    " and can never share a tree",
                    _chain_id(template),
                )
        height = smallest_height(list(owners))
        # The nonce never separates two ids, so it is 0; only a root that holds the magic by chance asks for another.
        nonce = 0
        while True:
            indices = {template.chain: slot_of(_chain_id(template), height, nonce) for template in templates}
            root, branches = sparse_tree({indices[t.chain]: t.aux_hash for t in templates}, height)
            tag = tag_of(root, height, nonce)
            if not holds_magic_twice(tag):
                break
            nonce += 1
        slots = {chain: AuxPowSlot(index, branches[index], nonce) for chain, index in indices.items()}
        return Commitment(script_sig=push(tag), slots=slots)

    def provable(self, coinbase: bytes) -> bool:
        """False when an extranonce in the scriptSig happens to hold the magic: every node refuses a second one."""
        return not holds_magic_twice(parse_transaction(coinbase).inputs[0].script_sig)

    def assemble(self, solved: SolvedHeader, template: AuxTemplate, slot: Any) -> dict[str, str]:
        """The parameters of submitauxblock: the displayed block hash and the proof."""
        assert isinstance(slot, AuxPowSlot)
        auxpow = build(solved.header, solved.coinbase, solved.merkle_branch, slot.branch, slot.index)
        return {"hash": displayed(template.aux_hash), "auxpow": auxpow.serialize().hex()}


def tag_of(root: bytes, height: int, nonce: int = 0) -> bytes:
    """The tag (44 bytes) that commits to a tree's root, given in natural order."""
    return MAGIC + root[::-1] + struct.pack("<II", 1 << height, nonce)


def sparse_tree(leaves: Mapping[int, bytes], height: int) -> tuple[bytes, dict[int, tuple[bytes, ...]]]:
    """The root of a tree of `2^height` leaves, all zero but these, and the branch (leaf first) of each of them."""
    branches: dict[int, tuple[bytes, ...]] = {index: () for index in leaves}
    row = dict(leaves)
    empty = EMPTY_LEAF
    for level in range(height):
        for index in branches:
            branches[index] += (row.get(index >> level ^ 1, empty),)
        row = {
            parent: sha256d(row.get(2 * parent, empty) + row.get(2 * parent + 1, empty))
            for parent in {index >> 1 for index in row}
        }
        empty = sha256d(empty + empty)
    return row[0], branches


def _chain_id(template: AuxTemplate) -> int:
    if template.chain_id is None:
        raise ValueError(f"the template of chain {template.chain} has no chain id")
    return template.chain_id
