"""The hello: who a peer is, what it speaks, and the signature that proves it. Pure but for the key's own arithmetic.

Both sides send a hello at once, and sign both hellos when they have the other's. A signature therefore holds for these
two nonces and for this pair only; the role in it keeps a peer from handing our own signature back to us.

    hello   "PPNH" | u16 version | u64 features | network 32 | genesis 32 | node key 32 | nonce 32 | u16 port
            | u8 count | count * (u8 length | name in ASCII) | anything (later versions; signed, not read)
    proof   BIP340 signature of the tagged hash "parapool/peer-hello" over
            u8 role of the signer (1 dialled, 2 was dialled) | SHA-256 of its hello | SHA-256 of the other's hello

Integers are little-endian. The proof binds the hello, not what follows: the connection is neither encrypted nor
authenticated beyond TCP, and whoever sits on the line can change it (docs/protocol/peers.md).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from coincurve import PrivateKey, PublicKeyXOnly

MAGIC = b"PPNH"
VERSION = 1
LEAST_VERSION = 1
MAX_TYPES = 64
MAX_NAME_BYTES = 32
PROOF_BYTES = 64
_FIXED = struct.Struct("<4sHQ32s32s32s32sHB")
_TAG = hashlib.sha256(b"parapool/peer-hello").digest()


class Role(IntEnum):
    DIALLED = 1
    LISTENED = 2

    @property
    def other(self) -> Role:
        return Role(3 - self)


class HelloError(Exception):
    """A hello or proof that is refused; the message says why."""


@dataclass(frozen=True, slots=True)
class Hello:
    """`port` is where the node listens, a hint (0: it does not). `types` are the messages it understands; a message's
    number on the wire is its place in the sender's list."""

    network: bytes
    genesis: bytes
    node_key: bytes
    nonce: bytes
    types: tuple[str, ...]
    version: int = VERSION
    features: int = 0
    port: int = 0

    def encode(self) -> bytes:
        names = b"".join(bytes((len(name),)) + name.encode("ascii") for name in self.types)
        fixed = _FIXED.pack(
            MAGIC, self.version, self.features, self.network, self.genesis, self.node_key, self.nonce, self.port,
            len(self.types),
        )  # fmt: skip
        return fixed + names


def decode_hello(data: bytes) -> Hello:
    """Raises HelloError."""
    if len(data) < _FIXED.size or data[:4] != MAGIC:
        raise HelloError("not a hello of this protocol")
    _, version, features, network, genesis, node_key, nonce, port, count = _FIXED.unpack_from(data)
    if count > MAX_TYPES:
        raise HelloError(f"{count} message types, at most {MAX_TYPES}")
    names = []
    at = _FIXED.size
    for _ in range(count):
        length = data[at] if at < len(data) else 0
        name = data[at + 1 : at + 1 + length]
        if not 1 <= length <= MAX_NAME_BYTES or len(name) != length:
            raise HelloError("a message type's name is cut off or has a wrong length")
        if not name.isascii() or not name.decode("ascii").isprintable():
            raise HelloError("a message type's name is not printable ASCII")
        names.append(name.decode("ascii"))
        at += 1 + length
    if len(set(names)) != len(names):
        raise HelloError("a message type is named twice")
    return Hello(network, genesis, node_key, nonce, tuple(names), version, features, port)


def check_hello(own: Hello, other: Hello, required: Sequence[str]) -> None:
    """Whether these two can be peers. Raises HelloError with the first reason against it."""
    if other.network != own.network:
        raise HelloError(f"another network {other.network[:8].hex()}")
    if other.genesis != own.genesis:
        raise HelloError(f"another genesis {other.genesis[:8].hex()}")
    if other.version < LEAST_VERSION:
        raise HelloError(f"version {other.version}, at least {LEAST_VERSION} is needed")
    if other.node_key == own.node_key:
        raise HelloError("connected to itself")
    missing = [name for name in required if name not in other.types]
    if missing:
        raise HelloError(f"does not speak {', '.join(missing)}")


def proof_digest(role: Role, signer_hello: bytes, other_hello: bytes) -> bytes:
    """What the signer, in this role, signs: 32 bytes. Hellos as they went over the wire."""
    content = bytes((role,)) + hashlib.sha256(signer_hello).digest() + hashlib.sha256(other_hello).digest()
    return hashlib.sha256(_TAG + _TAG + content).digest()


def sign_proof(secret: bytes, role: Role, own_hello: bytes, other_hello: bytes) -> bytes:
    return PrivateKey(secret).sign_schnorr(proof_digest(role, own_hello, other_hello))


def check_proof(node_key: bytes, proof: bytes, role: Role, hello: bytes, own_hello: bytes) -> None:
    """The other's proof, in its role, over its hello and ours. Raises HelloError."""
    if len(proof) != PROOF_BYTES:
        raise HelloError(f"proof of {len(proof)} bytes")
    try:
        key = PublicKeyXOnly(node_key)
    except ValueError:
        raise HelloError("node key is not on the curve") from None
    if not key.verify(proof, proof_digest(role, hello, own_hello)):
        raise HelloError("proof does not match the hello")


def node_key_of(secret: bytes) -> bytes:
    """The x-only public key (32 bytes) of a node's secret. Raises ValueError for 0 and for the group order or more."""
    return PublicKeyXOnly.from_secret(secret).format()
