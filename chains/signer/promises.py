"""What one key has promised to sign: for each slot one digest, in a file that only grows.

    header   "PPSP" | u8 version 1 | 3 zero bytes | public key 32 (BIP340, x-only)
    record   slot 32 | digest 32 | u32 CRC-32 of slot and digest, little-endian

A record is synced before anybody hears of it. Half a record at the end was therefore never heard of, and is cut off
when the file is opened; anything else that is wrong refuses the file: a forgotten promise is a signature too many.
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from pathlib import Path

MAGIC = b"PPSP\x01\x00\x00\x00"
_RECORD = struct.Struct("<32s32sI")
HEADER_BYTES = len(MAGIC) + 32


class PromisesError(Exception):
    """The file may not be used; nothing is signed. The message says why and what to do."""


class Promises:
    """Open for this process alone. `create` makes the file and refuses one that is there. Raises PromisesError."""

    def __init__(self, path: Path, public_key: bytes, *, create: bool = False) -> None:
        self._path = path
        self._failed = ""
        flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if create else 0)
        try:
            self._file = os.open(path, flags, 0o600)
        except FileNotFoundError:
            raise PromisesError(
                f"{path} is missing: without it a digest could be signed twice for one slot. Restore it, or make a new "
                "key; a key that never signed may be given a new file"
            ) from None
        except OSError as error:
            raise PromisesError(f"{path}: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if create:
                self._append(MAGIC + public_key)
                self._sync_directory()
            self._digests = self._read(public_key)
        except BlockingIOError:
            os.close(self._file)
            raise PromisesError(f"{path} is in use by another signer") from None
        except BaseException:
            os.close(self._file)
            raise

    def __len__(self) -> int:
        return len(self._digests)

    def get(self, slot: bytes) -> bytes | None:
        """The digest that this slot (32 bytes) is promised to."""
        return self._digests.get(slot)

    def promise(self, slot: bytes, digest: bytes) -> None:
        """Keep it, on disk when this returns. The slot is free. Raises PromisesError; then the file takes nothing more
        until it is opened again, because what of it is on disk is not known."""
        assert slot not in self._digests
        if self._failed:
            raise PromisesError(f"{self._path} failed before ({self._failed}): open it again")
        try:
            self._append(_RECORD.pack(slot, digest, zlib.crc32(slot + digest)))
        except OSError as error:
            self._failed = str(error.strerror)
            raise PromisesError(f"{self._path}: {error.strerror}") from error
        self._digests[slot] = digest

    def close(self) -> None:
        os.close(self._file)

    def _append(self, data: bytes) -> None:
        written = os.write(self._file, data)
        if written != len(data):
            raise OSError(28, "no space for a whole record")
        os.fsync(self._file)

    def _sync_directory(self) -> None:
        directory = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _read(self, public_key: bytes) -> dict[bytes, bytes]:
        data = self._path.read_bytes()
        if len(data) < HEADER_BYTES or data[: len(MAGIC)] != MAGIC:
            raise PromisesError(f"{self._path} is no file of promises")
        if data[len(MAGIC) : HEADER_BYTES] != public_key:
            raise PromisesError(f"{self._path} holds the promises of another key")
        digests: dict[bytes, bytes] = {}
        whole = (len(data) - HEADER_BYTES) // _RECORD.size
        end = HEADER_BYTES + whole * _RECORD.size
        for number, (slot, digest, checksum) in enumerate(_RECORD.iter_unpack(data[HEADER_BYTES:end])):
            if zlib.crc32(slot + digest) != checksum or digests.setdefault(slot, digest) != digest:
                raise PromisesError(f"{self._path}: record {number} is damaged; nothing is signed until it is restored")
        if end < len(data):
            os.ftruncate(self._file, end)
            os.fsync(self._file)
        return digests
