"""What nodes of a consensus-proof network say to each other: types, limits, and their bytes.

Proofs travel with the bodies that the sender has, if those are small; other bodies are asked for by root. What is
larger than a frame travels in chunks below this (chains/peers). Integers are little-endian, hashes in natural order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from chains.parallel.body import MAX_BODY_SIZE, Body, serialize_body
from chains.parallel.proof import MAX_PROOF_SIZE
from chains.peers.core import MessageType
from chains.primitives.serialize import MalformedError, Reader, compact_size

MAX_LOCATOR = 64
MAX_ROOTS = 64
PATH_PROOFS = 2000
PATH_BYTES = 900_000
INLINE_BYTES = 100_000  # of all bodies that travel with a proof
MAX_TRANSFER_SIZE = 130_000  # 1000 outputs with the longest scripts

PROOF, GET_PATH, PATH, GET_BODIES, BODY, NO_BODY, TRANSFER = (
    "proof", "getpath", "path", "getbodies", "body", "nobody", "transfer"
)  # fmt: skip

MESSAGES: Sequence[MessageType] = (
    MessageType(PROOF, "a new best proof, and small bodies", MAX_PROOF_SIZE + INLINE_BYTES + 8_000, 20, 200),
    MessageType(GET_PATH, "the best path above the first of these proofs that is on it", 1 + 32 * MAX_LOCATOR, 10, 50),
    MessageType(PATH, "proofs of the best path, and whether there are more", PATH_BYTES + MAX_PROOF_SIZE + 10, 10, 50),
    MessageType(GET_BODIES, "the bodies of these roots", 1 + 32 * MAX_ROOTS, 50, 500),
    MessageType(BODY, "the body of a root", 32 + MAX_BODY_SIZE, 1000, 4000),
    MessageType(NO_BODY, "a body that the peer has not got", 32, 1000, 4000),
    MessageType(TRANSFER, "a transfer for a chain's mempool", 32 + MAX_TRANSFER_SIZE, 200, 2000, required=False),
)


@dataclass(frozen=True, slots=True)
class ProofMessage:
    """A proof's wire form and wire forms of bodies by root."""

    proof: bytes
    bodies: tuple[tuple[bytes, bytes], ...]

    def encode(self) -> bytes:
        parts = [compact_size(len(self.proof)), self.proof, compact_size(len(self.bodies))]
        for root, body in self.bodies:
            parts += (root, compact_size(len(body)), body)
        return b"".join(parts)


def proof_message(proof: bytes, roots: Iterable[bytes], bodies: Mapping[bytes, Body]) -> ProofMessage:
    """A proof with those bodies of its roots that are known and small enough together."""
    taken: list[tuple[bytes, bytes]] = []
    left = INLINE_BYTES
    for root in roots:
        body = bodies.get(root)
        stored = serialize_body(body) if body is not None else b""
        if body is not None and len(stored) <= left:
            taken.append((root, stored))
            left -= len(stored)
    return ProofMessage(proof, tuple(taken))


def decode_proof(payload: bytes) -> ProofMessage:
    """Raises MalformedError, as all of these."""
    reader = Reader(payload)
    proof = reader.variable()
    bodies = tuple((reader.hash32(), reader.variable()) for _ in range(reader.count()))
    reader.finish()
    return ProofMessage(proof, bodies)


def encode_ids(ids: Sequence[bytes]) -> bytes:
    """A locator, newest first, or roots."""
    return compact_size(len(ids)) + b"".join(ids)


def decode_ids(payload: bytes) -> tuple[bytes, ...]:
    reader = Reader(payload)
    ids = reader.hashes()
    reader.finish()
    if len(ids) > MAX_LOCATOR:
        raise MalformedError(f"{len(ids)} ids, the limit is {MAX_LOCATOR}")
    return ids


def encode_path(wires: Iterable[bytes]) -> bytes:
    """As many proofs as fit, oldest first, and whether there are more of them."""
    taken: list[bytes] = []
    size = 0
    more = False
    for wire in wires:
        if len(taken) == PATH_PROOFS or size + len(wire) > PATH_BYTES:
            more = True
            break
        taken.append(compact_size(len(wire)) + wire)
        size += len(taken[-1])
    return bytes((more,)) + compact_size(len(taken)) + b"".join(taken)


def decode_path(payload: bytes) -> tuple[bool, tuple[bytes, ...]]:
    reader = Reader(payload)
    more = reader.read(1) != b"\x00"
    wires = tuple(reader.many(reader.variable))
    reader.finish()
    return more, wires


def decode_keyed(payload: bytes) -> tuple[bytes, bytes]:
    """32 bytes, a root or a context, and what follows them."""
    reader = Reader(payload)
    return reader.hash32(), payload[32:]
