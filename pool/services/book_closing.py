"""Closes the books again and again: what is new is sealed, in pieces between the books' own work.

Nobody waits for it, and it waits for no reader: pool/storage/closing_store.py.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from pool.services.recurring import again_and_again

log = logging.getLogger("parapool.books")

PIECE_S = 0.2
"""Between two pieces others have the database."""


class BookClosing:
    """The service. `step` makes one closing and tells whether there is more; `leads` tells whether this process keeps
    the pool's books.
    """

    def __init__(
        self,
        step: Callable[[int], bool],
        leads: Callable[[], bool],
        in_thread: Callable[..., Awaitable[Any]],
        now_ms: Callable[[], int],
        interval_s: float,
    ) -> None:
        self._step = step
        self._leads = leads
        self._in_thread = in_thread
        self._now_ms = now_ms
        self._interval_s = interval_s

    async def run(self) -> None:
        """Until cancelled. The first pass comes after an interval, or every start would close a little."""
        await asyncio.sleep(self._interval_s)
        await again_and_again(self.once, self._interval_s, _tell)

    async def once(self) -> None:
        """Everything there is to do now."""
        while self._leads() and await self._in_thread(self._step, self._now_ms()):
            await asyncio.sleep(PIECE_S)


def _tell(error: Exception) -> None:
    log.error("the books are not closed, trying again: %s", error, exc_info=error)
