"""The auxiliary datum of a parapool MM2 child: its context in front of its block header.

With one chain in the tree the same leaf is valid for every context (R11), so a datum must name its chain; putting the
context into it does so whatever the header looks like (docs/protocol/mm2.md).
"""

from __future__ import annotations

from chains.mm2_proof.tree import CONTEXT_SIZE
from chains.primitives.hashes import sha256d
from chains.primitives.header import HEADER_SIZE


def child_datum(context: bytes, header: bytes) -> bytes:
    """The 112-byte datum `context(32) ‖ header(80)`. Raises ValueError for other lengths."""
    if len(context) != CONTEXT_SIZE or len(header) != HEADER_SIZE:
        raise ValueError("a datum is a context of 32 bytes and a header of 80 bytes")
    return context + header


def child_block_hash(context: bytes, header: bytes) -> bytes:
    """The child's block hash, natural order, which is also its auxiliary data hash: SHA-256d of the datum."""
    return sha256d(child_datum(context, header))
