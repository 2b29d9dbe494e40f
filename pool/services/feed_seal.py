"""What the machines of one pool say to each other through Redis: sealed, so that only they can have said it.

Whoever can write to the pool's Redis could otherwise have all miners work for blocks of his own: an auxiliary chain's
hash says nothing of whom its block pays. A seal is HMAC-SHA256 under a key that the machines have and Redis has not,
over pool, direction and message. It keeps nothing secret, and a message that is shown again is known by its place: the
maker's epoch (later makers have greater ones) and a sequence without gaps.
"""

from __future__ import annotations

import hmac
from typing import Generic, TypeVar

import msgspec

SEAL_BYTES = 32
MAX_SEALED_BYTES = 64 << 20
LARGE_BYTES = 1 << 16
"""To seal so much takes a fraction of a millisecond; more is done in a thread."""

FEED_VERSION = 1
"""Of the messages between machines; a machine does not use what a maker of another version says."""


class FeedPiece(msgspec.Struct, array_like=True, frozen=True):
    """From the maker: frames of pool/services/front_end_messages.py. `whole` ones need nothing that came before.
    `made_ms` is the maker's clock."""

    version: int
    epoch: int
    sequence: int
    whole: bool
    made_ms: int
    frames: bytes


class Told(msgspec.Struct, array_like=True, frozen=True):
    """To the maker: a BlockFound of pool/services/maker_messages.py."""

    version: int
    content: bytes


T = TypeVar("T", FeedPiece, Told)


class Seal(Generic[T]):
    """Closes and opens one kind of message of one pool."""

    def __init__(self, key: bytes, pool: str, kind: type[T]) -> None:
        self._key = key
        self._context = f"parapool {kind.__name__} {pool}\0".encode()
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(kind)

    def close(self, message: T) -> bytes:
        content = self._encoder.encode(message)
        return self._of(content) + content

    def open(self, sealed: bytes) -> T:
        """Raises ValueError, with a sentence, for what is not of this pool's machines."""
        if len(sealed) > MAX_SEALED_BYTES:
            raise ValueError(f"{len(sealed)} bytes are more than any message has")
        view = memoryview(sealed)
        if not hmac.compare_digest(self._of(view[SEAL_BYTES:]), bytes(view[:SEAL_BYTES])):
            raise ValueError("its seal is not of transport.jobs_key_file")
        try:
            message: T = self._decoder.decode(view[SEAL_BYTES:])
        except msgspec.MsgspecError as error:
            raise ValueError(f"it is of another version: {error}") from error
        if message.version != FEED_VERSION:
            raise ValueError(f"it is of version {message.version}, here is {FEED_VERSION}: upgrade all machines")
        return message

    def _of(self, content: bytes | memoryview) -> bytes:
        mac = hmac.new(self._key, self._context, "sha256")
        mac.update(content)
        return mac.digest()
