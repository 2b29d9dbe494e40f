"""A chore is done in pieces, by the process that keeps the books, through errors and outages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from pool.accounting.books_away import BooksAwayError
from pool.services.book_chore import BookChore, Piece

log = logging.getLogger("parapool.books")

LIMIT_S = 30.0


class Pieces:
    """How many pieces are left, and errors that come first."""

    def __init__(self, left: int, *errors: Exception) -> None:
        self.left = left
        self.errors = list(errors)
        self.calls = 0

    def step(self) -> bool:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        self.left -= self.left > 0
        return self.left > 0


async def in_thread(call: Callable[[], Any]) -> Any:
    return call()


def tell(error: Exception) -> None:
    log.error("not done: %s", error)


def chore(
    step: Piece | None, leads: Callable[[], bool] = lambda: True, *, pass_s: float = 0.001, first_s: float = 0.0
) -> BookChore:
    return BookChore(lambda: step, leads, in_thread, tell, pass_s, 0.0, first_s)


async def run_until(service: BookChore, done: Callable[[], bool]) -> None:
    task = asyncio.create_task(service.run())
    try:
        async with asyncio.timeout(LIMIT_S):
            while not done():
                await asyncio.sleep(0.001)
    finally:
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_chore_goes_on_until_nothing_is_left() -> None:
    pieces = Pieces(5)
    await chore(pieces.step).once()
    assert (pieces.left, pieces.calls) == (0, 5)


async def test_chore_is_for_the_process_that_keeps_the_books() -> None:
    pieces = Pieces(5)
    await chore(pieces.step, lambda: False).once()
    assert pieces.calls == 0
    leads = iter((True, True, False))
    await chore(pieces.step, lambda: next(leads)).once()
    assert pieces.calls == 2, "another process has the lead now"


async def test_chore_waits_for_what_it_cannot_do_yet() -> None:
    pieces = Pieces(2)
    prepared = iter((pieces.step, None, pieces.step))
    service = BookChore(lambda: next(prepared), lambda: True, in_thread, tell, 0.001, 0.0)
    await service.once()
    assert pieces.left == 1
    await service.once()
    assert pieces.left == 0


async def test_chore_leaves_the_start_alone() -> None:
    pieces = Pieces(1)
    task = asyncio.create_task(chore(pieces.step, first_s=3600.0).run())
    await asyncio.sleep(0.05)
    task.cancel()
    assert pieces.calls == 0


async def test_chore_tries_again_and_tells_an_error_once(caplog: pytest.LogCaptureFixture) -> None:
    full, away = OSError(28, "No space left on device"), BooksAwayError("the server is down")
    pieces = Pieces(2, full, full, away, away)
    with caplog.at_level(logging.INFO, "parapool.books"):
        await run_until(chore(pieces.step), lambda: pieces.left == 0)
    [told] = caplog.records
    assert told.levelno == logging.ERROR
    assert told.getMessage() == "not done: [Errno 28] No space left on device"


async def test_chore_tells_an_error_again_when_it_went_well_in_between(caplog: pytest.LogCaptureFixture) -> None:
    pieces = Pieces(1, OSError("full"))
    service = chore(pieces.step)
    task_done = 0

    def done() -> bool:
        nonlocal task_done
        if pieces.left == 0 and task_done == 0 and pieces.calls > 2:
            pieces.errors.append(OSError("full"))
            task_done = 1
        return task_done == 1 and not pieces.errors and len(caplog.records) > 1

    await run_until(service, done)
    assert [record.getMessage()[-4:] for record in caplog.records] == ["full", "full"]
