"""Answers that were given just now, for those who ask the same: one question at the books however many ask at once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any

MAX_ANSWERS = 256
"""Answers kept at a time; the oldest is forgotten first. The longest has some 300 kB."""


class AnswerCache:
    """By key. What fails is not kept: each of those who wait gets the failure, and the next one asks anew."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._kept: OrderedDict[str, tuple[float, asyncio.Task[Any]]] = OrderedDict()

    async def get(self, key: str, kept_s: float, ask: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """An answer no older than `kept_s` seconds, the one that is being made, or else what `ask` gives."""
        until_s, task = self._kept.get(key, (0.0, None))
        if task is None or (task.done() and not (self._now_s() < until_s and _is_good(task))):
            task = asyncio.get_running_loop().create_task(self._make(key, kept_s, ask))
            task.add_done_callback(_look_at)
            self._kept.pop(key, None)
            self._kept[key] = (0.0, task)
            if len(self._kept) > MAX_ANSWERS:
                self._kept.popitem(last=False)
        # Whoever hangs up must not end the question for the others.
        return await asyncio.shield(task)

    async def _make(self, key: str, kept_s: float, ask: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        answer = await ask()
        task = asyncio.current_task()
        if task is not None and self._kept.get(key, (0.0, None))[1] is task:
            self._kept[key] = (self._now_s() + kept_s, task)
        return answer


def _is_good(task: asyncio.Task[Any]) -> bool:
    return not task.cancelled() and task.exception() is None


def _look_at(task: asyncio.Task[Any]) -> None:
    """So that nobody complains of a failure when everybody who waited for it has gone away."""
    if not task.cancelled():
        task.exception()
