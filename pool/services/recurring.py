"""What the books do again and again in the background, and what becomes of its faults."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from pool.accounting.books_away import BooksAwayError


async def again_and_again(
    once: Callable[[], Awaitable[None]], pause_s: float, tell: Callable[[Exception], None]
) -> None:
    """Until cancelled. A fault is told once, until another one comes or a pass went well; that the database is away is
    told by the books."""
    fault = ""
    while True:
        try:
            await once()
            fault = ""
        except BooksAwayError:
            pass
        except Exception as error:
            if fault != str(error):
                tell(error)
            fault = str(error)
        await asyncio.sleep(pause_s)
