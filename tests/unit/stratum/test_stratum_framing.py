from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stratum.framing import LineBuffer, LineTooLong


def lines(buffer: LineBuffer) -> list[bytes]:
    found = []
    while (line := buffer.next_line()) is not None:
        found.append(line)
    return found


@given(st.lists(st.binary(max_size=30).map(lambda b: b.replace(b"\n", b"")), max_size=8), st.integers(1, 40))
def test_framing_cuts_do_not_matter(parts: list[bytes], step: int) -> None:
    data = b"".join(part + b"\n" for part in parts)
    buffer, found = LineBuffer(100), []
    for start in range(0, len(data), step):
        buffer.feed(data[start : start + step])
        assert buffer.has_line() == (b"\n" in buffer._data[buffer._start :])
        found += lines(buffer)
    assert found == [part.strip() for part in parts]
    assert len(buffer) == 0


def test_framing_line_limit_is_exact() -> None:
    buffer = LineBuffer(10)
    buffer.feed(b"x" * 10)
    assert buffer.next_line() is None
    buffer.feed(b"\n")
    assert buffer.next_line() == b"x" * 10
    buffer.feed(b"y" * 11 + b"\n")
    with pytest.raises(LineTooLong):
        buffer.next_line()


def test_framing_endless_line_is_noticed_without_its_end() -> None:
    buffer = LineBuffer(10)
    with pytest.raises(LineTooLong):
        for _ in range(12):
            buffer.feed(b"z")
            assert buffer.next_line() is None


def test_framing_takes_carriage_returns_and_blank_lines() -> None:
    buffer = LineBuffer(10)
    buffer.feed(b"a\r\n\n  \nb\n")
    assert lines(buffer) == [b"a", b"", b"", b"b"]
