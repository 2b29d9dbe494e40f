"""The files of the share log: how a record is framed, how a segment is named, read, and cut where a crash tore it.

A frame is u32 length, u32 CRC-32 (zlib) of the payload, payload, integers little-endian. A length of zero is never
valid, because the CRC of nothing is zero and the newest segment may end in zeros: its writer writes them ahead, and a
file system may leave some behind. A segment has its records and nothing else before the next one is made.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

FRAME_HEADER = struct.Struct("<II")
MAXIMUM_PAYLOAD = 1 << 20
"""Far above any record (a route is at most a few hundred bytes per chain); a larger length is damage."""

READ_CHUNK = 1 << 20
SEGMENT_NAME = re.compile(r"^(\d{8})\.log$")


class CorruptShareLog(Exception):
    """A record that must be whole is not. Names the file and the offset; nothing after it has been read."""

    def __init__(self, path: Path, offset: int, what: str) -> None:
        super().__init__(f"{path}: offset {offset}: {what}")
        self.path = path
        self.offset = offset


def frame(payload: bytes) -> bytes:
    """The bytes of one record."""
    return FRAME_HEADER.pack(len(payload), zlib.crc32(payload)) + payload


def segment_path(directory: Path, number: int) -> Path:
    return directory / f"{number:08d}.log"


def segment_numbers(directory: Path) -> list[int]:
    """The segments that exist, oldest first."""
    return sorted(int(match.group(1)) for name in os.listdir(directory) if (match := SEGMENT_NAME.match(name)))


def read_frames(path: Path, start: int, end: int | None = None) -> Iterator[tuple[int, bytes]]:
    """Yields (offset after the record, payload) from `start` up to `end`, or to the end of the file.

    `end` lies on a record boundary. Raises CorruptShareLog at the first record that is cut short or damaged.
    """
    with path.open("rb") as file:
        limit = os.fstat(file.fileno()).st_size if end is None else end
        file.seek(start)
        offset = start
        buffer = b""
        while offset < limit:
            at = 0
            while len(buffer) - at >= FRAME_HEADER.size:
                length, checksum = FRAME_HEADER.unpack_from(buffer, at)
                if not 0 < length <= MAXIMUM_PAYLOAD:
                    raise CorruptShareLog(path, offset, f"a record cannot be {length} bytes long")
                stop = at + FRAME_HEADER.size + length
                if stop > len(buffer):
                    break
                payload = buffer[at + FRAME_HEADER.size : stop]
                if zlib.crc32(payload) != checksum:
                    raise CorruptShareLog(path, offset, "the checksum of the record is wrong")
                offset += stop - at
                at = stop
                yield offset, payload
            buffer = buffer[at:]
            chunk = file.read(min(READ_CHUNK, limit - offset - len(buffer)))
            if not chunk and offset < limit:
                raise CorruptShareLog(path, offset, f"the record is cut short after {len(buffer)} bytes")
            buffer += chunk


def read_payloads(path: Path, start: int, end: int | None, limit: int) -> tuple[list[bytes], int]:
    """At most `limit` payloads from `start` on, as far as READ_CHUNK or `end` reaches, and the offset after them.

    `end` lies on a record boundary; None is the end of the file. Stops before a damaged record and raises
    CorruptShareLog only when it is the first one.
    """
    payloads: list[bytes] = []
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size if end is None else end
        if start >= size:
            return payloads, start
        file.seek(start)
        buffer = file.read(min(READ_CHUNK, size - start))
    at, size = 0, len(buffer)
    unpack, crc32 = FRAME_HEADER.unpack_from, zlib.crc32
    while len(payloads) < limit:
        first = at + FRAME_HEADER.size
        if first > size:
            break
        length, checksum = unpack(buffer, at)
        stop = first + length
        payload = buffer[first:stop]
        if not length or stop > size or crc32(payload) != checksum:
            break
        payloads.append(payload)
        at = stop
    if not payloads:
        # A record that is damaged, or longer than the chunk.
        for offset, payload in read_frames(path, start, end):
            return [payload], offset
    return payloads, start + at


def whole_length(path: Path) -> int:
    """How many bytes from the start of a segment are whole records."""
    length = 0
    try:
        for offset, _ in read_frames(path, 0):
            length = offset
    except CorruptShareLog as damage:
        return damage.offset
    return length


def cut_torn_tail(path: Path) -> int:
    """Cuts what a crash left behind the last whole record of the last segment and makes the rest durable.

    None of it was acknowledged: a commit is written when the one before is durable, so the first record that is not
    whole is of the last commit, of which pages may have reached the disk in any order. What follows zeros or damage is
    therefore cut too. It is kept beside the segment for whoever wants to look, without the zeros at the end.
    Returns how many bytes are kept so; 0 when there were only zeros.
    """
    good = whole_length(path)
    with path.open("r+b") as file:
        file.seek(good)
        tail = file.read()
        torn = tail.rstrip(b"\0")
        if torn:
            path.with_name(f"{path.name}.torn-{good}").write_bytes(torn)
        if tail:
            file.truncate(good)
        os.fsync(file.fileno())
    return len(torn)


def sync_directory(directory: Path) -> None:
    """Makes names created, renamed or removed in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class SegmentFile:
    """One segment open for appending. Every error of the disk is passed on as OSError."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)

    def detach(self) -> int:
        """The descriptor, which is the caller's to close from now on."""
        descriptor, self._descriptor = self._descriptor, -1
        return descriptor
