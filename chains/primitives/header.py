"""The 80-byte block header."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from chains.primitives.hashes import sha256d
from chains.primitives.serialize import Reader

HEADER_SIZE = 80


@dataclass(frozen=True, slots=True)
class Header:
    """A block header; hashes in natural order, `time` in seconds, `bits` the compact target."""

    version: int
    previous_hash: bytes
    merkle_root: bytes
    time: int
    bits: int
    nonce: int

    def serialize(self) -> bytes:
        return (
            struct.pack("<I", self.version & 0xFFFFFFFF)
            + self.previous_hash
            + self.merkle_root
            + struct.pack("<III", self.time, self.bits, self.nonce)
        )

    @property
    def hash(self) -> bytes:
        """The block hash, SHA-256d, natural order (also on scrypt chains, whose proof of work is another hash)."""
        return sha256d(self.serialize())


def read_header(reader: Reader) -> Header:
    """The header at the reader's place; `version` is the unsigned value of its four bytes."""
    return Header(reader.u32(), reader.hash32(), reader.hash32(), reader.u32(), reader.u32(), reader.u32())


def parse_header(data: bytes) -> Header:
    """Exactly one header. Raises MalformedError."""
    reader = Reader(data)
    header = read_header(reader)
    reader.finish()
    return header
