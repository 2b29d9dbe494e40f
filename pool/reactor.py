"""The process's loop: uvloop under Twisted's asyncio reactor.

Coroutines are asyncio tasks everywhere; Twisted serves the miners' connections on the same loop. Import this module's
function before anything imports `twisted.internet.reactor`.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Coroutine
from typing import Any

import uvloop


def run(main: Coroutine[Any, Any, int]) -> int:
    """Run a coroutine to its end under the reactor; SIGINT and SIGTERM cancel it. Returns its exit code."""
    if "twisted.internet.reactor" in sys.modules:
        raise RuntimeError("a reactor is installed already")
    from twisted.internet import asyncioreactor

    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    asyncioreactor.install(loop)
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

    reactor.startRunning(installSignalHandlers=False)
    try:
        loop.run_until_complete(supervised())
    finally:
        reactor.fireSystemEvent("shutdown")
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
    return code
