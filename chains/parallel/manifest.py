"""The manifest of a consensus proof: which chains it secures, with the root of each; and R, the one hash for all.

    datum_b  = "PPB1" ‖ context (32) ‖ root(T_b) (32)
    R        = Merged Mining 2 root over the leaves (context, SHA-256d of datum_b); 32 zero bytes for no chain
    manifest = varint n ‖ n * (context (32) ‖ root (32)), contexts ascending

The manifest is part of the proof and must rebuild R exactly, because R alone cannot prove that a chain is absent. The
leaf names its chain, or a leaf could be relabelled to another chain whose context shares its path.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chains.mm2_proof.tree import EMPTY_SIBLING, leaf_of
from chains.primitives.hashes import sha256d
from chains.primitives.serialize import MalformedError, Reader, compact_size

DATUM_MAGIC = b"PPB1"
MAX_ENTRIES = 256
NO_CHAINS = bytes(32)


class ManifestOrderError(MalformedError):
    """Entries that are not strictly ascending: one context twice, or two spellings of one manifest."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """Roots by context (natural order), contexts ascending."""

    roots: tuple[tuple[bytes, bytes], ...]

    def get(self, context: bytes) -> bytes | None:
        """The root of a chain's body; None when the proof does not carry the chain."""
        return next((root for name, root in self.roots if name == context), None)

    def serialize(self) -> bytes:
        return compact_size(len(self.roots)) + b"".join(context + root for context, root in self.roots)

    def commitment(self) -> bytes:
        """R."""
        if not self.roots:
            return NO_CHAINS
        leaves = [(context, leaf_of(sha256d(chain_datum(context, root)))) for context, root in self.roots]
        return _root(leaves, 0)


def _root(leaves: Sequence[tuple[bytes, bytes]], depth: int) -> bytes:
    """The root that chains/mm2_proof/tree.py builds, without links: whoever checks a manifest needs none, and for 256
    contexts that share 31 bytes they would cost him half a second."""
    if len(leaves) == 1:
        return leaves[0][1]
    byte, bit = depth >> 3, 0x80 >> (depth & 7)
    split = sum(not context[byte] & bit for context, _ in leaves)
    halves = [_root(half, depth + 1) if half else EMPTY_SIBLING for half in (leaves[:split], leaves[split:])]
    return sha256d(halves[0] + halves[1])


def chain_datum(context: bytes, root: bytes) -> bytes:
    """What one leaf commits to."""
    return DATUM_MAGIC + context + root


def manifest_of(roots: Mapping[bytes, bytes]) -> Manifest:
    return Manifest(tuple(sorted(roots.items())))


def read_manifest(reader: Reader) -> Manifest:
    """The manifest at the reader's place. Raises MalformedError, ManifestOrderError."""
    count = reader.compact_size()
    if count > MAX_ENTRIES:
        raise MalformedError(f"a manifest of {count} chains, the limit is {MAX_ENTRIES}")
    roots = tuple((reader.hash32(), reader.hash32()) for _ in range(count))
    if any(former[0] >= latter[0] for former, latter in itertools.pairwise(roots)):
        raise ManifestOrderError("contexts ascend")
    return Manifest(roots)
