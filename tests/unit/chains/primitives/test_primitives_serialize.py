"""CompactSize and the reader's bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.primitives.serialize import MAX_COUNT, MalformedError, Reader, compact_size


@pytest.mark.parametrize(
    ("number", "wire"),
    [
        (0, "00"), (0xFC, "fc"), (0xFD, "fdfd00"), (0xFFFF, "fdffff"), (0x10000, "fe00000100"),
        (0xFFFFFFFF, "feffffffff"), (2**32, "ff0000000001000000"), (2**64 - 1, "ff" + "ff" * 8),
    ],
)  # fmt: skip
def test_compact_size_bounds(number: int, wire: str) -> None:
    assert compact_size(number).hex() == wire
    assert Reader(bytes.fromhex(wire)).compact_size() == number


@given(st.integers(min_value=0, max_value=2**64 - 1))
def test_compact_size_round_trip(number: int) -> None:
    reader = Reader(compact_size(number) + b"x")
    assert reader.compact_size() == number
    assert reader.remaining() == 1


@pytest.mark.parametrize("wire", ["fdfc00", "feffff0000", "ffffffffff00000000", "fd0000"])
def test_compact_size_refuses_longer_forms(wire: str) -> None:
    with pytest.raises(MalformedError, match="shortest form"):
        Reader(bytes.fromhex(wire)).compact_size()


@pytest.mark.parametrize("wire", ["", "fd", "fdfd", "fe000001", "ff00000000010000"])
def test_compact_size_refuses_a_cut_end(wire: str) -> None:
    with pytest.raises(MalformedError, match="end of data"):
        Reader(bytes.fromhex(wire)).compact_size()


def test_reader_refuses_counts_that_the_data_cannot_hold() -> None:
    for count in (3, MAX_COUNT + 1, 2**64 - 1):
        with pytest.raises(MalformedError, match="exceeds the data"):
            Reader(compact_size(count) + b"\0\0").hashes()
    with pytest.raises(MalformedError, match="end of data"):
        Reader(compact_size(2**63) + b"abc").variable()


def test_reader_reads_numbers_little_endian_and_ends() -> None:
    reader = Reader(bytes.fromhex("01000000" "feffffff" "0200000000000000"))
    assert (reader.u32(), reader.i32(), reader.u64()) == (1, -2, 2)
    reader.finish()
    with pytest.raises(MalformedError):
        reader.read(1)
    with pytest.raises(MalformedError, match="2 bytes after the end"):
        Reader(b"ab").finish()
