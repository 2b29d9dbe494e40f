"""Reference nodes behind their real HTTP port; all are closed when the test ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest_asyncio
from reference_client import PASSWORD, SEED, USER, Rpc, StartNode

from chains.reference.settings import NodeSettings


@pytest_asyncio.fixture(loop_scope="session")
async def start_node(tmp_path: Path) -> AsyncIterator[StartNode]:
    running: list[Rpc] = []
    async with aiohttp.ClientSession() as session:

        async def start(kind: str = "bitcoin", **changes: Any) -> Rpc:
            fields: dict[str, Any] = {"name": kind, "port": 0, "user": USER, "password": PASSWORD, "seed": SEED}
            fields |= {"data_dir": tmp_path / f"node{len(running)}", "context_name": "alpha"} | changes
            node = Rpc(session, NodeSettings(kind=kind, **fields))
            await node.start()
            running.append(node)
            return node

        yield start
        for node in running:
            await node.server.close()
