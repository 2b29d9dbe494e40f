"""What machines of one pool say to each other, beside jobs: found blocks, and how their submission ended.

Frames and the messages of jobs are those of the local socket (pool/services/front_end_messages.py); across machines
they travel sealed (pool/services/feed_seal.py).
"""

from __future__ import annotations

import msgspec

from pool.services.block_messages import BlockAnswered, BlockFound
from pool.services.front_end_messages import Announcement, Frames, JobNews, ParentNews, framed

FromMaker = ParentNews | JobNews | Announcement | BlockAnswered

_encode = msgspec.msgpack.Encoder().encode
_maker_decoder = msgspec.msgpack.Decoder(FromMaker)
_found_decoder = msgspec.msgpack.Decoder(BlockFound)


def from_maker(frames: bytes) -> list[FromMaker]:
    """What a piece says, in order. Raises ValueError."""
    try:
        return [_maker_decoder.decode(payload) for payload in Frames().feed(frames)]
    except msgspec.MsgspecError as error:
        raise ValueError(f"it says what is not understood here: {error}") from error


def maker_frame(message: FromMaker) -> bytes:
    """As on the local socket."""
    return framed(_encode(message))


def found_content(found: BlockFound) -> bytes:
    return _encode(found)


def block_found(content: bytes) -> BlockFound:
    """Raises ValueError."""
    try:
        return _found_decoder.decode(content)
    except msgspec.MsgspecError as error:
        raise ValueError(f"it says what is not understood here: {error}") from error
