"""A signed block: header, the leader's signature, and its votes by id. Votes and content travel on their own."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from coincurve import PrivateKey, PublicKeyXOnly

from chains.primitives.serialize import MalformedError, Reader, compact_size
from chains.votes.header import BlockHeader, read_header
from chains.votes.rules import MAX_VOTES

SIGNATURE_SIZE = 64


@dataclass(frozen=True, slots=True)
class SignedBlock:
    header: BlockHeader
    signature: bytes
    votes: tuple[bytes, ...]

    def serialize(self) -> bytes:
        """`header(104) ‖ signature(64) ‖ VarInt n ‖ n × vote id`, smallest vote first."""
        return self.header.serialize() + self.signature + compact_size(len(self.votes)) + b"".join(self.votes)


def read_block(reader: Reader) -> SignedBlock:
    """The block at the reader's place. Raises MalformedError."""
    header, signature = read_header(reader), reader.read(SIGNATURE_SIZE)
    votes = reader.hashes()
    if len(votes) > MAX_VOTES:
        raise MalformedError(f"{len(votes)} votes in one block")
    return SignedBlock(header, signature, votes)


def signing_digest(header: BlockHeader, tag: str) -> bytes:
    """What the leader signs: BIP340's tagged hash of the 104 bytes under the kind's tag."""
    prefix = hashlib.sha256(tag.encode()).digest()
    return hashlib.sha256(prefix + prefix + header.serialize()).digest()


def sign(header: BlockHeader, tag: str, secret: bytes, randomness: bytes = bytes(32)) -> bytes:
    """The signature of a secret's owner (64 bytes). A leader signs one header per leader vote, ever: ask a signer that
    remembers; this function does not."""
    return PrivateKey(secret).sign_schnorr(signing_digest(header, tag), randomness)


def is_signed(header: BlockHeader, tag: str, key: bytes, signature: bytes) -> bool:
    """Whether the owner of an x-only key signed a header under a tag."""
    try:
        return PublicKeyXOnly(key).verify(signature, signing_digest(header, tag))
    except ValueError:  # no point on the curve, no 64 bytes
        return False
