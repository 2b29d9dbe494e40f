"""Merkle roots and branches over 32-byte hashes in natural order."""

from __future__ import annotations

from collections.abc import Sequence

from chains.primitives.hashes import sha256d
from chains.primitives.share_kernel import DIGEST, hash_pairs


def merkle_root(hashes: Sequence[bytes]) -> bytes:
    """Bitcoin's merkle root; an odd row repeats its last hash."""
    row = list(hashes)
    while len(row) > 1:
        if len(row) % 2:
            row.append(row[-1])
        row = [sha256d(row[i] + row[i + 1]) for i in range(0, len(row), 2)]
    return row[0]


def coinbase_branch(other_hashes: Sequence[bytes]) -> tuple[bytes, ...]:
    """The siblings, leaf first, that fold a first transaction with these others into the root."""
    branch = []
    row = b"".join(other_hashes)  # before it the place of the coinbase, unknown and never hashed
    while row:
        branch.append(row[:DIGEST])
        row = row[DIGEST:]
        if len(row) % (2 * DIGEST):
            row += row[-DIGEST:]
        row = hash_pairs(row)
    return tuple(branch)


def fold_branch(leaf: bytes, branch: Sequence[bytes], index: int = 0) -> bytes:
    """The root that a branch (leaf first) gives; bit i of `index` set means the running hash is the right side."""
    current = leaf
    for level, sibling in enumerate(branch):
        current = sha256d(sibling + current) if index >> level & 1 else sha256d(current + sibling)
    return current
