"""BIP322 "simple" signatures: a message is signed as if its address were spent by a transaction that cannot exist.

`to_spend` has one output that pays the address and carries the message's hash; `to_sign` spends it. A simple signature
is the witness of that spend, so only witness programs have one. Read strictly and only where a single key decides:
P2WPKH, the same inside P2SH, and P2TR by its key path; SIGHASH_ALL, or Taproot's default which commits to the same.
Everything is computed for this one input and output, straight from BIP143 and BIP341.
"""

from __future__ import annotations

import hashlib

from embit import ec
from embit.base import EmbitError

from chains.primitives.hashes import hash160, sha256d
from chains.primitives.script import push
from chains.primitives.serialize import MalformedError, Reader, compact_size
from chains.primitives.transaction import NULL_HASH, NULL_INDEX, Transaction, TxIn, TxOut

SIGHASH_DEFAULT = 0
SIGHASH_ALL = 1
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""The number of points of secp256k1 (SEC 2, section 2.4.1)."""

_VERSION = _LOCK_TIME = _SEQUENCE = _INDEX = bytes(4)
_AMOUNT = bytes(8)
_OUTPUT = TxOut(0, b"\x6a")  # OP_RETURN
_OUTPUT_BYTES = _AMOUNT + b"\x01\x6a"


def tagged_hash(tag: str, data: bytes) -> bytes:
    """BIP340's hash for one purpose."""
    prefix = hashlib.sha256(tag.encode()).digest()
    return hashlib.sha256(prefix + prefix + data).digest()


def to_spend(script: bytes, message: bytes) -> Transaction:
    """The transaction whose only output pays `script`."""
    challenge = b"\x00" + push(tagged_hash("BIP0322-signed-message", message))
    return Transaction(0, (TxIn(NULL_HASH, NULL_INDEX, challenge, 0),), (TxOut(0, script),))


def to_sign(script: bytes, message: bytes) -> Transaction:
    """The transaction that spends it, before it is signed."""
    return Transaction(0, (TxIn(to_spend(script, message).txid, 0, b"", 0),), (_OUTPUT,))


def witness_refusal(script: bytes, message: bytes, encoded: bytes) -> str | None:
    """None when the encoded witness stack is `script`'s signature of the message, else why not, for people."""
    try:
        reader = Reader(encoded)
        stack = reader.many(reader.variable)
        reader.finish()
    except MalformedError:
        return "the signature is no BIP322 witness"
    outpoint = to_spend(script, message).txid + _INDEX
    if len(script) == 34 and script[:2] == b"\x51\x20":
        return _key_path_refusal(script, outpoint, stack)
    return _key_hash_refusal(script, outpoint, stack)


def _key_hash_refusal(script: bytes, outpoint: bytes, stack: list[bytes]) -> str | None:
    if len(stack) != 2 or len(stack[1]) != 33:
        return "a BIP322 signature of this address has two parts: a signature and a compressed key"
    signature, pubkey = stack
    program = b"\x00\x14" + hash160(pubkey)
    if script not in (program, b"\xa9\x14" + hash160(program) + b"\x87"):
        return "the signature is of another key than the address"
    if signature[-1:] != bytes((SIGHASH_ALL,)):
        return "the signature must be of the kind SIGHASH_ALL"
    if not _is_strict_der(signature[:-1]):
        return "the signature is not strictly encoded, or its s is high"
    digest = segwit_digest(outpoint, hash160(pubkey))
    try:
        good = ec.PublicKey.parse(pubkey).verify(ec.Signature.parse(signature[:-1]), digest)
    except (ValueError, TypeError, EmbitError):
        good = False
    return None if good else "the signature is not of this message"


def _key_path_refusal(script: bytes, outpoint: bytes, stack: list[bytes]) -> str | None:
    if len(stack) != 1 or len(stack[0]) not in (64, 65):
        return "a BIP322 signature of a Taproot address is one signature by its key"
    signature = stack[0]
    hash_type = signature[64] if len(signature) == 65 else SIGHASH_DEFAULT
    if len(signature) == 65 and hash_type != SIGHASH_ALL:
        return "the signature must be of the kind SIGHASH_ALL"
    digest = taproot_digest(outpoint, script, hash_type)
    try:
        # Any x is tried with the even y, which is how BIP340 reads a key of 32 bytes.
        good = ec.PublicKey.from_xonly(script[2:]).schnorr_verify(ec.SchnorrSig(signature[:64]), digest)
    except (ValueError, TypeError, EmbitError):
        good = False
    return None if good else "the signature is not of this message and address"


def segwit_digest(outpoint: bytes, key_hash: bytes) -> bytes:
    """BIP143 for one input with SIGHASH_ALL."""
    code = b"\x76\xa9\x14" + key_hash + b"\x88\xac"
    parts = (
        _VERSION,
        sha256d(outpoint),
        sha256d(_SEQUENCE),
        outpoint,
        compact_size(len(code)) + code,
        _AMOUNT,
        _SEQUENCE,
        sha256d(_OUTPUT_BYTES),
        _LOCK_TIME,
        SIGHASH_ALL.to_bytes(4, "little"),
    )
    return sha256d(b"".join(parts))


def taproot_digest(outpoint: bytes, script: bytes, hash_type: int) -> bytes:
    """BIP341 for one input, key path, no annex."""
    parts = (
        b"\x00",  # epoch
        bytes((hash_type,)),
        _VERSION,
        _LOCK_TIME,
        hashlib.sha256(outpoint).digest(),
        hashlib.sha256(_AMOUNT).digest(),
        hashlib.sha256(compact_size(len(script)) + script).digest(),
        hashlib.sha256(_SEQUENCE).digest(),
        hashlib.sha256(_OUTPUT_BYTES).digest(),
        b"\x00",  # spend type
        _INDEX,
    )
    return tagged_hash("TapSighash", b"".join(parts))


def _is_strict_der(der: bytes) -> bool:
    """BIP66's encoding, and BIP146's low s, of numbers below the group's order."""
    if not 8 <= len(der) <= 72 or der[0] != 0x30 or der[1] != len(der) - 2:
        return False
    numbers: list[int] = []
    position = 2
    while position < len(der):
        if len(der) - position < 3 or der[position] != 0x02:
            return False
        size = der[position + 1]
        number = der[position + 2 : position + 2 + size]
        if not number or len(number) != size or number[0] & 0x80:
            return False
        if size > 1 and number[0] == 0 and not number[1] & 0x80:
            return False
        numbers.append(int.from_bytes(number, "big"))
        position += 2 + size
    return len(numbers) == 2 and 0 < numbers[0] < ORDER and 0 < numbers[1] <= ORDER // 2
