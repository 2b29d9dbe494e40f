"""Bitcoin's wire primitives: CompactSize and a reader that cannot run past its end."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# No block of 4 MB holds more entries; the limit stops a hostile count from reserving memory.
MAX_COUNT = 4_000_000


class MalformedError(ValueError):
    """Bytes that do not have the expected form."""


def compact_size(number: int) -> bytes:
    """CompactSize ("VarInt") encoding of a count or length below 2^64."""
    if number < 0xFD:
        return bytes((number,))
    if number <= 0xFFFF:
        return b"\xfd" + struct.pack("<H", number)
    if number <= 0xFFFFFFFF:
        return b"\xfe" + struct.pack("<I", number)
    return b"\xff" + struct.pack("<Q", number)


class Reader:
    """Reads fields from bytes in wire order; every method raises MalformedError at the end of the data."""

    __slots__ = ("data", "position")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def read(self, count: int) -> bytes:
        end = self.position + count
        if end > len(self.data):
            raise MalformedError(f"end of data: {count} bytes wanted at {self.position}, {self.remaining()} left")
        piece = self.data[self.position : end]
        self.position = end
        return piece

    def remaining(self) -> int:
        return len(self.data) - self.position

    def u32(self) -> int:
        return int.from_bytes(self.read(4), "little")

    def i32(self) -> int:
        return int.from_bytes(self.read(4), "little", signed=True)

    def u64(self) -> int:
        return int.from_bytes(self.read(8), "little")

    def compact_size(self) -> int:
        """A CompactSize, refused when it is not in its shortest form (as Bitcoin Core refuses it)."""
        first = self.read(1)[0]
        if first < 0xFD:
            return first
        width, least = {0xFD: (2, 0xFD), 0xFE: (4, 0x10000), 0xFF: (8, 0x100000000)}[first]
        number = int.from_bytes(self.read(width), "little")
        if number < least:
            raise MalformedError("CompactSize is not in its shortest form")
        return number

    def count(self) -> int:
        """A CompactSize that counts entries, bounded by MAX_COUNT and by what the data can hold."""
        number = self.compact_size()
        if number > MAX_COUNT or number > self.remaining():
            raise MalformedError(f"count {number} exceeds the data")
        return number

    def variable(self) -> bytes:
        """A byte string with its CompactSize length in front."""
        return self.read(self.compact_size())

    def many(self, read_one: Callable[[], T]) -> list[T]:
        return [read_one() for _ in range(self.count())]

    def hash32(self) -> bytes:
        return self.read(32)

    def hashes(self) -> tuple[bytes, ...]:
        return tuple(self.many(self.hash32))

    def finish(self) -> None:
        """Refuse bytes after the last field."""
        if self.remaining():
            raise MalformedError(f"{self.remaining()} bytes after the end")
