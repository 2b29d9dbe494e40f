"""AuxPoW (MM1) as a full node checks it, written from the rules of Namecoin Core's auxpow.cpp alone.

The pool builds and verifies proofs with code of its own (chains/auxpow); this second reading of the same rules is what
its proofs have to convince in the devnet and in the tests. The rule texts are those of the vectors (mm1.json).
"""

from __future__ import annotations

from dataclasses import dataclass

from chains.primitives.hashes import POW_HASHES, sha256d
from chains.primitives.header import Header, read_header
from chains.primitives.merkle import fold_branch
from chains.primitives.serialize import Reader
from chains.primitives.transaction import Transaction, read_transaction

MAGIC = bytes.fromhex("fabe6d6d")
MAX_CHAIN_BRANCH = 30
MAX_LEGACY_OFFSET = 20
AUXPOW_BIT = 0x100
CHAIN_ID_UNIT = 0x10000


@dataclass(frozen=True, slots=True)
class AuxProof:
    """A CAuxPow: parent coinbase, its branch to the parent's root, the chain branch, and the parent header. Hashes are
    natural; `block_hash_field` is on the wire but means nothing."""

    coinbase: Transaction
    block_hash_field: bytes
    branch: tuple[bytes, ...]
    index: int
    chain_branch: tuple[bytes, ...]
    chain_index: int
    parent: Header


def read_proof(reader: Reader) -> AuxProof:
    """The proof at the reader's place. Raises MalformedError."""
    coinbase = read_transaction(reader)
    block_hash_field, branch, index = reader.hash32(), reader.hashes(), reader.i32()
    chain_branch, chain_index = reader.hashes(), reader.i32()
    return AuxProof(coinbase, block_hash_field, branch, index, chain_branch, chain_index, read_header(reader))


def chain_id_of(version: int) -> int:
    """nVersion / 65536 in C's signed arithmetic, which cuts towards zero."""
    signed = version - (1 << 32) if version & 1 << 31 else version
    return signed // CHAIN_ID_UNIT if signed >= 0 else -(-signed // CHAIN_ID_UNIT)


def expected_slot(nonce: int, chain_id: int, height: int) -> int:
    """Section 2.3: two rounds of a linear congruential generator over 32 bits, taken modulo the tree's size."""
    value = (nonce * 1103515245 + 12345) & 0xFFFFFFFF
    value = (value + chain_id) & 0xFFFFFFFF
    value = (value * 1103515245 + 12345) & 0xFFFFFFFF
    return value % (1 << height)


def check_proof(proof: AuxProof, block_hash: bytes, chain_id: int, *, index_is_checked: bool = False) -> str | None:
    """The first rule of section 2.2 that the proof breaks for a block (natural hash), or None.

    Proof of work is not looked at. `index_is_checked` is Dogecoin's extra rule: the serialised nIndex must be 0.
    """
    if index_is_checked and proof.index != 0:
        return "auxpow is not a generate"
    if chain_id_of(proof.parent.version) == chain_id:
        return "parent has our chain id"
    if len(proof.chain_branch) > MAX_CHAIN_BRANCH:
        return "chain merkle branch too long"
    root = fold_branch(block_hash, proof.chain_branch, proof.chain_index & 0xFFFFFFFF)[::-1]
    if fold_branch(proof.coinbase.txid, proof.branch) != proof.parent.merkle_root:
        return "merkle root incorrect"
    if not proof.coinbase.inputs:
        return "coinbase without inputs"
    return _check_script(proof.coinbase.inputs[0].script_sig, root, proof, chain_id)


def _check_script(script: bytes, root: bytes, proof: AuxProof, chain_id: int) -> str | None:
    magic_at = script.find(MAGIC)
    root_at = script.find(root)
    if root_at < 0:
        return "missing chain merkle root in parent coinbase"
    if magic_at >= 0:
        if script.find(MAGIC, magic_at + 1) >= 0:
            return "multiple merged mining headers in coinbase"
        if magic_at + len(MAGIC) != root_at:
            return "header is not just before chain merkle root"
    elif root_at > MAX_LEGACY_OFFSET:
        return "root must start in the first 20 bytes"
    tail = script[root_at + 32 : root_at + 40]
    if len(tail) < 8:
        return "missing size and nonce"
    size, nonce = int.from_bytes(tail[:4], "little"), int.from_bytes(tail[4:], "little")
    height = len(proof.chain_branch)
    if size != 1 << height:
        return "size does not match"
    if proof.chain_index != expected_slot(nonce, chain_id, height):
        return "wrong index"
    return None


def check_headers(version: int, proof: AuxProof, chain_id: int) -> str | None:
    """Header rules around the proof: our block's chain id, and a parent that is not itself merge-mined."""
    if chain_id_of(version) != chain_id:
        return "block does not have our chain id"
    if proof.parent.version & AUXPOW_BIT:
        return "auxpow parent block has auxpow version"
    return None


def parent_hash(proof: AuxProof) -> bytes:
    """The parent's block hash (SHA-256d), natural order."""
    return sha256d(proof.parent.serialize())


def work_hash(proof: AuxProof, pow_hash: str) -> bytes:
    """The hash of the parent's header that must meet our target, natural order: Dogecoin's is scrypt."""
    return POW_HASHES[pow_hash](proof.parent.serialize())
