"""Merged Mining 2 as a child chain's full node checks it, written from the readings of docs/adr/0001 alone.

The pool's own builder and verifier live in chains/mm2; this is the independent second reading that its proofs have to
convince. Reason words are those of `pool verify mm2`; the first failing check wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chains.primitives.hashes import POW_HASHES, sha256d
from chains.primitives.serialize import Reader, compact_size
from chains.primitives.sha256_midstate import EMPTY, Midstate
from chains.primitives.target import meets

OUTPUT_HEAD = bytes.fromhex("2a6a28")  # script length 42, OP_RETURN, push of 40
LEAST_LENGTH = 60  # of the coinbase before the root: nothing shorter can be a transaction (R9)
MOST_LENGTH = 2**61  # SHA-256 counts bits in 64 bits
MAX_LEVELS = 256
MAX_PARENT_LEVELS = 32
LOCK_TIME = bytes(4)  # R12


@dataclass(frozen=True, slots=True)
class Mm2Proof:
    """A proof's parts; hashes natural. `header` is 48 bytes: the parent's header without its merkle root. `sides` (root
    first) and `parent_sides` are bit strings and not on the wire: None stands for what the rules demand."""

    header: bytes
    parent_branch: Sequence[bytes]
    state: bytes
    length: int
    extra: bytes
    branch: Sequence[bytes]
    nonce: bytes
    sides: str | None = None
    parent_sides: str | None = None


def read_proof(reader: Reader) -> Mm2Proof:
    """A proof in wire form R10 at the reader's place. Raises MalformedError."""
    header = reader.read(48)
    parent_branch = reader.hashes()
    state = reader.read(32)
    length = reader.compact_size()
    extra = reader.read(length % 64)
    branch = reader.hashes()
    return Mm2Proof(header, parent_branch, state, length, extra, branch, reader.read(8))


def parse_proof(data: bytes) -> Mm2Proof:
    """Exactly one proof. Raises MalformedError."""
    reader = Reader(data)
    proof = read_proof(reader)
    reader.finish()
    return proof


def write_proof(proof: Mm2Proof) -> bytes:
    parts = [proof.header, compact_size(len(proof.parent_branch)), *proof.parent_branch, proof.state]
    parts += [compact_size(proof.length), proof.extra, compact_size(len(proof.branch)), *proof.branch, proof.nonce]
    return b"".join(parts)


def context_bits(context: bytes) -> str:
    """Reading R4, order A: the digest's bytes in order, the most significant bit of each byte first."""
    return "".join(f"{byte:08b}" for byte in context)


def leaf_of(aux_hash: bytes) -> bytes:
    """Reading R1: 64 zero bytes in front keep leaves and inner nodes apart."""
    return sha256d(bytes(64) + aux_hash)


def _fold(leaf: bytes, branch: Sequence[bytes], sides_root_first: str) -> bytes:
    """Climb from the leaf (branch is leaf first, sides root first); side 1 means that we are the right child."""
    current = leaf
    for sibling, side in zip(branch, reversed(sides_root_first), strict=True):
        current = sha256d(sibling + current) if side == "1" else sha256d(current + sibling)
    return current


def _is_malformed(proof: Mm2Proof) -> bool:
    hashes = [*proof.parent_branch, *proof.branch, proof.state]
    sides = (proof.sides or "") + (proof.parent_sides or "")
    return len(proof.header) != 48 or any(len(h) != 32 for h in hashes) or bool(set(sides) - {"0", "1"})


def check_proof(
    proof: Mm2Proof, context: bytes, aux_hash: bytes, target: int, pow_hash: str = "sha256d"
) -> str | None:
    """The reason word of the first rule that a proof breaks, or None. `pow_hash` names the parent's proof of work; all
    other hashes are SHA-256d (R13)."""
    if _is_malformed(proof):
        return "malformed-proof"
    depth = len(proof.branch)
    sides = context_bits(context)[:depth] if proof.sides is None else proof.sides
    if len(sides) != depth or depth > MAX_LEVELS:
        return "side-count"
    if not context_bits(context).startswith(sides):
        return "side-bits-not-prefix"
    if len(proof.nonce) != 8:
        return "last-txout-nonce-length"
    if len(proof.extra) != proof.length % 64:
        return "hash-link-extra"
    if not LEAST_LENGTH <= proof.length < MOST_LENGTH:
        return "hash-link-length"
    visible = min(len(OUTPUT_HEAD), len(proof.extra))
    if visible and proof.extra[-visible:] != OUTPUT_HEAD[-visible:]:
        return "hash-link-ending"
    levels = len(proof.parent_branch)
    if levels > MAX_PARENT_LEVELS or (proof.parent_sides is not None and proof.parent_sides != "0" * levels):
        return "not-generation-transaction"
    return None if meets(parent_hash(proof, sides, aux_hash, pow_hash), target) else "high-hash"


def parent_hash(proof: Mm2Proof, sides: str, aux_hash: bytes, pow_hash: str = "sha256d") -> bytes:
    """The parent's proof-of-work hash that the proof's parts lead to."""
    root = _fold(leaf_of(aux_hash), proof.branch, sides)
    link = Midstate(proof.state, proof.length, proof.extra)
    txid = sha256d_tail(link, root + proof.nonce + LOCK_TIME)
    merkle_root = _fold(txid, proof.parent_branch, "0" * len(proof.parent_branch))
    return POW_HASHES[pow_hash](proof.header[:36] + merkle_root + proof.header[36:])


def sha256d_tail(link: Midstate, tail: bytes) -> bytes:
    """SHA-256d of a message whose beginning is known by its midstate only."""
    return EMPTY.update(link.update(tail).digest()).digest()


