"""How far one long piece of work is: an audit, a migration, a log that is caught up with, a simulation.

Nothing is told of what is quick. On a terminal it is one line that is written over and leaves no trace; on a pipe and
in the log a plain line every ten seconds. The work tells as often as it likes; that costs a look at the clock.
"""

from __future__ import annotations

import logging
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import click

QUIET_S = 2.0
"""Work that is over by then is not told of."""
PIPE_S = 10.0
TERMINAL_S = 0.2
CLEAR_LINE = "\r\x1b[K"


class Tell(Protocol):
    """What long work is given: `what` it is at, and how many of how many where that is known."""

    def __call__(self, what: str, done: int | None = None, total: int | None = None) -> None: ...


def silent(what: str, done: int | None = None, total: int | None = None) -> None:
    """For work that nobody waits for."""


class Progress:
    """One piece of work, from its making on. `write` gets a line, at most every `every_s` (PIPE_S) and none in the
    first `quiet_s` (QUIET_S); `wrote` once it did."""

    def __init__(
        self,
        title: str,
        write: Callable[[str], None],
        *,
        every_s: float | None = None,
        quiet_s: float | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._title = title
        self._write = write
        self._every_s = PIPE_S if every_s is None else every_s
        self._now_s = now_s
        self._began_s = now_s()
        self._due_s = self._began_s + (QUIET_S if quiet_s is None else quiet_s)
        self._at: tuple[str, int | None, int | None] = ("", None, None)
        self.wrote = False

    def tell(self, what: str, done: int | None = None, total: int | None = None) -> None:
        """Where the work is now. Cheap enough for the inside of a loop."""
        self._at = (what, done, total)
        self._write_when_due()

    @property
    def taken_s(self) -> float:
        return self._now_s() - self._began_s

    @contextmanager
    def ticking(self) -> Iterator[None]:
        """Lines come also while the work is in one long call and tells nothing: a thread looks at the clock."""
        over = threading.Event()

        def tick() -> None:
            while not over.wait(min(1.0, self._every_s)):
                self._write_when_due()

        thread = threading.Thread(target=tick, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def line(self) -> str:
        """`audit: 1,234 of 5,000 blocks (24 %), 12 s`"""
        what, done, total = self._at
        if done is not None and total:
            at = f"{done:,} of {total:,} {what} ({100 * done // total} %)"
        else:
            at = what if done is None else f"{done:,} {what}"
        return f"{self._title}: {at}{', ' if at else ''}{self.taken_s:.0f} s"

    def _write_when_due(self) -> None:
        now_s = self._now_s()
        if now_s >= self._due_s:
            self._due_s = now_s + self._every_s
            self.wrote = True
            self._write(self.line())


@contextmanager
def on_stderr(title: str) -> Iterator[Tell]:
    """For a command, whose answer goes to standard output."""
    if not sys.stderr.isatty():
        yield Progress(title, lambda line: click.echo(line, err=True)).tell
        return

    def write_over(line: str) -> None:
        click.echo(CLEAR_LINE + line[: shutil.get_terminal_size().columns - 1], err=True, nl=False)

    progress = Progress(title, write_over, every_s=TERMINAL_S)
    try:
        yield progress.tell
    finally:
        if progress.wrote:
            click.echo(CLEAR_LINE, err=True, nl=False)


@contextmanager
def in_log(title: str, log: logging.Logger) -> Iterator[Progress]:
    """For the running pool. What was told of is told to be over, too."""
    progress = Progress(title, log.info)
    try:
        yield progress
    finally:
        if progress.wrote:
            log.info("%s: over, %.0f s", title, progress.taken_s)
