"""A signed transfer between accounts: its bytes, its id, its signature.

    transfer = "PPT1" ‖ varint len ‖ sender script ‖ public key (33) ‖ nonce (8) ‖ fee (8)
               ‖ varint n ‖ n * (varint len ‖ script ‖ amount (8)) ‖ signature (64)
    id       = tagged hash "parapool/transfer" of chain id (32) ‖ everything before the signature

Integers are little-endian. The id is what BIP340 signs: it is known before anything is signed, does not change with the
signature, and names the chain, so that no transfer is one on another chain. An account is an output script, and its
owner is whoever holds the key of an ordinary address: P2WPKH of the public key, or P2TR whose output key it is.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache

from coincurve import PrivateKey, PublicKeyXOnly

from chains.primitives.address import pay_to_pubkey_hash
from chains.primitives.serialize import MalformedError, Reader, compact_size

MAGIC = b"PPT1"
TAG = b"parapool/transfer"
MAX_AMOUNT = 2**63 - 1
"""Of a payment, a balance and all coins of a chain: what every database and language holds in a signed integer."""
MAX_SCRIPT_SIZE = 80  # as in a vote of B_k; every standard address fits into 42
MAX_OUTPUTS = 1000  # one payout batch; 33 kB with ordinary scripts
SIGNATURE_SIZE = 64
KEY_SIZE = 33


@dataclass(frozen=True, slots=True)
class Payment:
    """An amount, in smallest units, for an account."""

    script: bytes
    amount: int


@dataclass(frozen=True, slots=True)
class Transfer:
    """`nonce` counts the sender's transfers from 0: one of each is ever applied. Not signed while `signature` is empty.
    """

    sender: bytes
    public_key: bytes
    nonce: int
    fee: int
    outputs: tuple[Payment, ...]
    signature: bytes = b""

    @property
    def cost(self) -> int:
        """What it takes from the sender: every output and the fee."""
        return sum(output.amount for output in self.outputs) + self.fee

    def unsigned(self) -> bytes:
        """Everything before the signature."""
        return b"".join((
            MAGIC,
            _variable(self.sender),
            self.public_key,
            self.nonce.to_bytes(8, "little"),
            self.fee.to_bytes(8, "little"),
            compact_size(len(self.outputs)),
            *(_variable(output.script) + output.amount.to_bytes(8, "little") for output in self.outputs),
        ))  # fmt: skip

    def serialize(self) -> bytes:
        return self.unsigned() + self.signature

    def id_on(self, chain_id: bytes) -> bytes:
        """Its id on a chain, 32 bytes in natural order; also what is signed."""
        return tagged_hash(TAG, chain_id + self.unsigned())


def tagged_hash(tag: bytes, data: bytes) -> bytes:
    """BIP340's tagged hash."""
    prefix = hashlib.sha256(tag).digest()
    return hashlib.sha256(prefix + prefix + data).digest()


def read_transfer(data: bytes, *, signed: bool = True) -> Transfer:
    """The transfer of these bytes; `signed=False` reads one without its signature. Raises MalformedError, which is
    about form and bounds only."""
    reader = Reader(data)
    if reader.read(len(MAGIC)) != MAGIC:
        raise MalformedError("a transfer begins with PPT1")
    sender = _script(reader)
    public_key = reader.read(KEY_SIZE)
    nonce = reader.u64()
    fee = _amount(reader)
    count = reader.count()
    if not 1 <= count <= MAX_OUTPUTS:
        raise MalformedError(f"a transfer has 1 to {MAX_OUTPUTS} outputs, not {count}")
    outputs = tuple(Payment(_script(reader), _amount(reader)) for _ in range(count))
    if any(output.amount == 0 for output in outputs):
        raise MalformedError("an output of 0")
    transfer = Transfer(sender, public_key, nonce, fee, outputs, reader.read(SIGNATURE_SIZE) if signed else b"")
    reader.finish()
    if transfer.cost > MAX_AMOUNT:
        raise MalformedError("more than there can be")
    return transfer


def _variable(data: bytes) -> bytes:
    return compact_size(len(data)) + data


def _script(reader: Reader) -> bytes:
    script = reader.variable()
    if not 1 <= len(script) <= MAX_SCRIPT_SIZE:
        raise MalformedError(f"a script has 1 to {MAX_SCRIPT_SIZE} bytes, not {len(script)}")
    return script


def _amount(reader: Reader) -> int:
    amount = reader.u64()
    if amount > MAX_AMOUNT:
        raise MalformedError("more than there can be")
    return amount


def owns(public_key: bytes, script: bytes) -> bool:
    """Whether a compressed public key is the one that may spend from an account. A taproot account's output key is
    given with prefix 02, so that it has one spelling."""
    if len(public_key) != KEY_SIZE:
        return False
    if len(script) == 34 and script[:2] == b"\x51\x20":
        return public_key == b"\x02" + script[2:]
    return public_key[0] in (2, 3) and script == pay_to_pubkey_hash(public_key)


def sign(transfer: Transfer, chain_id: bytes, secret: bytes) -> Transfer:
    """The transfer with its signature. No chance is involved: signing twice gives the same bytes."""
    return replace(transfer, signature=PrivateKey(secret).sign_schnorr(transfer.id_on(chain_id), bytes(32)))


def is_signed(transfer: Transfer, chain_id: bytes) -> bool:
    """Whether the sender's key signed it for this chain."""
    if len(transfer.signature) != SIGNATURE_SIZE or not owns(transfer.public_key, transfer.sender):
        return False
    return _verify(transfer.public_key[1:], transfer.id_on(chain_id), transfer.signature)


@lru_cache(maxsize=65_536)  # judged on arrival, in a template, in a block, and after every reorganisation again
def _verify(x_only: bytes, digest: bytes, signature: bytes) -> bool:
    try:
        return PublicKeyXOnly(x_only).verify(signature, digest)
    except ValueError:
        return False  # no point of the curve
