"""What goes on in a process for as long as it runs. A part that breaks ends the process: nothing goes on without it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

log = logging.getLogger("parapool")


class RunningTasks:
    """`on_broken` hears a sentence of each task that broke. A task that ends by itself is no matter."""

    def __init__(self, on_broken: Callable[[str], None]) -> None:
        self._on_broken = on_broken
        self._tasks: dict[asyncio.Task[Any], None] = {}  # in the order of their coming

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[task] = None
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task)
        if not task.cancelled() and task.exception() is not None:
            log.critical("a service broke", exc_info=task.exception())
            self._on_broken(f"a service broke: {task.exception()!r}")

    async def end(self) -> bool:
        """Cancels them all and waits for their ends; whether there were any."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return bool(tasks)
