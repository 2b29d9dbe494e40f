"""What the miner tells people: one line that renews itself on a terminal, plain lines on a pipe."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TextIO

TERMINAL_INTERVAL_S = 2.0
PIPE_INTERVAL_S = 10.0
MOST_REASONS = 20  # a pool that invents a new reason for each share must not fill the memory


@dataclass(slots=True)
class Tally:
    """Counts since the start; `unanswered` are shares whose connection ended first."""

    hashes: int = 0
    accepted: int = 0
    blocks: int = 0
    unanswered: int = 0
    difficulty: float = 0.0
    refused: Counter[str] = field(default_factory=Counter)

    def refuse(self, reason: str) -> None:
        plain = "".join(c if c.isprintable() else " " for c in reason)[:80]
        self.refused[plain if plain in self.refused or len(self.refused) < MOST_REASONS else "other reasons"] += 1


def rate_text(hashes_per_s: float) -> str:
    """A hashrate for people: 1.36 MH/s."""
    for unit in ("H/s", "kH/s", "MH/s", "GH/s"):
        if hashes_per_s < 1000:
            return f"{hashes_per_s:.3g} {unit}"
        hashes_per_s /= 1000
    return f"{hashes_per_s:.0f} TH/s"


class StatusLine:
    """Prints the tally every few seconds, and sentences in between."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream if stream is not None else sys.stdout
        self._clock = clock
        self._terminal = self._stream.isatty()
        self._interval_s = TERMINAL_INTERVAL_S if self._terminal else PIPE_INTERVAL_S
        self._begun_s = self._since_s = clock()
        self._hashes = 0
        self._closed = False

    def say(self, sentence: str) -> None:
        """A sentence on a line of its own."""
        self._write(f"{sentence}\n")

    def print(self, tally: Tally, last: bool = False) -> None:
        """The counts; the hashrate is that since the line before, on the last line that of the whole run."""
        now_s = self._clock()
        since_s, before = (self._begun_s, 0) if last else (self._since_s, self._hashes)
        rate = (tally.hashes - before) / max(now_s - since_s, 1e-3)
        self._since_s, self._hashes = now_s, tally.hashes
        reasons = ", ".join(f"{count} {reason}" for reason, count in tally.refused.most_common())
        line = (
            f"hashrate={rate_text(rate)} difficulty={tally.difficulty:g} accepted={tally.accepted} "
            f"blocks={tally.blocks} rejected={tally.refused.total()}{f' ({reasons})' if reasons else ''}"
        )
        self._write(line + ("\n" if last or not self._terminal else ""))

    async def keep_printing(self, tally: Tally) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            self.print(tally)

    def _write(self, text: str) -> None:
        if self._closed:
            return
        try:
            self._stream.write(("\r\x1b[K" if self._terminal else "") + text)
            self._stream.flush()
        except BrokenPipeError:  # nobody reads any more: mining goes on
            self._closed = True
