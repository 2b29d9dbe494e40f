"""Trying nonces: the two proof-of-work functions in the shape that Python runs fastest.

Plain hashlib, 1 to 1.5 million sha256d a second and process on a 2024 server core, 2,600 scrypt: enough for a devnet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

NONCES = 2**32
# A search ends early with so many finds: at a difficulty far too low they would come faster than they can be sent.
MOST_FOUND = 64

Search = Callable[[bytes, int, int, int], tuple[int, list[int]]]


def search_sha256d(head: bytes, target: int, first: int, count: int) -> tuple[int, list[int]]:
    """Try `count` nonces from `first` behind the 76 bytes of a header: how many were tried, and those whose hash meets
    the target (hash as a little-endian integer at most the target)."""
    sha256 = hashlib.sha256
    midstate = sha256(head[:64]).copy
    tail = head[64:76]
    leading_zeros = bytes(32 - (target.bit_length() + 7) // 8)
    found: list[int] = []
    for nonce in range(first, min(first + count, NONCES)):
        inner = midstate()
        inner.update(tail + nonce.to_bytes(4, "little"))
        digest = sha256(inner.digest()).digest()
        if digest.endswith(leading_zeros) and int.from_bytes(digest, "little") <= target:
            found.append(nonce)
            if len(found) == MOST_FOUND:
                return nonce + 1 - first, found
    return min(count, NONCES - first), found


def search_scrypt(head: bytes, target: int, first: int, count: int) -> tuple[int, list[int]]:
    """Like `search_sha256d` with scrypt (N=1024, r=1, p=1) over the whole header."""
    found: list[int] = []
    for nonce in range(first, min(first + count, NONCES)):
        header = head + nonce.to_bytes(4, "little")
        digest = hashlib.scrypt(header, salt=header, n=1024, r=1, p=1, dklen=32)
        if int.from_bytes(digest, "little") <= target:
            found.append(nonce)
            if len(found) == MOST_FOUND:
                return nonce + 1 - first, found
    return min(count, NONCES - first), found


SEARCHES: dict[str, Search] = {"sha256d": search_sha256d, "scrypt": search_scrypt}
# Nonces of a worker's first batch; later ones are sized by the clock.
FIRST_BATCH: dict[str, int] = {"sha256d": 20_000, "scrypt": 50}
