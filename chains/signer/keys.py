"""A secret key in a file: 64 hex digits, readable by its owner alone."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from coincurve import PublicKeyXOnly


class KeyFileError(Exception):
    """The file is no key that may be used; the message says why and never what is in it."""


def create_key(path: Path) -> bytes:
    """A new secret, on disk when this returns. Raises KeyFileError when the file is there already."""
    while True:
        secret = secrets.token_bytes(32)
        if is_secret(secret):
            break
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error
    with os.fdopen(descriptor, "w") as file:
        file.write(secret.hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return secret


def read_key(path: Path) -> bytes:
    """The 32-byte secret. Raises KeyFileError, also when others than the owner may read or write the file."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            text = file.read(200)
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise KeyFileError(f"{path} has mode {mode:04o}, expected 0600: others could read the key (chmod 600)")
    if status.st_uid not in (os.geteuid(), 0):
        raise KeyFileError(f"{path} belongs to user {status.st_uid}, expected {os.geteuid()}")
    try:
        secret = bytes.fromhex(text.decode("ascii").strip())
    except ValueError:
        secret = b""
    if len(secret) != 32 or not is_secret(secret):
        raise KeyFileError(f"{path}: expected 64 hex digits, a secp256k1 key")
    return secret


def is_secret(secret: bytes) -> bool:
    """Whether these 32 bytes are a secret key: neither 0 nor the group's order or more."""
    try:
        PublicKeyXOnly.from_secret(secret)
    except ValueError:
        return False
    return True
