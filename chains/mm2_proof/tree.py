"""The Merged Mining 2 tree: contexts, the path a context prescribes, the minimal trie, its root and its links.

Keeps readings R1 (leaf tag), R2 (natural byte order), R3 (sides root first, branches leaf first), R4 (bit order A),
R6 (minimal trie, empty sibling of 32 zero bytes) and R11 (one chain: root = leaf) of docs/adr/0001-mm2-readings.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chains.primitives.hashes import sha256d
from chains.primitives.merkle import fold_branch

CONTEXT_SIZE = 32
MAX_DEPTH = 8 * CONTEXT_SIZE  # a path cannot be longer than the context that prescribes it
EMPTY_SIBLING = bytes(32)  # no preimage of it is known, so it is no leaf (R6)
LEAF_TAG = bytes(64)  # one whole SHA-256 block: tells leaves (96-byte preimages) from nodes (64-byte preimages) (R1)


class DuplicateContextError(ValueError):
    """Two leaves of one context cannot share a tree; the message names the context."""


@dataclass(frozen=True, slots=True)
class MerkleLink:
    """A leaf's place: `sides` ("0" left, "1" right) root first, `branch` (siblings, natural order) leaf first (R3)."""

    sides: str
    branch: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Tree:
    """A built tree: its root in natural order and, by context, each leaf's link."""

    root: bytes
    links: Mapping[bytes, MerkleLink]


def context_of(context_name: str) -> bytes:
    """The context of a chain's name: SHA-256d of its UTF-8 bytes, natural order (the draft's recommendation)."""
    return sha256d(context_name.encode())


def path_bits(context: bytes) -> str:
    """The 256 sides that a context prescribes, root first; 0 is left, 1 is right.

    Order A (R4): the digest's bytes in natural order, the most significant bit of each byte first. This is the one
    place that knows the order.
    """
    return "".join(f"{byte:08b}" for byte in context)


def leaf_of(aux_hash: bytes) -> bytes:
    """The leaf of an auxiliary data hash, which is itself SHA-256d of the auxiliary datum (R1)."""
    return sha256d(LEAF_TAG + aux_hash)


def build_tree(aux_hashes: Mapping[bytes, bytes] | Sequence[tuple[bytes, bytes]]) -> Tree:
    """The minimal trie over (context, auxiliary data hash) pairs: a node is split while two contexts share it (R6).

    Raises DuplicateContextError for equal contexts, ValueError for none at all or for one that is not 32 bytes.
    """
    pairs = list(aux_hashes.items()) if isinstance(aux_hashes, Mapping) else list(aux_hashes)
    if not pairs:
        raise ValueError("a tree needs at least one context")
    leaves: dict[str, bytes] = {}
    for context, aux_hash in pairs:
        if len(context) != CONTEXT_SIZE or len(aux_hash) != 32:
            raise ValueError("a context and an auxiliary data hash have 32 bytes each")
        path = path_bits(context)
        if path in leaves:
            raise DuplicateContextError(f"two auxiliary data for the context {context.hex()}")
        leaves[path] = leaf_of(aux_hash)
    links: dict[str, MerkleLink] = {}
    root = _build(sorted(leaves), 0, leaves, links)
    return Tree(root, {context: links[path_bits(context)] for context, _ in pairs})


def _build(paths: list[str], depth: int, leaves: Mapping[str, bytes], links: dict[str, MerkleLink]) -> bytes:
    """The node over these sorted paths, which agree in their first `depth` bits; fills in their links on the way up."""
    if len(paths) == 1:
        links[paths[0]] = MerkleLink(paths[0][:depth], ())
        return leaves[paths[0]]
    split = sum(path[depth] == "0" for path in paths)
    halves = (paths[:split], paths[split:])
    nodes = [_build(half, depth + 1, leaves, links) if half else EMPTY_SIBLING for half in halves]
    for half, sibling in zip(halves, reversed(nodes), strict=True):
        for path in half:
            links[path] = MerkleLink(links[path].sides, (*links[path].branch, sibling))
    return sha256d(nodes[0] + nodes[1])


def fold(leaf: bytes, link: MerkleLink) -> bytes:
    """The root that a leaf and its link give. The sides, root first, are the index P2Pool would use (R5)."""
    return fold_branch(leaf, link.branch, int(link.sides or "0", 2))
