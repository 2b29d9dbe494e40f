"""What a front end does at its mother's word, by parts that only note it."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pool.services.front_end_messages import Announcement, BanNews, Consumed, JobNews, MinersToTell, Present
from pool.shares.record import Position
from pool.wiring import front_end_orders
from pool.wiring.front_end_orders import FrontEndOrders, ToldBooks


class World:
    """Orders over parts that note what they are asked."""

    def __init__(self, folder: Path) -> None:
        self.announced: list[tuple[str, set[str]]] = []
        self.told: list[Any] = []
        self.tasks: list[asyncio.Task[Any]] = []
        server = SimpleNamespace(
            announce=lambda text, realms: self.announced.append((text, realms)), connections=set(), bans=None
        )
        mining: Any = SimpleNamespace(
            servers={4: server},
            table=SimpleNamespace(get=lambda job_id: None),
            relay=None,
            jobs=SimpleNamespace(settings=None),
            intake=SimpleNamespace(pow_name="sha256d"),
            config=SimpleNamespace(pool=SimpleNamespace(data_dir=folder)),
        )
        nothing: Any = None
        self.books = ToldBooks(None, self.spawn)
        self.orders = FrontEndOrders(
            3, mining, nothing, self.books, nothing, self.told.append, self.spawn, lambda: None
        )

    def spawn(self, work: Any) -> asyncio.Task[Any]:
        self.tasks.append(asyncio.get_running_loop().create_task(work))
        return self.tasks[-1]


async def test_front_end_orders_do_what_is_said_and_nothing_else(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.orders.act(Announcement("hello", ["eu"]))
    assert world.announced == [("hello", {"eu"})]
    world.orders.act(Consumed(1, 20, 300, 4))
    assert (world.books.consumed_through, world.books.lag_ms) == (300, 4)
    world.orders.act(Present())
    world.orders.act(MinersToTell(7, "hello", None, None))
    await asyncio.gather(*world.tasks)
    [answer] = world.told
    assert (answer.number, answer.connections) == (7, 0)


async def test_front_end_orders_tell_a_job_that_cannot_be_made_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(tmp_path)
    job = JobNews(
        sequence=1, job_id="1", clean=True, empty=False, aux=[], uncapped=[], fixed_version_bits=0, template_age_s=0,
        pay_rates={},
    )  # fmt: skip
    for _ in range(2):
        world.orders.act(job)
    told = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    why = "ValueError('a job came before its template')"
    assert told == [f"a job of the mother's cannot be made here, miners stay on the last one: {why}"]


async def test_front_end_orders_tell_a_ban_that_is_not_in_force(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(tmp_path)
    world.orders.act(BanNews("no address", 60, "test"))
    await asyncio.gather(*world.tasks)
    assert "a ban is not in force in this front end network=no address" in caplog.text


async def test_front_end_books_trim_the_share_log_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    trimmed: list[Position] = []
    share_log: Any = SimpleNamespace(trim=trimmed.append)
    tasks: list[asyncio.Task[Any]] = []

    def spawn(work: Any) -> asyncio.Task[Any]:
        tasks.append(asyncio.get_running_loop().create_task(work))
        return tasks[-1]

    books = ToldBooks(share_log, spawn)
    books._trimmed_at = float("-inf")  # the loop's clock may begin with this process
    for offset in (10, 20):
        books.heard(Consumed(2, offset, offset, 0))
    await asyncio.gather(*tasks)
    assert trimmed == [Position(2, 10)] and books.consumed_through == 20
    monkeypatch.setattr(front_end_orders, "TRIM_S", 0.0)
    books.heard(Consumed(2, 30, 30, 0))
    await asyncio.gather(*tasks)
    assert trimmed == [Position(2, 10), Position(2, 30)]
