"""Devnets of real processes; whatever a test started is ended with it, and no pool may have logged a traceback."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support.devnet import Devnet, devnet_in, steps

MakeDevnet = Callable[..., Awaitable[Devnet]]


@pytest.fixture(autouse=True, scope="session")
def _tell_steps() -> None:
    steps.setLevel(logging.INFO)


@pytest_asyncio.fixture(loop_scope="session")
async def make_devnet(tmp_path: Path) -> AsyncIterator[MakeDevnet]:
    """Makes a devnet, started unless `start=False`; options as for Devnet."""
    async with AsyncExitStack() as stack:

        async def make(**options: Any) -> Devnet:
            return await stack.enter_async_context(devnet_in(tmp_path / "devnet", **options))

        yield make
