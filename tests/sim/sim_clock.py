"""Virtual time: an event loop whose clock jumps to the next timer, and a thread that is none.

Nothing here waits. A run that covers an hour takes as long as its computations, and two runs of one seed do the same
things in the same order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

START_S = 1_700_000_000
"""What the wall clock shows when a run begins."""


class NothingToDoError(Exception):
    """Every task waits for something that no timer will bring: the run would wait for ever."""


class _JumpingSelector:
    """Stands where the loop waits for sockets: instead of waiting it moves the clock."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise NothingToDoError("no timer is set and nothing is ready")
        self._loop.now_s += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """An asyncio loop without sockets. `now_s` is its time; it begins at 1000, as a machine's does after a while."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1000.0
        self._selector = _JumpingSelector(self)

    def time(self) -> float:
        return self.now_s

    def wall_ms(self) -> int:
        return int((START_S + self.now_s) * 1000)

    def _process_events(self, event_list: list[Any]) -> None:
        """There are no sockets."""

    def _write_to_self(self) -> None:
        """Nobody sleeps who would have to be woken."""


class InlineExecutor(Executor):
    """Runs each call at once, on the loop's own thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


class VirtualTime:
    """What modules that say `time.monotonic()` get instead of the module `time`."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def monotonic(self) -> float:
        return self._loop.now_s

    def time(self) -> float:
        return START_S + self._loop.now_s

    def time_ns(self) -> int:
        return int(self.time() * 1e9)

    def sleep(self, seconds: float) -> None:
        self._loop.now_s += seconds


@contextmanager
def virtual_time(loop: VirtualLoop, *modules: Any) -> Iterator[None]:
    """Gives these modules the loop's clock for `time`."""
    patches = [patch.object(module, "time", VirtualTime(loop)) for module in modules if hasattr(module, "time")]
    for one in patches:
        one.start()
    try:
        yield
    finally:
        for one in patches:
            one.stop()
