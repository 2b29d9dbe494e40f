"""What of a job stays the same for all its shares, and the hashing that is left for each of them.

`ShareKernel` is the C one where it was built (chains/primitives/_share_kernel.c), else PythonShareKernel, its twin and
reference. A share costs some forty compressions of SHA-256: 27 hash objects in Python, one call in C.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from struct import pack
from typing import TYPE_CHECKING

MEETS_SHARE = 1
MEETS_NOTABLE = 2

DIGEST = 32
BRANCH_LIMIT = 32  # a tree of four billion transactions
COINBASE_LIMIT = 1 << 20
NONCE_LIMIT = 64

SEEN_ROOM = 2_500_000
"""Hashes that a set has room for: forty minutes of a thousand a second."""

SEEN_ROOM_LIMIT = 1 << 30


@lru_cache(maxsize=4096)  # every share asks for that of its difficulty
def target_bytes(target: int) -> bytes:
    """A target as judge() takes it: 32 bytes, little-endian like the number that a hash is compared as. Raises
    OverflowError for what is negative or longer."""
    return target.to_bytes(DIGEST, "little")


class PythonShareKernel:
    """One layout of one job. The coinbase is `coinbase1` ‖ extranonces ‖ `coinbase2`; `branch` are the siblings of its
    path to the merkle root, 32 bytes each, hashes in natural order."""

    __slots__ = ("_bits", "_branch", "_coinbase2", "_coinbase_hash", "_nonce_size", "_previous_hash")

    def __init__(
        self, coinbase1: bytes, coinbase2: bytes, nonce_size: int, branch: bytes, previous_hash: bytes, bits: int
    ) -> None:
        """Raises ValueError for lengths that cannot be, OverflowError for bits that are no 32-bit word."""
        if not 0 <= bits <= 0xFFFFFFFF:
            raise OverflowError("a word has 32 bits")
        if (
            len(previous_hash) != DIGEST or len(branch) % DIGEST or len(branch) > BRANCH_LIMIT * DIGEST
            or not 0 <= nonce_size <= NONCE_LIMIT or max(len(coinbase1), len(coinbase2)) > COINBASE_LIMIT
        ):  # fmt: skip
            raise ValueError("a length is wrong")
        self._coinbase_hash = sha256(coinbase1)
        self._coinbase2 = bytes(coinbase2)
        self._nonce_size = nonce_size
        self._branch = tuple(bytes(branch[at : at + DIGEST]) for at in range(0, len(branch), DIGEST))
        self._previous_hash = bytes(previous_hash)
        self._bits = bits

    def header(self, extranonce1: bytes, extranonce2: bytes, version: int, time: int, nonce: int) -> bytes:
        """The 80 bytes. Raises ValueError for extranonces of another size, OverflowError for what is no word."""
        if len(extranonce1) + len(extranonce2) != self._nonce_size:
            raise ValueError("the extranonces have another size")
        if not (0 <= version <= 0xFFFFFFFF and 0 <= time <= 0xFFFFFFFF and 0 <= nonce <= 0xFFFFFFFF):
            raise OverflowError("a word has 32 bits")
        coinbase = self._coinbase_hash.copy()
        coinbase.update(extranonce1 + extranonce2 + self._coinbase2)
        root = sha256(coinbase.digest()).digest()
        for sibling in self._branch:
            root = sha256(sha256(root + sibling).digest()).digest()
        return pack("<I", version) + self._previous_hash + root + pack("<III", time, self._bits, nonce)

    def judge(
        self, extranonce1: bytes, extranonce2: bytes, version: int, time: int, nonce: int, share: bytes, notable: bytes
    ) -> tuple[bytes, int]:
        """SHA-256d of the header (natural order), and which of the two targets it meets: MEETS_SHARE | MEETS_NOTABLE.

        Targets are target_bytes(); `notable` is the easiest that anybody asks about beyond the share's own.
        """
        if len(share) != DIGEST or len(notable) != DIGEST:
            raise ValueError("a target has 32 bytes")
        digest = sha256(sha256(self.header(extranonce1, extranonce2, version, time, nonce)).digest()).digest()
        value = digest[::-1]
        met = (value <= share[::-1]) | (value <= notable[::-1]) << 1
        return digest, met


class PythonSeenHashes:
    """A set of hashes that goes by their first eight bytes. In C it is a small table, behind it larger ones as they are
    needed, up to one of 7.5 bytes for each hash of `room`, and more of those; Python's own sets take 120 bytes for each
    hash. Two of four million hashes agree in eight bytes once in two million tips; the second would be
    refused as a duplicate. The difficulty is at a hash's other end.
    """

    __slots__ = ("_keys",)

    def __init__(self, room: int = SEEN_ROOM) -> None:
        """Raises ValueError for a room that cannot be."""
        if not 1 <= room <= SEEN_ROOM_LIMIT:
            raise ValueError("there is no such room")
        self._keys: set[bytes] = set()

    def add(self, digest: bytes) -> bool:
        """False when it was there."""
        key = self._key(digest)
        known = key in self._keys
        self._keys.add(key)
        return not known

    def discard(self, digest: bytes) -> None:
        """Take it out, if it is there."""
        self._keys.discard(self._key(digest))

    def __contains__(self, digest: bytes) -> bool:
        return self._key(digest) in self._keys

    def __len__(self) -> int:
        return len(self._keys)

    @staticmethod
    def _key(digest: bytes) -> bytes:
        if len(digest) != DIGEST:
            raise ValueError("a hash has 32 bytes")
        return digest[:8]


def python_hash_pairs(row: bytes) -> bytes:
    """SHA-256d of each 64 bytes: from a row of a merkle tree, two hashes side by side, the next one. Raises ValueError
    for half a pair."""
    if len(row) % (2 * DIGEST):
        raise ValueError("a length is wrong")
    pairs = (row[at : at + 2 * DIGEST] for at in range(0, len(row), 2 * DIGEST))
    return b"".join(sha256(sha256(pair).digest()).digest() for pair in pairs)


if TYPE_CHECKING:
    hash_pairs = python_hash_pairs
    SeenHashes = PythonSeenHashes
    ShareKernel = PythonShareKernel
else:
    try:
        from chains.primitives._share_kernel import SeenHashes, ShareKernel, hash_pairs
    except ImportError:
        hash_pairs, SeenHashes, ShareKernel = python_hash_pairs, PythonSeenHashes, PythonShareKernel

NATIVE: bool = ShareKernel is not PythonShareKernel
