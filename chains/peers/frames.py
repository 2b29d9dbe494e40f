"""Frames on a stream: length, checksum, body. Pure.

    u32 length of the body, little-endian | first 4 bytes of SHA-256 of the body | body: u8 type, payload

A stream with a wrong length or checksum cannot be read on: the connection is over.
"""

from __future__ import annotations

import hashlib
import struct

HEAD = struct.Struct("<I4s")
BODY_LIMIT_BYTES = 1 + 256 * 1024  # a type and the largest payload that travels in one piece
HELLO_LIMIT_BYTES = 4096  # until a peer has proven itself


class FrameError(Exception):
    """The bytes are no frame; the message says why."""


def frame(kind: int, payload: bytes) -> bytes:
    """A frame of this type. The caller keeps the payload within the limit."""
    body = bytes((kind,)) + payload
    assert len(body) <= BODY_LIMIT_BYTES, f"a frame of {len(body)} bytes"
    return HEAD.pack(len(body), checksum(body)) + body


def checksum(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()[:4]


class FrameReader:
    """Cuts a stream into frames. Holds at most one unfinished frame; `limit_bytes` may be raised between two."""

    def __init__(self, limit_bytes: int = HELLO_LIMIT_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def next(self) -> tuple[int, bytes] | None:
        """Type and payload of the next whole frame; None when more bytes are needed. Raises FrameError."""
        buffer = self._buffer
        if len(buffer) < HEAD.size:
            return None
        length, given = HEAD.unpack_from(buffer)
        if not 1 <= length <= self.limit_bytes:
            raise FrameError(f"frame of {length} bytes, limit {self.limit_bytes}")
        end = HEAD.size + length
        if len(buffer) < end:
            return None
        body = bytes(buffer[HEAD.size : end])
        del buffer[:end]
        if checksum(body) != given:
            raise FrameError("checksum does not match")
        return body[0], body[1:]
