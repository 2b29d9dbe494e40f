"""A block as the reference nodes store and exchange it, and what differs between the kinds in its form.

Wire form: header (80 bytes) ‖ proof (kinds with one) ‖ CompactSize count ‖ transactions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

from chains.primitives.hashes import POW_HASHES
from chains.primitives.header import Header, read_header
from chains.primitives.merkle import merkle_root
from chains.primitives.serialize import Reader, compact_size
from chains.primitives.target import meets
from chains.primitives.transaction import Transaction, read_transaction


@dataclass(frozen=True, slots=True)
class Block:
    """A parsed block; `proof` is the auxiliary proof of work as it stands on the wire, empty when there is none."""

    header: Header
    transactions: tuple[Transaction, ...]
    proof: bytes = b""

    def serialize(self, *, witness: bool = True) -> bytes:
        parts = [self.header.serialize(), self.proof, compact_size(len(self.transactions))]
        parts += [transaction.serialize(witness=witness) for transaction in self.transactions]
        return b"".join(parts)

    @property
    def weight(self) -> int:
        return 3 * len(self.serialize(witness=False)) + len(self.serialize())

    @property
    def coinbase(self) -> Transaction:
        return self.transactions[0]

    def merkle_root(self) -> bytes:
        return merkle_root([transaction.txid for transaction in self.transactions])


class BlockForm(Protocol):
    """What a kind says about its blocks: how they are named, where the proof stands, and when it is good."""

    def block_hash(self, header: Header) -> bytes:
        """The block's name, natural order."""
        ...

    def template_version(self, version: int) -> int:
        """The header version of a block that this node builds for itself to mine."""
        ...

    def read_proof(self, reader: Reader, header: Header) -> bytes:
        """The proof behind the header, as wire bytes. Raises MalformedError."""
        ...

    def check_work(self, header: Header, proof: bytes, target: int) -> str | None:
        """None when the proof of work is good for the target, else a reason word."""
        ...

    def mine(self, header: Header, target: int) -> tuple[Header, bytes]:
        """A header and proof that meet an easy target."""
        ...

    def unworked_proof(self) -> bytes:
        """What stands in the proof's place in a block that the node made without work: readable, and worth nothing."""
        ...

    def describe_proof(self, header: Header, proof: bytes) -> dict[str, Any]:
        """The JSON fields that a header or block view carries for the proof."""
        ...


class PlainForm:
    """Bitcoin's form: the header is the proof. `pow_hash` names the function whose output meets the target; a block's
    name is SHA-256d of its header with either."""

    def __init__(self, pow_hash: str = "sha256d") -> None:
        self.pow_hash = pow_hash

    def block_hash(self, header: Header) -> bytes:
        return header.hash

    def template_version(self, version: int) -> int:
        return version

    def read_proof(self, reader: Reader, header: Header) -> bytes:
        return b""

    def check_work(self, header: Header, proof: bytes, target: int) -> str | None:
        return None if meets(POW_HASHES[self.pow_hash](header.serialize()), target) else "high-hash"

    def mine(self, header: Header, target: int) -> tuple[Header, bytes]:
        return mine_header(header, target, self.pow_hash), b""

    def unworked_proof(self) -> bytes:
        return b""

    def describe_proof(self, header: Header, proof: bytes) -> dict[str, Any]:
        return {}


def mine_header(header: Header, target: int, pow_hash: str = "sha256d") -> Header:
    """The header with the first nonce that meets the target; for targets that a few thousand hashes meet."""
    for nonce in range(2**32):
        mined = replace(header, nonce=nonce)
        if meets(POW_HASHES[pow_hash](mined.serialize()), target):
            return mined
    raise ValueError("no nonce meets the target")


def parse_block(data: bytes, form: BlockForm) -> Block:
    """Exactly one block. Raises MalformedError."""
    reader = Reader(data)
    header = read_header(reader)
    proof = form.read_proof(reader, header)
    transactions = tuple(reader.many(lambda: read_transaction(reader)))
    reader.finish()
    return Block(header, transactions, proof)
