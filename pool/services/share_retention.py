"""Lets old shares go, in small pieces between the books' own work: rules and sums are pool/storage/retention.py."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pool.services.recurring import again_and_again

log = logging.getLogger("parapool.books")

PASS_S = 600.0
PIECE_S = 0.2
"""Between two pieces others have the database."""


class ShareRetention:
    """The service. `reaches` tells how far every chain's windows reach now, None while some chain's target is not
    known: then nothing is deleted. `leads` tells whether this process keeps the pool's books.
    """

    def __init__(
        self,
        step: Callable[[Mapping[str, Any], int], bool],
        reaches: Callable[[], Mapping[str, Any] | None],
        leads: Callable[[], bool],
        in_thread: Callable[..., Awaitable[Any]],
        now_ms: Callable[[], int],
    ) -> None:
        self._step = step
        self._reaches = reaches
        self._leads = leads
        self._in_thread = in_thread
        self._now_ms = now_ms

    async def run(self) -> None:
        """Until cancelled."""
        await again_and_again(self.once, PASS_S, _tell)

    async def once(self) -> None:
        """Everything there is to do now."""
        while self._leads():
            reaches = self._reaches()
            if reaches is None or not await self._in_thread(self._step, reaches, self._now_ms()):
                return
            await asyncio.sleep(PIECE_S)


def _tell(error: Exception) -> None:
    log.error("old shares stay, trying again: %s", error, exc_info=error)
