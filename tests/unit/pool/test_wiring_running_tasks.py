"""The tasks of a process: one that breaks is told, one that ends is forgotten, the rest end together."""

from __future__ import annotations

import asyncio
import logging

import pytest

from pool.wiring.running_tasks import RunningTasks


async def nothing() -> None:
    await asyncio.sleep(0)


async def broken() -> None:
    raise ValueError("no such share")


async def test_running_tasks_tell_of_one_that_breaks_with_its_trace(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[str] = []
    tasks = RunningTasks(heard.append)
    await asyncio.gather(tasks.spawn(nothing()), tasks.spawn(broken()), return_exceptions=True)
    await asyncio.sleep(0)
    assert heard == ["a service broke: ValueError('no such share')"] and not tasks
    [record] = [one for one in caplog.records if one.levelno == logging.CRITICAL]
    assert record.exc_info is not None and isinstance(record.exc_info[1], ValueError)


async def test_running_tasks_end_together_and_say_whether_there_were_any() -> None:
    heard: list[str] = []
    tasks = RunningTasks(heard.append)
    left: list[int] = []

    async def leaves(number: int) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            left.append(number)

    running = [tasks.spawn(leaves(number)) for number in range(3)]
    await asyncio.sleep(0)
    assert await tasks.end() and left == [0, 1, 2]
    assert all(task.cancelled() for task in running) and heard == []
    assert not tasks and not await tasks.end()
