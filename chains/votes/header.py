"""The block header: 104 bytes that the leader signs. A block has no proof of work of its own; its votes have it."""

from __future__ import annotations

from dataclasses import dataclass

from chains.primitives.hashes import sha256d
from chains.primitives.serialize import Reader

HEADER_SIZE = 104
NO_BLOCK = bytes(32)
VERSION = 1


@dataclass(frozen=True, slots=True)
class BlockHeader:
    """`votes_root` is SHA-256d of the vote ids one behind the other; `tx_root` is the content's commitment, which
    nothing in this package reads."""

    previous: bytes
    height: int
    votes_root: bytes
    tx_root: bytes
    version: int = VERSION

    def serialize(self) -> bytes:
        """`version(4) ‖ previous(32) ‖ height(4) ‖ votes_root(32) ‖ tx_root(32)`, numbers little-endian."""
        return (
            self.version.to_bytes(4, "little")
            + self.previous
            + self.height.to_bytes(4, "little")
            + self.votes_root
            + self.tx_root
        )

    @property
    def id(self) -> bytes:
        """The block's id: SHA-256d of the header without its signature, natural order."""
        return sha256d(self.serialize())


def read_header(reader: Reader) -> BlockHeader:
    """The header at the reader's place. Raises MalformedError."""
    version, previous = reader.u32(), reader.hash32()
    return BlockHeader(previous, reader.u32(), reader.hash32(), reader.hash32(), version)


def votes_root(votes: tuple[bytes, ...]) -> bytes:
    """The commitment to a block's votes in their order."""
    return sha256d(b"".join(votes))


def genesis_header(tx_root: bytes) -> BlockHeader:
    """The first block of a chain: height 0, no votes, no signature; its `tx_root` is whatever tells chains apart."""
    return BlockHeader(NO_BLOCK, 0, bytes(32), tx_root)
