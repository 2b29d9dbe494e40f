"""SHA-256 with its state taken out and put back, against hashlib."""

from __future__ import annotations

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.primitives.sha256_midstate import EMPTY, Midstate


def test_midstate_digest_agrees_with_hashlib_for_every_length_to_300() -> None:
    data = random.Random(1).randbytes(300)
    for length in range(301):
        assert EMPTY.update(data[:length]).digest() == hashlib.sha256(data[:length]).digest(), length


def test_midstate_taken_up_again_at_any_split_agrees_with_hashlib() -> None:
    data = random.Random(2).randbytes(200)
    expected = hashlib.sha256(data).digest()
    for split in range(201):
        before = EMPTY.update(data[:split])
        assert (before.length, len(before.extra)) == (split, split % 64)
        exported = Midstate(bytes(before.state), before.length, bytes(before.extra))
        assert exported.update(data[split:]).digest() == expected, split


@given(st.lists(st.binary(max_size=150), max_size=6))
def test_midstate_in_pieces_agrees_with_hashlib(pieces: list[bytes]) -> None:
    midstate = EMPTY
    for piece in pieces:
        midstate = midstate.update(piece)
    assert midstate.digest() == hashlib.sha256(b"".join(pieces)).digest()


@pytest.mark.parametrize(
    ("text", "digest"),
    [
        (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    ],
)
def test_midstate_fips_examples(text: bytes, digest: str) -> None:
    assert EMPTY.update(text).digest().hex() == digest


def test_midstate_of_whole_blocks_keeps_nothing_over() -> None:
    midstate = EMPTY.update(bytes(128))
    assert midstate.extra == b""
    assert midstate.state != EMPTY.state
