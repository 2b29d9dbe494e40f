"""SHA-256 whose inner state can be written down and taken up again (FIPS 180-4).

hashlib hides the state, and Merged Mining 2 sends it: a hash link is the state after the whole 64-byte blocks of a
prefix, the prefix's length and the bytes left over. This code is used once per proof, never per share.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_K = (
    0x428A2F98, 0x71374491, 0xB5C0FBCF, 0xE9B5DBA5, 0x3956C25B, 0x59F111F1, 0x923F82A4, 0xAB1C5ED5,
    0xD807AA98, 0x12835B01, 0x243185BE, 0x550C7DC3, 0x72BE5D74, 0x80DEB1FE, 0x9BDC06A7, 0xC19BF174,
    0xE49B69C1, 0xEFBE4786, 0x0FC19DC6, 0x240CA1CC, 0x2DE92C6F, 0x4A7484AA, 0x5CB0A9DC, 0x76F988DA,
    0x983E5152, 0xA831C66D, 0xB00327C8, 0xBF597FC7, 0xC6E00BF3, 0xD5A79147, 0x06CA6351, 0x14292967,
    0x27B70A85, 0x2E1B2138, 0x4D2C6DFC, 0x53380D13, 0x650A7354, 0x766A0ABB, 0x81C2C92E, 0x92722C85,
    0xA2BFE8A1, 0xA81A664B, 0xC24B8B70, 0xC76C51A3, 0xD192E819, 0xD6990624, 0xF40E3585, 0x106AA070,
    0x19A4C116, 0x1E376C08, 0x2748774C, 0x34B0BCB5, 0x391C0CB3, 0x4ED8AA4A, 0x5B9CCA4F, 0x682E6FF3,
    0x748F82EE, 0x78A5636F, 0x84C87814, 0x8CC70208, 0x90BEFFFA, 0xA4506CEB, 0xBEF9A3F7, 0xC67178F2,
)  # fmt: skip
_INITIAL = struct.pack(
    ">8I", 0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19
)
_MASK = 0xFFFFFFFF
BLOCK = 64


def _rotate(x: int, n: int) -> int:
    return (x >> n | x << (32 - n)) & _MASK


def _compress(state: bytes, block: bytes) -> bytes:
    """One round of FIPS 180-4 section 6.2.2; the state is eight big-endian words."""
    w = list(struct.unpack(">16I", block))
    for t in range(16, 64):
        s0 = _rotate(w[t - 15], 7) ^ _rotate(w[t - 15], 18) ^ w[t - 15] >> 3
        s1 = _rotate(w[t - 2], 17) ^ _rotate(w[t - 2], 19) ^ w[t - 2] >> 10
        w.append((w[t - 16] + s0 + w[t - 7] + s1) & _MASK)
    start = struct.unpack(">8I", state)
    a, b, c, d, e, f, g, h = start
    for t in range(64):
        s1 = _rotate(e, 6) ^ _rotate(e, 11) ^ _rotate(e, 25)
        t1 = h + s1 + ((e & f) ^ (~e & g)) + _K[t] + w[t]
        s0 = _rotate(a, 2) ^ _rotate(a, 13) ^ _rotate(a, 22)
        t2 = s0 + ((a & b) ^ (a & c) ^ (b & c))
        a, b, c, d, e, f, g, h = (t1 + t2) & _MASK, a, b, c, (d + t1) & _MASK, e, f, g
    after = (a, b, c, d, e, f, g, h)
    return struct.pack(">8I", *((x + y) & _MASK for x, y in zip(start, after, strict=True)))


@dataclass(frozen=True, slots=True)
class Midstate:
    """SHA-256 after `length` bytes: the state over whole blocks (eight big-endian words) and the bytes left over."""

    state: bytes
    length: int
    extra: bytes

    def update(self, data: bytes) -> Midstate:
        """The midstate after these bytes too."""
        pending = self.extra + data
        state = self.state
        whole = len(pending) - len(pending) % BLOCK
        for start in range(0, whole, BLOCK):
            state = _compress(state, pending[start : start + BLOCK])
        return Midstate(state, self.length + len(data), pending[whole:])

    def digest(self) -> bytes:
        """SHA-256 of everything fed so far (32 bytes)."""
        padding = b"\x80" + bytes((55 - self.length) % BLOCK) + struct.pack(">Q", 8 * self.length)
        return self.update(padding).state


EMPTY = Midstate(_INITIAL, 0, b"")
