"""The hash link: SHA-256 of the parent's coinbase up to the MM2 root, taken up again by the verifier.

Keeps readings R8 (visible ending) and R9 (length in bytes, extra not stored with a length) of
docs/adr/0001-mm2-readings.md.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from chains.primitives.serialize import Reader, compact_size
from chains.primitives.sha256_midstate import BLOCK, EMPTY, Midstate

ENDING = b"\x2a\x6a\x28"  # script length 42, OP_RETURN, push of 40 bytes: what stands before the root
# No coinbase is shorter: version 4, input count 1, outpoint 36, scriptSig 1+2, sequence 4, output count 1, value 8 and
# the ending 3 (R9).
MIN_LENGTH = 60
MAX_LENGTH = 2**61 - 1  # SHA-256 counts bits in 64 bits


@dataclass(frozen=True, slots=True)
class HashLink:
    """SHA-256's state over the whole 64-byte blocks of a prefix (eight big-endian words, 32 bytes), the prefix's length
    in bytes, and its last `length % 64` bytes."""

    state: bytes
    length: int
    extra: bytes

    def serialize(self) -> bytes:
        """`state ‖ VarInt(length) ‖ extra` (R9)."""
        return self.state + compact_size(self.length) + self.extra


def link_of(prefix: bytes) -> HashLink:
    """The hash link of a coinbase's bytes up to where the MM2 root starts."""
    midstate = EMPTY.update(prefix)
    return HashLink(midstate.state, midstate.length, midstate.extra)


def read_hash_link(reader: Reader) -> HashLink:
    """The hash link at the reader's place. Raises MalformedError."""
    state = reader.read(32)
    length = reader.compact_size()
    return HashLink(state, length, reader.read(length % BLOCK))


def problem(link: HashLink) -> str | None:
    """The reason why a link is no link of a coinbase with an MM2 output, or None; first failing check wins."""
    if len(link.extra) != link.length % BLOCK:
        return "hash-link-extra"
    if not MIN_LENGTH <= link.length <= MAX_LENGTH:
        return "hash-link-length"
    visible = min(len(ENDING), len(link.extra))  # bytes inside the state cannot be seen (R8)
    if link.extra[len(link.extra) - visible :] != ENDING[len(ENDING) - visible :]:
        return "hash-link-ending"
    return None


def resume(link: HashLink, data: bytes) -> bytes:
    """SHA-256d of the linked prefix followed by `data`: with root, nonce and lock time, the coinbase's txid."""
    return hashlib.sha256(Midstate(link.state, link.length, link.extra).update(data).digest()).digest()
