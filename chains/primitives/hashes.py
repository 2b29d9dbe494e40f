"""The hash functions of the supported chains. Every digest is `bytes` in natural order, as the function emits it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable


def sha256d(data: bytes) -> bytes:
    """SHA-256 applied twice: transaction ids, merkle nodes, block hashes, Bitcoin's proof of work."""
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def hash160(data: bytes) -> bytes:
    """RIPEMD-160 of SHA-256 (20 bytes): key and script hashes."""
    return hashlib.new("ripemd160", hashlib.sha256(data).digest()).digest()


def scrypt_1024(header: bytes) -> bytes:
    """Litecoin's proof of work: scrypt with N=1024, r=1, p=1, the header being password and salt (32 bytes)."""
    return hashlib.scrypt(header, salt=header, n=1024, r=1, p=1, dklen=32)


# Proof-of-work hash by the name used in configuration and in `pool verify auxpow`.
POW_HASHES: dict[str, Callable[[bytes], bytes]] = {"sha256d": sha256d, "scrypt": scrypt_1024}


def displayed(digest: bytes) -> str:
    """The hex that nodes and explorers show for a hash: the natural bytes reversed."""
    return digest[::-1].hex()


def from_displayed(text: str) -> bytes:
    """The natural bytes of a 32-byte hash given as displayed hex. Raises ValueError for anything else."""
    digest = bytes.fromhex(text)[::-1]
    if len(text) != 64 or len(digest) != 32:  # fromhex passes over blanks
        raise ValueError(f"expected 64 hex digits, got {len(text)} characters")
    return digest
