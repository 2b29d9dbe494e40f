"""Work on the books that nobody waits for, in small pieces between their own: adding up, letting go, sealing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pool.services.recurring import again_and_again

Piece = Callable[[], bool]
"""Does one piece in the books' thread, and tells whether there may be another."""


@dataclass(frozen=True)
class BookChore:
    """`prepare` gives the next piece as things are on the event loop now, None when it cannot be done now. `leads`
    tells whether this process keeps the pool's books. The first pass comes after `first_s`, one every `pass_s`, and
    between two pieces others have the database for `piece_s`. `tell` logs a fault, once until it goes well again."""

    prepare: Callable[[], Piece | None]
    leads: Callable[[], bool]
    in_thread: Callable[[Piece], Awaitable[Any]]
    tell: Callable[[Exception], None]
    pass_s: float
    piece_s: float
    first_s: float = 0.0

    async def run(self) -> None:
        """Until cancelled."""
        await asyncio.sleep(self.first_s)
        await again_and_again(self.once, self.pass_s, self.tell)

    async def once(self) -> None:
        """Everything there is to do now."""
        while self.leads():
            piece = self.prepare()
            if piece is None or not await self.in_thread(piece):
                return
            await asyncio.sleep(self.piece_s)
