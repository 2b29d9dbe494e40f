"""What a process uses, as the kernel tells it."""

from __future__ import annotations

import time
from pathlib import Path


def rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


class Busy:
    """A process's processor time from now on."""

    def __init__(self, pid: int) -> None:
        self._path = Path(f"/proc/{pid}/stat")
        self._at, self._ticks = time.monotonic(), self._now()

    def _now(self) -> int:
        return sum(int(word) for word in self._path.read_text().rsplit(")", 1)[1].split()[11:13])

    def per_s(self) -> float:
        """Of one core."""
        return (self._now() - self._ticks) / 100 / (time.monotonic() - self._at)
