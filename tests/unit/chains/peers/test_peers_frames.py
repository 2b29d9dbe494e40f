from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.peers.frames import BODY_LIMIT_BYTES, HEAD, FrameError, FrameReader, frame


def test_peers_frames_bytes_are_as_written_down() -> None:
    body = b"\x10abc"
    assert frame(0x10, b"abc") == b"\x04\x00\x00\x00" + hashlib.sha256(body).digest()[:4] + body


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=300)), max_size=5), st.integers(1, 50))
def test_peers_frames_any_cut_of_the_stream_gives_the_same_frames(frames: list[tuple[int, bytes]], step: int) -> None:
    stream = b"".join(frame(kind, payload) for kind, payload in frames)
    reader, seen = FrameReader(), []
    for at in range(0, len(stream), step):
        reader.feed(stream[at : at + step])
        while (found := reader.next()) is not None:
            seen.append(found)
    assert seen == frames


def test_peers_frames_length_is_judged_before_the_bytes_come() -> None:
    reader = FrameReader(limit_bytes=100)
    reader.feed(HEAD.pack(101, bytes(4)))
    with pytest.raises(FrameError, match="frame of 101 bytes, limit 100"):
        reader.next()
    reader = FrameReader()
    reader.feed(HEAD.pack(0, bytes(4)))
    with pytest.raises(FrameError, match="frame of 0 bytes"):
        reader.next()


def test_peers_frames_checksum() -> None:
    reader = FrameReader()
    data = bytearray(frame(1, b"hello"))
    data[-1] ^= 1
    reader.feed(bytes(data))
    with pytest.raises(FrameError, match="checksum"):
        reader.next()


def test_peers_frames_largest() -> None:
    reader = FrameReader(BODY_LIMIT_BYTES)
    reader.feed(frame(1, bytes(BODY_LIMIT_BYTES - 1)))
    assert reader.next() == (1, bytes(BODY_LIMIT_BYTES - 1))
    with pytest.raises(AssertionError):
        frame(1, bytes(BODY_LIMIT_BYTES))
