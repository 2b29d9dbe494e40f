"""The process's loop: uvloop under Twisted's asyncio reactor.

Coroutines are asyncio tasks everywhere; Twisted serves the miners' connections on the same loop. Import this module's
function before anything imports `twisted.internet.reactor`.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
import sys
from collections.abc import Coroutine
from typing import Any

import uvloop
from twisted.internet import main as twisted_main
from twisted.internet.asyncioreactor import AsyncioSelectorReactor

YOUNG_OBJECTS = 10_000
"""Objects that may be made before the youngest are looked through for cycles: Python's 700 come with every dozen of
shares. It takes a third of a millisecond."""


class UvloopReactor(AsyncioSelectorReactor):
    """uvloop stops watching a socket that has data and an error at once, such as a peer's last words and its reset:
    the data is read, and nobody hears of the error. Whoever writes to it next does here."""

    def addWriter(self, writer: Any) -> None:
        try:
            super().addWriter(writer)
        except RuntimeError:  # "the handler is closed"
            self.callLater(0, self._disconnectSelectable, writer, twisted_main.CONNECTION_LOST, False)


def raise_open_files() -> None:
    """Each miner is an open file: use what the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def run(main: Coroutine[Any, Any, int]) -> int:
    """Run a coroutine to its end under the reactor; SIGINT and SIGTERM cancel it. Returns its exit code."""
    if "twisted.internet.reactor" in sys.modules:
        raise RuntimeError("a reactor is installed already")
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    twisted_main.installReactor(UvloopReactor(loop))
    from twisted.internet import reactor as installed

    reactor: Any = installed
    code = 0

    async def supervised() -> None:
        nonlocal code
        task = asyncio.ensure_future(main)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        try:
            code = await task
        except asyncio.CancelledError:
            code = 0
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    # Whatever the imports made stays. The collector would walk through it again and again, a tenth of a second each
    # time in which no share is answered; miners' objects alone take a tenth of that.
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])

    reactor.startRunning(installSignalHandlers=False)
    try:
        loop.run_until_complete(supervised())
    finally:
        reactor.fireSystemEvent("shutdown")
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
    return code
