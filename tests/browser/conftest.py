"""A pool's web port over the books of ten thousand miners, and a browser that looks at it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from crowd import fill
from crowd_site import OPTIONS, Crowded, Live
from prometheus_client import CollectorRegistry
from support.browser import Browser

from pool.storage.books_views import BooksViews
from pool.storage.database import sqlite_url
from pool.web.server import WebServer


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def crowded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Crowded]:
    path = tmp_path_factory.mktemp("crowd") / "pool.sqlite"
    await asyncio.to_thread(fill, path, time.time_ns() // 1_000_000)
    views = BooksViews(sqlite_url(path))
    live = Live()
    server = WebServer(live, views, CollectorRegistry(), options=OPTIONS)
    await server.start("127.0.0.1", 0)
    yield Crowded(server, live, f"http://127.0.0.1:{server.port}")
    await server.stop()
    views.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    async with Browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture
def pictures() -> Path | None:
    """Where screenshots are put when somebody wants to look at them: PARAPOOL_PICTURES."""
    folder = os.environ.get("PARAPOOL_PICTURES")
    return None if folder is None else Path(folder)
