"""The web tests' server, over a database that is filled once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from web_site import BooksInThread, Live, Site, counted_registry, filled_database

from pool.storage.database import Database
from pool.web.server import WebServer


@pytest.fixture(scope="module")
async def database(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Database]:
    opened = await asyncio.to_thread(filled_database, tmp_path_factory.mktemp("books") / "pool.sqlite")
    yield opened
    opened.close()


@pytest.fixture
async def site(database: Database) -> AsyncIterator[Site]:
    live = Live()
    server = WebServer(live, BooksInThread(database), counted_registry())
    await server.start("127.0.0.1", 0)
    async with aiohttp.ClientSession() as session:
        yield Site(server, live, session)
    await server.stop()
