"""What the doctor says: one finding per check, with what to do about it where there is something to do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class Result(StrEnum):
    GOOD = "good"
    NOTE = "note"  # works, but somebody should know
    WRONG = "wrong"
    UNCHECKED = "unchecked"  # something else has to be put right first, or there is nothing to check


class Finding(NamedTuple):
    """One line of the table. `subject` is a node (`regbtc[0]`), a chain, or the pool itself."""

    subject: str
    check: str
    result: Result
    found: str
    remedy: str = ""


def good(subject: str, check: str, found: str) -> Finding:
    return Finding(subject, check, Result.GOOD, found)


def note(subject: str, check: str, found: str, remedy: str = "") -> Finding:
    return Finding(subject, check, Result.NOTE, found, remedy)


def wrong(subject: str, check: str, found: str, remedy: str) -> Finding:
    return Finding(subject, check, Result.WRONG, found, remedy)


def unchecked(subject: str, check: str, found: str) -> Finding:
    return Finding(subject, check, Result.UNCHECKED, found)


def all_good(findings: Sequence[Finding]) -> bool:
    return not any(finding.result is Result.WRONG for finding in findings)


class Progress:
    """What is being looked at now, told at each change."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._open: dict[str, None] = {}
        self._done = 0

    @contextmanager
    def looking_at(self, subject: str) -> Iterator[None]:
        self._open[subject] = None
        self._say()
        try:
            yield
        finally:
            self._open.pop(subject, None)
            self._done += 1
            self._say()

    def _say(self) -> None:
        waiting = ", ".join(self._open)
        self._tell(f"{self._done} looked at" + (f"; looking at {waiting}" if waiting else ""))


async def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """The function's answer out of a thread that nobody waits for at the end: a database driver that hangs in it must
    not keep the program."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def tell(value: T | None, error: BaseException | None) -> None:
        if answer.cancelled():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(value)  # type: ignore[arg-type]

    def work() -> None:
        value, failure = None, None
        try:
            value = function(*arguments)
        except Exception as error:
            failure = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, value, failure)

    threading.Thread(target=work, daemon=True, name="doctor").start()
    return await answer
