"""One event loop for the whole suite, as in the program: uvloop, with Twisted's asyncio reactor running on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import pytest
import pytest_asyncio
import uvloop
from hypothesis import settings
from support.postgresql import PostgresqlServer
from support.redis import RedisServer

# A slow example is no fault on a machine that others use as well.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def reactor() -> AsyncIterator[Any]:
    """Twisted's reactor on the session's loop; installed before anything imports twisted.internet.reactor."""
    from twisted.internet import asyncioreactor

    asyncioreactor.install(asyncio.get_running_loop())
    from twisted.internet import reactor as installed

    running: Any = installed
    running.startRunning(installSignalHandlers=False)
    yield running
    running.removeAll()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """Started when first asked for. A test that stops or fills it has one of its own."""
    server = RedisServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    """Started when first asked for. A test that stops it has one of its own."""
    server = PostgresqlServer()
    yield server
    server.close()
