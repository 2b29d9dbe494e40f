"""A key that signs messages as wallets do, for tests: every form and address type that the pool takes."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cached_property

from embit import ec
from embit.util import secp256k1

from chains.kind import Network
from chains.primitives.address import script_to_address
from chains.primitives.bip322 import segwit_digest, taproot_digest, to_spend
from chains.primitives.hashes import hash160
from chains.primitives.serialize import compact_size
from chains.primitives.signed_message import message_digest

HEADERS = {"p2pkh": 31, "p2sh": 35, "p2wpkh": 39}


@dataclass(frozen=True)
class SigningKey:
    """The key whose secret is `number`."""

    number: int

    @cached_property
    def private(self) -> ec.PrivateKey:
        return ec.PrivateKey(self.number.to_bytes(32, "big"))

    def pubkey(self, *, compressed: bool = True) -> bytes:
        point = secp256k1.ec_pubkey_create(self.private.secret)
        flag = secp256k1.EC_COMPRESSED if compressed else secp256k1.EC_UNCOMPRESSED
        serialized: bytes = secp256k1.ec_pubkey_serialize(point, flag)
        return serialized

    def script(self, kind: str, *, compressed: bool = True) -> bytes:
        """The output script of this key's address of a kind: p2pkh, p2sh (P2SH-P2WPKH), p2wpkh or p2tr."""
        key_hash = hash160(self.pubkey(compressed=compressed))
        if kind == "p2pkh":
            return b"\x76\xa9\x14" + key_hash + b"\x88\xac"
        if kind == "p2sh":
            return b"\xa9\x14" + hash160(b"\x00\x14" + key_hash) + b"\x87"
        if kind == "p2wpkh":
            return b"\x00\x14" + key_hash
        return b"\x51\x20" + self.private.taproot_tweak(b"").get_public_key().xonly()

    def address(self, kind: str, network: Network) -> str:
        address = script_to_address(self.script(kind), network.addresses)
        assert address is not None
        return address

    def compact(self, message: bytes, magic: str, header: int) -> str:
        """BIP137, with the header's first value as given (27, 31, 35 or 39)."""
        signature = secp256k1.ecdsa_sign_recoverable(message_digest(message, magic), self.private.secret)
        numbers, recovery_id = secp256k1.ecdsa_recoverable_signature_serialize_compact(signature)
        return base64.b64encode(bytes((header + recovery_id,)) + numbers).decode()

    def witness(self, kind: str, message: bytes, *, hash_type: int = 1) -> list[bytes]:
        """BIP322's witness stack."""
        script = self.script(kind)
        outpoint = to_spend(script, message).txid + bytes(4)
        if kind == "p2tr":
            tweaked = self.private.taproot_tweak(b"")
            signature: bytes = tweaked.schnorr_sign(taproot_digest(outpoint, script, hash_type)).serialize()
            return [signature + (bytes((hash_type,)) if hash_type else b"")]
        digest = segwit_digest(outpoint, hash160(self.pubkey()))
        return [self.private.sign(digest).serialize() + bytes((hash_type,)), self.pubkey()]

    def simple(self, kind: str, message: bytes) -> str:
        """BIP322's simple form, without prefix."""
        return encoded(self.witness(kind, message))

    def sign(self, kind: str, message: str, network: Network) -> str:
        """As a wallet of today would: BIP322 for Taproot, else BIP137."""
        if kind == "p2tr":
            return self.simple(kind, message.encode())
        return self.compact(message.encode(), network.message_magic, HEADERS[kind])


def encoded(stack: list[bytes]) -> str:
    """A witness stack as wallets hand it out."""
    items = b"".join(compact_size(len(item)) + item for item in stack)
    return base64.b64encode(compact_size(len(stack)) + items).decode()
