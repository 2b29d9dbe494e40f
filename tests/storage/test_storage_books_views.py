"""Readers of the books have a thread and a connection of their own, which cannot write."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import DBAPIError

from pool.storage import views
from pool.storage.books_views import BooksViews
from pool.storage.database import Database
from pool.storage.tables import chain_sets


async def test_views_are_answered_while_a_write_is_under_way_and_see_none_of_it(url, monkeypatch):
    monkeypatch.setattr(views, "block_counts", lambda c: len(c.execute(select(chain_sets.c.names)).all()))
    reading, database = BooksViews(url), Database(url)
    with database.write() as connection:
        connection.execute(insert(chain_sets), [{"names": "alpha,regbtc"}])
        async with asyncio.timeout(30):
            assert await reading.block_counts() == 0
    assert await reading.block_counts() == 1
    reading.close()
    database.close()


async def test_views_hold_up_no_write(url, monkeypatch):
    reading, database = BooksViews(url), Database(url)

    def writes_meanwhile(connection):
        before = len(connection.execute(select(chain_sets.c.names)).all())
        with database.write() as other:
            other.execute(insert(chain_sets), [{"names": "regbtc"}])
        return before, len(connection.execute(select(chain_sets.c.names)).all())

    monkeypatch.setattr(views, "block_counts", writes_meanwhile)
    async with asyncio.timeout(30):
        assert await reading.block_counts() == (0, 0), "one consistent sight, taken before the write"
    reading.close()
    database.close()


async def test_views_cannot_write(url, monkeypatch):
    reading = BooksViews(url)
    monkeypatch.setattr(views, "block_counts", lambda c: c.execute(insert(chain_sets), [{"names": "x"}]))
    with pytest.raises(DBAPIError, match=r"readonly|read-only"):
        await reading.block_counts()
    reading.close()


async def test_views_drop_what_waits_when_they_are_closed(url, monkeypatch):
    reading = BooksViews(url)
    asked = [asyncio.ensure_future(reading.block_counts()) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.get_running_loop().run_in_executor(None, reading.close)
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert all(answer == {} or isinstance(answer, asyncio.CancelledError) for answer in answers)
