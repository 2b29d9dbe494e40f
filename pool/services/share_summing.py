"""Adds stored shares up, in small pieces between the books' own work, so that windows are read quickly.

Which sums, and why nothing depends on them being there: pool/storage/share_spans.py.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from pool.services.recurring import again_and_again

log = logging.getLogger("parapool.books")

PASS_S = 10.0
PIECE_S = 0.5
"""Between two pieces others have the database."""


class ShareSumming:
    """The service. `step` adds up one piece and tells whether there was one; `leads` tells whether this process keeps
    the pool's books.
    """

    def __init__(
        self, step: Callable[[], bool], leads: Callable[[], bool], in_thread: Callable[..., Awaitable[Any]]
    ) -> None:
        self._step = step
        self._leads = leads
        self._in_thread = in_thread

    async def run(self) -> None:
        """Until cancelled."""
        await again_and_again(self.once, PASS_S, _tell)

    async def once(self) -> None:
        """Everything there is to do now."""
        while self._leads() and await self._in_thread(self._step):
            await asyncio.sleep(PIECE_S)


def _tell(error: Exception) -> None:
    log.error("shares are not added up, windows are read more slowly: %s", error, exc_info=error)
