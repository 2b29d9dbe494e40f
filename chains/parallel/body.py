"""A chain's transactions under one consensus proof: T_b, its merkle root, and the parallel block that both make.

    T_b      = coinbase, then records of the chain;  wire form: varint n ‖ n * (varint len ‖ bytes)
    coinbase = "PPC1" ‖ previous parallel block id (32) ‖ height (4, little-endian) ‖ length (1) ‖ reward script
    root     = Bitcoin's merkle root of SHA-256d of each
    block    = 01000000 ‖ consensus proof id (32) ‖ context (32) ‖ root (32), its id SHA-256d of these 100 bytes

A root must have one body and no other, or two honest followers could hold different ones for ever. Bitcoin's merkle
tree alone does not give that: an odd row repeats its last hash (CVE-2012-2459), and 64 bytes are both a transaction and
two hashes. So a body repeats no pair of equal hashes, and no transaction in it has 64 bytes; a coinbase would have 64
with a script of 23 bytes, which is P2SH, so no chain of ours pays to those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chains.primitives.hashes import sha256d
from chains.primitives.merkle import merkle_root
from chains.primitives.serialize import MalformedError, Reader, compact_size

COINBASE_MAGIC = b"PPC1"
BLOCK_VERSION = (1).to_bytes(4, "little")
GENESIS_BLOCK = bytes(32)
"""What a chain's first block names as the one before it."""
MAX_BODY_SIZE = 1_000_000  # of the wire form; one message
MAX_SCRIPT_SIZE = 80
NODE_SIZE = 64  # an inner node's preimage

Body = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class BlockCoinbase:
    """The first transaction of a body: what it builds on, and who is paid."""

    previous: bytes
    height: int
    script: bytes

    def serialize(self) -> bytes:
        """Raises ValueError for a script that no body may have."""
        if not 1 <= len(self.script) <= MAX_SCRIPT_SIZE or len(self.script) == NODE_SIZE - 41:
            raise ValueError(f"a reward script has 1 to {MAX_SCRIPT_SIZE} bytes, and not {NODE_SIZE - 41}")
        height = self.height.to_bytes(4, "little")
        return COINBASE_MAGIC + self.previous + height + bytes((len(self.script),)) + self.script


def read_block_coinbase(data: bytes) -> BlockCoinbase:
    """Exactly one coinbase of a body. Raises MalformedError."""
    reader = Reader(data)
    if reader.read(4) != COINBASE_MAGIC:
        raise MalformedError("a body's coinbase begins with PPC1")
    previous, height = reader.hash32(), reader.u32()
    script = reader.read(reader.read(1)[0])
    reader.finish()
    if not 1 <= len(script) <= MAX_SCRIPT_SIZE:
        raise MalformedError(f"a reward script has 1 to {MAX_SCRIPT_SIZE} bytes")
    return BlockCoinbase(previous, height, script)


def root_of(body: Sequence[bytes]) -> bytes:
    """The merkle root of a body that is not empty, natural order."""
    return merkle_root([sha256d(transaction) for transaction in body])


def branch_of(body: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The siblings, leaf first, that fold a body's transaction into its root."""
    row = [sha256d(transaction) for transaction in body]
    branch: list[bytes] = []
    while len(row) > 1:
        if len(row) % 2:
            row.append(row[-1])
        branch.append(row[index ^ 1])
        row = [sha256d(row[at] + row[at + 1]) for at in range(0, len(row), 2)]
        index >>= 1
    return tuple(branch)


def serialize_body(body: Sequence[bytes]) -> bytes:
    return compact_size(len(body)) + b"".join(compact_size(len(one)) + one for one in body)


def read_body(wire: bytes) -> Body:
    """The body of a wire form. Raises MalformedError; also for a body that could not be its root's only one."""
    if len(wire) > MAX_BODY_SIZE:
        raise MalformedError(f"a body of {len(wire)} bytes, the limit is {MAX_BODY_SIZE}")
    reader = Reader(wire)
    body = tuple(reader.many(reader.variable))
    reader.finish()
    reason = form_problem(body)
    if reason is not None:
        raise MalformedError(reason)
    return body


def read_body_of(root: bytes, wire: bytes) -> Body:
    """The body of a wire form that must have this root. Raises MalformedError."""
    body = read_body(wire)
    if root_of(body) != root:
        raise MalformedError("a body of another root")
    return body


def form_problem(body: Sequence[bytes]) -> str | None:
    """Why these transactions are no body, whatever their chain; None when they are one."""
    if not body:
        return "body-empty"
    if any(len(transaction) == NODE_SIZE for transaction in body):
        return "body-ambiguous"
    row = [sha256d(transaction) for transaction in body]
    while len(row) > 1:
        if any(row[at] == row[at + 1] for at in range(0, len(row) - 1, 2)):
            return "body-repeats"
        if len(row) % 2:
            row.append(row[-1])
        row = [sha256d(row[at] + row[at + 1]) for at in range(0, len(row), 2)]
    return None


def block_header(proof_id: bytes, context: bytes, root: bytes) -> bytes:
    """The 100 bytes of a parallel block's header."""
    return BLOCK_VERSION + proof_id + context + root


def block_id(proof_id: bytes, context: bytes, root: bytes) -> bytes:
    """A parallel block's id, natural order."""
    return sha256d(block_header(proof_id, context, root))
