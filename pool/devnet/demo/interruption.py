"""Ctrl-C, as a wish that is looked at where it suits."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """Whether somebody wants to stop. For the main thread.

    A signal's handler runs between any two of the main thread's steps. One that sets a threading.Event waits for ever
    when the main thread is just inside that event's own lock; this one writes to a pipe.
    """

    def __init__(self) -> None:
        self._told, self._tell = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._is_set = False

    def set(self) -> None:
        """From now on. A second wish changes nothing: stopping takes its few seconds."""
        self._is_set = True
        with suppress(BlockingIOError):  # it is full of wishes
            os.write(self._tell, b"\0")

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, limit_s: float) -> bool:
        """Until there is the wish, or for so long; whether there is."""
        if not self._is_set:
            poll = select.poll()
            poll.register(self._told, select.POLLIN)
            poll.poll(limit_s * 1000)
        return self._is_set

    def close(self) -> None:
        os.close(self._told)
        os.close(self._tell)


@contextmanager
def by_signals() -> Iterator[Interruption]:
    """One that SIGNALS set."""
    interruption = Interruption()

    def told(number: int, frame: FrameType | None) -> None:
        interruption.set()

    before = {number: signal.signal(number, told) for number in SIGNALS}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        interruption.close()
