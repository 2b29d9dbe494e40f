"""What a reference node writes down: an append-only log of what happened to it, replayed at the next start.

Record: u32 payload size, u8 kind, u32 time (seconds), payload, u32 CRC-32 of kind, time and payload; all little-endian.
A torn or damaged record ends the log: it and what follows are cut off when the log is opened. Writes reach the
operating system before the call returns, so a killed process loses nothing.
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

_HEAD = struct.Struct("<IBI")
_CHECKSUM = struct.Struct("<I")
MAX_PAYLOAD = 8_000_000  # two of the largest blocks


class RecordKind(IntEnum):
    IDENTITY = 0  # payload: the genesis hash, natural order
    BLOCK = 1  # a block as it was accepted; time is the node's clock then
    OWN_BLOCK = 2  # a block that the node built itself, without proof of work
    INVALIDATE = 3  # payload: a block hash
    RECONSIDER = 4  # payload: a block hash
    TRANSACTION = 5  # a transaction of the wallet
    ADDRESS = 6  # payload: u32, the wallet's next fresh key
    CHANGE_ADDRESS = 7  # payload: u32, a key of the wallet's that is for change


@dataclass(frozen=True, slots=True)
class Record:
    kind: RecordKind
    time_s: int
    payload: bytes


class StoreError(Exception):
    """The log belongs to another chain or another process has it open; the message says which."""


class Store:
    """One chain's log in `directory`, open for this process alone."""

    def __init__(self, directory: Path, identity: bytes) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / "chain.log"
        self._file = open(path, "a+b", buffering=0)  # noqa: SIM115 - held open for the node's life
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise StoreError(f"{path} is in use by another node") from error
        self.records, good = read_records(path.read_bytes())
        os.ftruncate(self._file.fileno(), good)
        if not self.records:
            self.append(Record(RecordKind.IDENTITY, 0, identity))
        elif self.records[0].kind is not RecordKind.IDENTITY or self.records[0].payload != identity:
            self._file.close()
            raise StoreError(f"{path} belongs to another chain: its kind, name, seed or another rule differs")

    def append(self, record: Record) -> None:
        body = _HEAD.pack(len(record.payload), record.kind, record.time_s) + record.payload
        self._file.write(body + _CHECKSUM.pack(zlib.crc32(body[4:])))

    def close(self) -> None:
        self._file.close()


def read_records(data: bytes) -> tuple[list[Record], int]:
    """The whole records at the beginning of the data, and how many bytes they take."""
    records = []
    position = 0
    while position + _HEAD.size <= len(data):
        size, kind, time_s = _HEAD.unpack_from(data, position)
        end = position + _HEAD.size + size + _CHECKSUM.size
        if size > MAX_PAYLOAD or end > len(data):
            break
        body = data[position : end - _CHECKSUM.size]
        if zlib.crc32(body[4:]) != _CHECKSUM.unpack_from(data, end - _CHECKSUM.size)[0]:
            break
        records.append(Record(RecordKind(kind), time_s, body[_HEAD.size :]))
        position = end
    return records, position
