"""The few script forms that a coinbase is made of."""

from __future__ import annotations

MAX_SCRIPT_SIG = 100  # consensus: a coinbase scriptSig has 2 to 100 bytes


def push(data: bytes) -> bytes:
    """A minimal push of 1 to 255 bytes."""
    if len(data) <= 75:
        return bytes((len(data),)) + data
    if len(data) <= 255:
        return b"\x4c" + bytes((len(data),)) + data
    raise ValueError("a push of more than 255 bytes has no place in a coinbase")


def script_number(number: int) -> bytes:
    """A non-negative script number: little-endian, with a spare sign bit."""
    return number.to_bytes(number.bit_length() // 8 + 1, "little") if number else b""


def height_push(height: int) -> bytes:
    """The block height as BIP34 wants it first in the scriptSig: `CScript() << height`, so OP_1..OP_16 up to 16."""
    if height == 0:
        return b"\x00"
    if height <= 16:
        return bytes((0x50 + height,))
    return push(script_number(height))
