"""Whether a wallet signed exactly what it was given: nothing changed but the places for signatures, and each of those
is filled with one that binds all outputs. Pure.

Only the form is judged here (which key signs, and for what); whether a signature is right the node says before and
while it takes the transaction. Known are the single-key outputs, P2PKH, P2PK, P2WPKH, P2WPKH inside P2SH and P2TR by
its key; other coins are not paid with, because nobody could tell here what their signatures allow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from chains.primitives.hashes import displayed, hash160
from chains.primitives.serialize import MalformedError
from chains.primitives.transaction import Transaction, TxIn, parse_transaction
from chains.wallet import Coin, Outpoint, WalletRefusedError

SIGHASH_ALL = 1  # anything else would let others change what is paid
DER_SEQUENCE = 0x30
SCHNORR_SIZE = 64  # BIP341: 64 bytes sign everything, a 65th names the hash type
COMPRESSED_SIZE, UNCOMPRESSED_SIZE = 33, 65
_NO_CHANGE = "the wallet answers with another transaction than the one to sign"


def can_judge(script: bytes, redeem_script: bytes | None = None) -> bool:
    """Whether a coin with this output script is one that can be paid with: a form known here. `redeem_script` is what
    the wallet knows of a P2SH."""
    if _is_pay_to_script_hash(script):
        return redeem_script is not None and _is_key_program(redeem_script) and hash160(redeem_script) == script[2:22]
    return _is_key_hash(script) or _is_key_program(script) or _is_taproot(script) or _key_of(script) is not None


def check_signed(unsigned: Transaction, signed: bytes, coins: Sequence[Coin]) -> Transaction:
    """The signed transaction; `coins` are its inputs, in order. Raises WalletRefusedError unless every input is signed
    and nothing else differs from `unsigned`."""
    try:
        transaction = parse_transaction(signed)
    except MalformedError as error:
        raise WalletRefusedError(f"the wallet's transaction is unreadable: {error}") from error
    bare = tuple(replace(i, script_sig=b"", witness=()) for i in transaction.inputs)
    if replace(transaction, inputs=bare) != unsigned:
        raise WalletRefusedError(_NO_CHANGE)
    for i, coin in zip(transaction.inputs, coins, strict=True):
        if not _is_signed(i, coin.script):
            place = f"{displayed(coin.outpoint.txid)}:{coin.outpoint.vout}"
            raise WalletRefusedError(f"the wallet left input {place} without a signature that covers the whole payment")
    return transaction


def check_unsigned(unsigned: bytes, coins: Sequence[Coin]) -> Transaction:
    """The transaction to sign. Raises ValueError, a fault of the caller's, when its inputs are not the coins or carry
    signatures."""
    transaction = parse_transaction(unsigned)
    outpoints = [Outpoint(i.previous_txid, i.previous_index) for i in transaction.inputs]
    if outpoints != [coin.outpoint for coin in coins]:
        raise ValueError("the inputs of the transaction to sign are not its coins")
    if any(i.script_sig or i.witness for i in transaction.inputs):
        raise ValueError("the transaction to sign carries signatures")
    return transaction


def _is_signed(source: TxIn, script: bytes) -> bool:
    if _is_taproot(script):
        return not source.script_sig and len(source.witness) == 1 and _is_schnorr(source.witness[0])
    if _is_key_program(script):
        return not source.script_sig and _is_key_pair(source.witness, script[2:])
    if _is_pay_to_script_hash(script):
        redeem = _pushes(source.script_sig)
        if len(redeem) != 1 or hash160(redeem[0]) != script[2:22] or not _is_key_program(redeem[0]):
            return False
        return _is_key_pair(source.witness, redeem[0][2:])
    if source.witness:
        return False
    if _is_key_hash(script):
        return _is_key_pair(_pushes(source.script_sig), script[3:23])
    pushes = _pushes(source.script_sig)
    return _key_of(script) is not None and len(pushes) == 1 and _is_signature(pushes[0])


def _is_key_pair(stack: Sequence[bytes], key_hash: bytes) -> bool:
    return len(stack) == 2 and _is_signature(stack[0]) and hash160(stack[1]) == key_hash


def _is_signature(item: bytes) -> bool:
    """The DER form of an ECDSA signature, of which only the frame is looked at, and its hash type."""
    return 9 <= len(item) <= 73 and item[0] == DER_SEQUENCE and item[1] == len(item) - 3 and item[-1] == SIGHASH_ALL


def _is_schnorr(item: bytes) -> bool:
    return len(item) == SCHNORR_SIZE or (len(item) == SCHNORR_SIZE + 1 and item[-1] == SIGHASH_ALL)


def _pushes(script_sig: bytes) -> tuple[bytes, ...]:
    """The items of a script of plain pushes of 1 to 75 bytes; nothing for any other."""
    items: list[bytes] = []
    position = 0
    while position < len(script_sig):
        size = script_sig[position]
        item = script_sig[position + 1 : position + 1 + size]
        if not 1 <= size <= 75 or len(item) != size:
            return ()
        items.append(item)
        position += 1 + size
    return tuple(items)


def _is_key_hash(script: bytes) -> bool:
    return len(script) == 25 and script[:3] == b"\x76\xa9\x14" and script[23:] == b"\x88\xac"


def _is_key_program(script: bytes) -> bool:
    return len(script) == 22 and script[:2] == b"\x00\x14"


def _is_pay_to_script_hash(script: bytes) -> bool:
    return len(script) == 23 and script[:2] == b"\xa9\x14" and script[22:] == b"\x87"


def _is_taproot(script: bytes) -> bool:
    return len(script) == 34 and script[:2] == b"\x51\x20"


def _key_of(script: bytes) -> bytes | None:
    """The public key of a P2PK script."""
    size = len(script) - 2
    if size in (COMPRESSED_SIZE, UNCOMPRESSED_SIZE) and script[0] == size and script[-1] == 0xAC:
        return script[1:-1]
    return None
