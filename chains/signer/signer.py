"""The signer: at most one digest for each (purpose, slot), on disk before the answer.

What is signed, and what a purpose and a slot mean, is the caller's: for a leader of B_k the purpose is the chain and
the slot is parent and leader vote, so that no crash and no second caller makes it sign two blocks for one vote. The
same digest again gets the same signature (BIP340 without auxiliary randomness); another one is refused with the reason.

One process holds a key's promises (lock on their file). Two copies of key and promises on two machines are what
nothing here can notice: never restore a backup of the promises beside a signer that goes on.
"""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

from coincurve import PrivateKey, PublicKeyXOnly

from chains.signer.keys import create_key, read_key
from chains.signer.promises import Promises, PromisesError

MAX_PURPOSE_BYTES = 64
MAX_SLOT_BYTES = 256
_TAG = hashlib.sha256(b"parapool/signer-slot").digest()


class AlreadyPromisedError(Exception):
    """Another digest was promised to this slot; `promised` is it."""

    def __init__(self, purpose: str, slot: bytes, promised: bytes) -> None:
        super().__init__(f"slot {slot.hex()} of {purpose} is promised to digest {promised.hex()}")
        self.promised = promised


class Signer:
    """One key. Safe to be called from several threads. Raises KeyFileError and PromisesError."""

    def __init__(self, key_path: Path, promises_path: Path) -> None:
        secret = read_key(key_path)
        self._key = PrivateKey(secret)
        self.public_key: bytes = PublicKeyXOnly.from_secret(secret).format()
        self._promises = Promises(promises_path, self.public_key)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many promises there are."""
        return len(self._promises)

    def sign(self, purpose: str, slot: bytes, digest: bytes) -> bytes:
        """BIP340 signature (64 bytes) of a 32-byte digest. Raises AlreadyPromisedError; PromisesError when the promise
        cannot be kept; ValueError for a digest, purpose or slot of a wrong length."""
        name = slot_id(purpose, slot)
        if len(digest) != 32:
            raise ValueError(f"a digest of {len(digest)} bytes")
        with self._lock:
            promised = self._promises.get(name)
            if promised is None:
                self._promises.promise(name, digest)
            elif promised != digest:
                raise AlreadyPromisedError(purpose, slot, promised)
        return self._key.sign_schnorr(digest, None)  # type: ignore[arg-type]  # None: no randomness, same bytes again

    def promised(self, purpose: str, slot: bytes) -> bytes | None:
        """The digest that this slot is promised to."""
        with self._lock:
            return self._promises.get(slot_id(purpose, slot))

    def close(self) -> None:
        self._promises.close()


def create_signer(key_path: Path, promises_path: Path) -> Signer:
    """A new key with an empty file of promises. Raises KeyFileError or PromisesError when one of them is there."""
    if promises_path.exists():
        raise PromisesError(f"{promises_path} is there already")
    secret = create_key(key_path)
    Promises(promises_path, PublicKeyXOnly.from_secret(secret).format(), create=True).close()
    return Signer(key_path, promises_path)


def open_signer(key_path: Path, promises_path: Path) -> Signer:
    """The signer of these files, made new when neither is there. Raises KeyFileError and PromisesError."""
    if not key_path.exists() and not promises_path.exists():
        return create_signer(key_path, promises_path)
    return Signer(key_path, promises_path)


def slot_id(purpose: str, slot: bytes) -> bytes:
    """32 bytes that name a slot in the file. Raises ValueError."""
    name = purpose.encode()
    if not 1 <= len(name) <= MAX_PURPOSE_BYTES or len(slot) > MAX_SLOT_BYTES:
        raise ValueError(f"a purpose of {len(name)} bytes, a slot of {len(slot)}")
    return hashlib.sha256(_TAG + _TAG + bytes((len(name),)) + name + slot).digest()
