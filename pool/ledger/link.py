"""The chain of hashes through a chain's transfer groups (invariant I11): none can be changed, removed or slipped in
unseen.

Each group is linked once, in the order in which groups were written: hash = SHA-256(previous hash ‖ content). The
content is msgpack of the group's id, chain, kind, time and transfers, so that no two groups share it. Pure.
"""

from __future__ import annotations

from hashlib import sha256

import msgspec

from pool.ledger.transfer import TransferGroup

FIRST = bytes(32)
"""The hash that the first group of a chain is linked to."""


def link_hash(previous: bytes, group: TransferGroup, created_ms: int) -> bytes:
    """The 32 bytes that tie a group, written at `created_ms`, to everything before it."""
    rows = [(transfer.debit, transfer.credit, transfer.amount) for transfer in group.transfers]
    content = msgspec.msgpack.encode((group.id, group.chain, group.kind, created_ms, rows))
    return sha256(previous + content).digest()
