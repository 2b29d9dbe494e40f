"""The MM1 proof (CAuxPow): build, serialise, parse, and the check of a full node, rule by rule in its order.

The rules are those of Namecoin's src/auxpow.cpp (CAuxPow::check), which Dogecoin and Fractal share, and of
CheckProofOfWork in its validation.cpp; the reasons are short forms of the node's own messages.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from chains.auxpow.slots import AUXPOW_VERSION_BIT, CHAIN_ID_SHIFT, MAX_HEIGHT, slot_of
from chains.primitives.hashes import POW_HASHES, sha256d
from chains.primitives.header import Header, parse_header, read_header
from chains.primitives.merkle import fold_branch
from chains.primitives.serialize import MalformedError, Reader, compact_size
from chains.primitives.target import meets
from chains.primitives.transaction import Transaction, parse_transaction, read_output, read_transaction

MAGIC = bytes.fromhex("fabe6d6d")
LATEST_ROOT_WITHOUT_MAGIC = 20  # legacy form: the root starts at this offset of the scriptSig at the latest


@dataclass(frozen=True, slots=True)
class AuxPow:
    """The second parameter of submitauxblock. Hashes in natural order, branches leaf first.

    `parent_hash` is ignored by every node (zeros or the parent's hash). `index` is the coinbase's place in the parent
    and always 0; `chain_index` the chain's slot.
    """

    coinbase: Transaction
    parent_hash: bytes
    branch: tuple[bytes, ...]
    index: int
    chain_branch: tuple[bytes, ...]
    chain_index: int
    parent: Header

    def serialize(self) -> bytes:
        """The wire form, the coinbase stripped: every deserialiser reads that, with segwit or without."""
        return b"".join((
            self.coinbase.serialize(witness=False),
            self.parent_hash,
            compact_size(len(self.branch)),
            *self.branch,
            struct.pack("<i", self.index),
            compact_size(len(self.chain_branch)),
            *self.chain_branch,
            struct.pack("<i", self.chain_index),
            self.parent.serialize(),
        ))  # fmt: skip


def build(
    header: bytes, coinbase: bytes, branch: Sequence[bytes], chain_branch: Sequence[bytes], chain_index: int
) -> AuxPow:
    """The proof that a solved parent header (80 bytes), its stripped coinbase and merkle branch give for one slot."""
    return AuxPow(
        coinbase=parse_transaction(coinbase),
        parent_hash=sha256d(header),
        branch=tuple(branch),
        index=0,
        chain_branch=tuple(chain_branch),
        chain_index=chain_index,
        parent=parse_header(header),
    )


def read_auxpow(reader: Reader) -> AuxPow:
    """The proof at the reader's place. Raises MalformedError."""
    return AuxPow(
        coinbase=_read_coinbase(reader),
        parent_hash=reader.hash32(),
        branch=reader.hashes(),
        index=reader.i32(),
        chain_branch=reader.hashes(),
        chain_index=reader.i32(),
        parent=read_header(reader),
    )


def parse(data: bytes) -> AuxPow:
    """Exactly one proof. Raises MalformedError."""
    reader = Reader(data)
    auxpow = read_auxpow(reader)
    reader.finish()
    return auxpow


def _read_coinbase(reader: Reader) -> Transaction:
    """A coinbase in either form; also one without inputs, which only the form without witness can express and which
    `check` has a word for."""
    start = reader.position
    try:
        return read_transaction(reader)
    except MalformedError:
        if reader.data[start + 4 : start + 5] != b"\x00":
            raise
    reader.position = start
    version = reader.i32()
    reader.read(1)
    outputs = tuple(reader.many(lambda: read_output(reader)))
    return Transaction(version, (), outputs, reader.u32())


def check(
    auxpow: AuxPow,
    block_hash: bytes,
    chain_id: int,
    *,
    strict_chain_id: bool = True,
    index_must_be_zero: bool = False,
) -> str:
    """The word `ok`, or the first reason for which a node would refuse the proof for a block hash (natural order).

    The parent's proof of work is not looked at. `index_must_be_zero` is Dogecoin's extra rule, Namecoin ignores the
    field.
    """
    return _problem(auxpow, block_hash, chain_id, strict_chain_id, index_must_be_zero) or "ok"


def verify(
    auxpow: AuxPow, block_hash: bytes, chain_id: int, target: int, pow_name: str = "sha256d", **rules: bool
) -> str:
    """As `check`, then what CheckProofOfWork adds: a parent with the aux-proof version flag is refused, and its
    proof-of-work hash must meet the child's target (`high-hash`)."""
    verdict = check(auxpow, block_hash, chain_id, **rules)
    if verdict != "ok":
        return verdict
    if auxpow.parent.version & AUXPOW_VERSION_BIT:
        return "parent has auxpow version"
    return "ok" if meets(POW_HASHES[pow_name](auxpow.parent.serialize()), target) else "high-hash"


def _problem(auxpow: AuxPow, block_hash: bytes, chain_id: int, strict: bool, index_must_be_zero: bool) -> str | None:
    if index_must_be_zero and auxpow.index != 0:
        return "not a generation transaction"
    if strict and version_chain_id(auxpow.parent.version) == chain_id:
        return "parent has our chain id"
    if len(auxpow.chain_branch) > MAX_HEIGHT:
        return "chain merkle branch too long"
    root = bytes(32)  # what CheckMerkleBranch gives for index -1
    if auxpow.chain_index != -1:
        root = fold_branch(block_hash, auxpow.chain_branch, auxpow.chain_index)
    if fold_branch(auxpow.coinbase.txid, auxpow.branch) != auxpow.parent.merkle_root:
        return "merkle root incorrect"
    if not auxpow.coinbase.inputs:
        return "coinbase has no inputs"
    return _script_problem(auxpow, auxpow.coinbase.inputs[0].script_sig, root[::-1], chain_id)


def _script_problem(auxpow: AuxPow, script_sig: bytes, root_displayed: bytes, chain_id: int) -> str | None:
    """What is wrong with the tag in the scriptSig: first occurrences of magic and root, alignment does not matter."""
    magic_at = script_sig.find(MAGIC)
    root_at = script_sig.find(root_displayed)
    if root_at < 0:
        return "missing chain merkle root in parent coinbase"
    if magic_at >= 0:
        if script_sig.find(MAGIC, magic_at + 1) >= 0:
            return "multiple merged mining headers in coinbase"
        if magic_at + len(MAGIC) != root_at:
            return "header is not just before chain merkle root"
    elif root_at > LATEST_ROOT_WITHOUT_MAGIC:
        return "root must start in the first 20 bytes"
    numbers = script_sig[root_at + 32 : root_at + 40]
    if len(numbers) < 8:
        return "missing size and nonce"
    size, nonce = struct.unpack("<II", numbers)
    height = len(auxpow.chain_branch)
    if size != 1 << height:
        return "size does not match"
    if auxpow.chain_index != slot_of(chain_id, height, nonce):
        return "wrong index"
    return None


def version_chain_id(version: int) -> int:
    """The chain id in a header's version: the signed 32-bit number divided by 65536, towards zero as C++ divides."""
    signed = version - (1 << 32) if version >= 1 << 31 else version
    return signed >> CHAIN_ID_SHIFT if signed >= 0 else -(-signed >> CHAIN_ID_SHIFT)


def holds_magic_twice(script_sig: bytes) -> bool:
    """Whether a scriptSig would be refused by every MM1 chain for a second magic, e.g. one that an extranonce makes by
    chance: such a share proves no MM1 block."""
    first = script_sig.find(MAGIC)
    return first >= 0 and script_sig.find(MAGIC, first + 1) >= 0
