"""Five real nodes of each kind and their miner, while links lose a fifth of all messages, are cut, and nodes are killed
: all end on one tip, and on the same coins."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from support.network import RealNetwork, chain_view, kind_command, miner_command, until
from support.ports import free_port

from pool.devnet.demo.children import Child, stop
from pool.devnet.network import NetworkPlan

NODES = 5
BLOCK_S = 2


def plan_of(kind: str, folder: Path) -> NetworkPlan:
    return NetworkPlan(kind, NODES, k=4, interval_s=BLOCK_S, data_dir=folder, first_port=1)


async def heights(network: RealNetwork, indices: tuple[int, ...]) -> list[int]:
    return [(await chain_view(network.nodes[index]))["height"] for index in indices]


async def grown(network: RealNetwork, indices: tuple[int, ...], by: int) -> None:
    """These nodes' chains have become so much longer."""
    start = max(await heights(network, indices))

    async def longer() -> bool:
        return min(await heights(network, indices)) >= start + by

    await until(longer, f"nodes {indices} have {by} more", 180)


def truncate(database: Path) -> None:
    for suffix in ("-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)
    os.truncate(database, database.stat().st_size // 2)


@pytest.mark.nightly
@pytest.mark.parametrize("kind", ["bk", "parallel"])
async def test_network_of_a_kind_converges_under_faults(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "network.json"
    file.write_text(json.dumps(plan_of(kind, tmp_path).network()))

    async with RealNetwork(tmp_path, NODES, free_port, kind_command(file), loss=0.2) as network:
        miner = Child("miner", miner_command(kind, network.nodes), tmp_path / "miner.log")
        try:
            await grown(network, (0, 1, 2, 3, 4), 3)
            network.partition([0, 1], [2, 3, 4])
            await grown(network, (2, 3, 4), 2)
            network.nodes[4].kill()
            network.heal()
            network.nodes[1].kill()
            await grown(network, (0, 2, 3), 1)
            await network.nodes[4].start()
            await network.nodes[1].start()
            await grown(network, (0, 1, 2, 3, 4), 2)
        finally:
            killed = await asyncio.to_thread(stop, [miner])
        assert not killed and miner.exit_code() == 0, miner.log_text()[-3000:]

        async def agree() -> dict[str, Any] | None:
            found = [await chain_view(node) for node in network.nodes]
            return found[0] if all(one == found[0] for one in found) else None

        agreed = await until(agree, "all nodes agree")
        network.nodes[2].kill()
        truncate(network.nodes[2].data / "records.db")
        await network.nodes[2].start()
        assert await until(agree, "a node whose store was truncated has the chain again") == agreed
        assert "store damaged and set aside" in network.nodes[2].log()
        assert agreed["height"] >= 6 and all(issued > 0 for issued in agreed["issued"])
        assert sum(link.lost for link in network.links.values()) > 0
        for node in network.nodes:
            assert "Traceback" not in node.log() and "banned" not in node.log(), node.log()[-3000:]
        assert "Traceback" not in miner.log_text()
