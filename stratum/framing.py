"""Bytes into lines, with a bound on what is held.

Pure: the caller feeds whatever a read gave and asks for lines until there is none. A line ends at `\\n`; a `\\r` before
it and blanks around it do not count.
"""

from __future__ import annotations


class LineTooLong(ValueError):
    """More bytes than the limit without a newline; the connection cannot be understood any more."""


class LineBuffer:
    """Holds what was fed and not yet taken as a line; `line_bytes` bounds one line without its newline."""

    __slots__ = ("_data", "_line_bytes", "_scanned", "_start")

    def __init__(self, line_bytes: int) -> None:
        self._line_bytes = line_bytes
        self._data = b""
        self._start = 0
        self._scanned = 0  # no newline before this index, so that a trickle of bytes is not searched again and again

    def __len__(self) -> int:
        """Bytes held."""
        return len(self._data) - self._start

    def feed(self, data: bytes) -> None:
        start = self._start
        if start == len(self._data):
            self._data = data
            self._scanned = 0
        else:
            self._data = self._data[start:] + data
            self._scanned -= start
        self._start = 0

    def next_line(self) -> bytes | None:
        """The next whole line, stripped, or None until more is fed. Raises LineTooLong."""
        if self._start == len(self._data):  # the end of most reads
            return None
        end = self._data.find(b"\n", self._scanned)
        if end < 0:
            self._scanned = len(self._data)
            if len(self._data) - self._start > self._line_bytes:
                raise LineTooLong
            return None
        start, self._start, self._scanned = self._start, end + 1, end + 1
        if end - start > self._line_bytes:
            raise LineTooLong
        return self._data[start:end].strip()

    def has_line(self) -> bool:
        """Whether next_line() would give something (a line or LineTooLong) without more being fed."""
        if len(self._data) - self._start > self._line_bytes:
            return True
        return self._data.find(b"\n", self._scanned) >= 0

    def clear(self) -> None:
        self._data = b""
        self._start = self._scanned = 0
