"""The Merged Mining 2 proof: build, serialise (wire form R10), parse, verify.

Keeps readings R1 to R13 of docs/adr/0001-mm2-readings.md. PoW uniqueness, that one parent proof of work serves at most
one datum per context, rests on every check of `verify`; what stands after the hash link has a fixed length, so the
root's place in the coinbase is unique.
"""

from __future__ import annotations

from dataclasses import dataclass

from chains.mm2_proof import hash_link
from chains.mm2_proof.hash_link import ENDING, HashLink
from chains.mm2_proof.tree import CONTEXT_SIZE, MAX_DEPTH, MerkleLink, fold, leaf_of, path_bits
from chains.primitives.hashes import POW_HASHES
from chains.primitives.header import HEADER_SIZE
from chains.primitives.merkle import fold_branch
from chains.primitives.serialize import MalformedError, Reader, compact_size
from chains.primitives.target import meets

LOCK_TIME = bytes(4)  # a generation transaction's nLockTime, always 0 (R12; BIP54 forbids it, see the ADR)
NONCE_SIZE = 8
TAIL_SIZE = 32 + NONCE_SIZE + len(LOCK_TIME)
HEADER_WITHOUT_ROOT_SIZE = HEADER_SIZE - 32
MAX_PARENT_LEVELS = 32  # R7
_ROOT_AT = 36  # version 4, previous hash 32


@dataclass(frozen=True, slots=True)
class Proof:
    """An MM2 proof. Hashes in natural order; sides are "0" (left) and "1" (right), root first; branches leaf first.

    `parent_sides` is not on the wire, where it can only be all left (R7); it exists to refuse anything else.
    """

    header_without_root: bytes
    parent_sides: str
    parent_branch: tuple[bytes, ...]
    hash_link: HashLink
    sides: str
    branch: tuple[bytes, ...]
    aux_hash: bytes
    last_txout_nonce: bytes


def build_proof(
    header: bytes, coinbase: bytes, parent_branch: tuple[bytes, ...], link: MerkleLink, aux_hash: bytes
) -> Proof:
    """The proof that a parent's header and stripped coinbase give for one leaf of its tree.

    Raises ValueError when the coinbase does not end as MM2 wants it: `… 2a 6a 28 ‖ root ‖ nonce 8 ‖ 00000000`.
    """
    prefix, tail = coinbase[:-TAIL_SIZE], coinbase[-TAIL_SIZE:]
    if not prefix.endswith(ENDING) or tail[:32] != fold(leaf_of(aux_hash), link):
        raise ValueError("the coinbase does not end with an MM2 output of this tree")
    if tail[-len(LOCK_TIME) :] != LOCK_TIME:
        raise ValueError("MM2 needs a coinbase with lock time 0")
    return Proof(
        header_without_root=header[:_ROOT_AT] + header[_ROOT_AT + 32 :],
        parent_sides="0" * len(parent_branch),
        parent_branch=parent_branch,
        hash_link=hash_link.link_of(prefix),
        sides=link.sides,
        branch=link.branch,
        aux_hash=aux_hash,
        last_txout_nonce=tail[32 : 32 + NONCE_SIZE],
    )


def serialize(proof: Proof) -> bytes:
    """Wire form R10; sides and auxiliary data hash are known to whoever checks it and are not sent."""
    return b"".join((
        proof.header_without_root,
        compact_size(len(proof.parent_branch)),
        *proof.parent_branch,
        proof.hash_link.serialize(),
        compact_size(len(proof.branch)),
        *proof.branch,
        proof.last_txout_nonce,
    ))  # fmt: skip


def parse(wire: bytes, context: bytes, aux_hash: bytes) -> Proof:
    """The proof of wire form R10 for a datum in a context, whose first bits are its sides. Raises MalformedError."""
    reader = Reader(wire)
    proof = read_proof(reader, context, aux_hash)
    reader.finish()
    return proof


def read_proof(reader: Reader, context: bytes, aux_hash: bytes) -> Proof:
    """As `parse`, at the reader's place."""
    header_without_root = reader.read(HEADER_WITHOUT_ROOT_SIZE)
    parent_branch = reader.hashes()
    link = hash_link.read_hash_link(reader)
    branch = reader.hashes()
    return Proof(
        header_without_root=header_without_root,
        parent_sides="0" * len(parent_branch),
        parent_branch=parent_branch,
        hash_link=link,
        sides=path_bits(context)[: len(branch)],
        branch=branch,
        aux_hash=aux_hash,
        last_txout_nonce=reader.read(NONCE_SIZE),
    )


def verify(proof: Proof, context: bytes, target: int, pow_name: str = "sha256d") -> str:
    """The word `ok`, or the reason word of the first failing check.

    `target` is the child's own; the parent's bits, time and previous hash mean nothing here (R13). `pow_name` is the
    parent's proof-of-work hash. Raises ValueError for a context that is not 32 bytes: that is the question, not the
    proof.
    """
    if len(context) != CONTEXT_SIZE:
        raise ValueError("a context has 32 bytes")
    return _problem(proof, context) or ("ok" if meets(parent_hash(proof, pow_name), target) else "high-hash")


def _problem(proof: Proof, context: bytes) -> str | None:
    if not _well_formed(proof):
        return "malformed-proof"
    if len(proof.sides) != len(proof.branch) or len(proof.branch) > MAX_DEPTH:
        return "side-count"
    if not path_bits(context).startswith(proof.sides):
        return "side-bits-not-prefix"
    if len(proof.last_txout_nonce) != NONCE_SIZE:
        return "last-txout-nonce-length"
    reason = hash_link.problem(proof.hash_link)
    if reason is not None:
        return reason
    levels = len(proof.parent_branch)
    if proof.parent_sides != "0" * levels or levels > MAX_PARENT_LEVELS:
        return "not-generation-transaction"
    return None


def _well_formed(proof: Proof) -> bool:
    """Whether every field has a form at all: lengths of hashes, state and header, sides of 0 and 1, a length that a
    VarInt can hold."""
    hashes = (*proof.parent_branch, *proof.branch, proof.aux_hash, proof.hash_link.state)
    return (
        len(proof.header_without_root) == HEADER_WITHOUT_ROOT_SIZE
        and all(len(digest) == 32 for digest in hashes)
        and set(proof.sides + proof.parent_sides) <= {"0", "1"}
        and 0 <= proof.hash_link.length < 2**64
    )


def parent_header(proof: Proof) -> bytes:
    """The parent's 80-byte header that the proof's parts make, with the merkle root they lead to."""
    root = fold(leaf_of(proof.aux_hash), MerkleLink(proof.sides, proof.branch))
    txid = hash_link.resume(proof.hash_link, root + proof.last_txout_nonce + LOCK_TIME)
    merkle_root = fold_branch(txid, proof.parent_branch)
    return proof.header_without_root[:_ROOT_AT] + merkle_root + proof.header_without_root[_ROOT_AT:]


def parent_hash(proof: Proof, pow_name: str = "sha256d") -> bytes:
    """The parent's proof-of-work hash, natural order."""
    return POW_HASHES[pow_name](parent_header(proof))


def verify_wire(wire: bytes, aux_hash: bytes, context: bytes, target: int, pow_name: str = "sha256d") -> str:
    """As `verify`, for wire form R10; bytes that are none are a `malformed-proof`."""
    try:
        proof = parse(wire, context, aux_hash)
    except MalformedError:
        return "malformed-proof"
    return verify(proof, context, target, pow_name)
