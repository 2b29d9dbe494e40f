"""Spending: the signatures of single-key outputs, made and checked without a script interpreter.

P2WPKH where the chain has segwit (BIP143), P2PKH everywhere; only SIGHASH_ALL. Keys, signatures and signature hashes
come from the library `embit`. Any other output may receive coins but never be spent.
"""

from __future__ import annotations

from embit import ec, transaction
from embit.base import EmbitError
from embit.script import Script

from chains.primitives.address import key_hash_of
from chains.primitives.hashes import hash160
from chains.primitives.script import push
from chains.primitives.transaction import Transaction, TxOut

SIGHASH_ALL = 1
FAILED = "mandatory-script-verify-flag-failed"


def signature_hash(spender: Transaction, index: int, spent: TxOut) -> bytes:
    """What input `index` signs (32 bytes): BIP143 for a witness program, the original algorithm otherwise."""
    parsed = transaction.Transaction.parse(spender.serialize(witness=False))
    key_hash = key_hash_of(spent.script)
    if key_hash is None:
        raise ValueError("not a single-key output")
    script_code = Script(b"\x76\xa9\x14" + key_hash + b"\x88\xac")
    if spent.script[0] == 0:
        digest: bytes = parsed.sighash_segwit(index, script_code, spent.amount_sat)
    else:
        digest = parsed.sighash_legacy(index, script_code)
    return digest


def sign_input(spender: Transaction, index: int, spent: TxOut, key: ec.PrivateKey) -> tuple[bytes, tuple[bytes, ...]]:
    """The scriptSig and witness stack that let a key spend an output of its own."""
    signature = key.sign(signature_hash(spender, index, spent)).serialize() + bytes((SIGHASH_ALL,))
    pubkey = key.get_public_key().sec()
    if spent.script[0] == 0:
        return b"", (signature, pubkey)
    return push(signature) + push(pubkey), ()


def _two_pushes(script_sig: bytes) -> tuple[bytes, ...] | None:
    items: list[bytes] = []
    position = 0
    while position < len(script_sig):
        size = script_sig[position]
        if not 1 <= size <= 75 or position + 1 + size > len(script_sig):
            return None
        items.append(script_sig[position + 1 : position + 1 + size])
        position += 1 + size
    return tuple(items) if len(items) == 2 else None


def check_spend(spender: Transaction, index: int, spent: TxOut, witness: bool) -> str | None:
    """None when input `index` may spend the output, else Core's reason with the failing rule in brackets."""
    key_hash = key_hash_of(spent.script)
    source = spender.inputs[index]
    is_program = len(spent.script) == 22
    if key_hash is None or (is_program and not witness):
        return f"{FAILED} (Script is not a single-key output)"
    if is_program and source.script_sig:
        return f"{FAILED} (Witness requires empty scriptSig)"
    if not is_program and source.witness:
        return f"{FAILED} (Witness provided for non-witness script)"
    stack = source.witness if is_program else _two_pushes(source.script_sig)
    if stack is None or len(stack) != 2:
        return f"{FAILED} (Witness program hash mismatch)"
    signature, pubkey = stack
    if len(pubkey) != 33 or hash160(pubkey) != key_hash:
        return f"{FAILED} (Witness program hash mismatch)"
    if not signature or signature[-1] != SIGHASH_ALL:
        return f"{FAILED} (Signature hash type missing or not understood)"
    try:
        key = ec.PublicKey.parse(pubkey)
        parsed = ec.Signature.parse(signature[:-1])
        good = key.verify(parsed, signature_hash(spender, index, spent))
    except (ValueError, RuntimeError, IndexError, EmbitError) as error:
        return f"{FAILED} (Non-canonical signature or key: {error})"
    return None if good else f"{FAILED} (Signature must be zero for failed CHECK(MULTI)SIG operation)"
