"""Five real processes of a consensus-proof network: loss, a partition, kill -9, nodes that follow different chains."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from support.consensus_mining import solved
from support.network import NodeChild, RealNetwork, python, until
from support.ports import free_port

FOLLOWS = ["alpha,beta", "alpha,beta", "alpha", "beta", "-"]


def command(node: NodeChild) -> list[str]:
    follows = FOLLOWS[int(node.name.removeprefix("node"))]
    ports = (str(node.port), str(node.rpc_port))
    return python("-m", "support.parallel_node", str(node.data), *ports, follows, *node.peers)


class Miner:
    """Mines on one node after another, for accounts of its own, and keeps count."""

    def __init__(self, network: RealNetwork) -> None:
        self.network = network
        self.random = random.Random(7)
        self.mined = 0

    async def mine(self, index: int) -> dict[str, Any]:
        names = [name for name in FOLLOWS[index].split(",") if name != "-" and self.random.random() < 0.8]
        scripts = {name: (b"\x00\x14" + bytes((index + 1,)) * 20).hex() for name in names}
        node = self.network.nodes[index]
        offer = await node.call("getconsensustemplate", scripts)
        self.mined += 1
        proof, bodies = solved(offer, self.mined)
        answer: dict[str, Any] = await node.call("submitconsensusproof", proof.hex(), bodies)
        assert answer["result"] in ("accepted", "inconclusive"), answer
        return answer

    async def mine_on(self, indices: list[int], count: int) -> None:
        for _ in range(count):
            await self.mine(self.random.choice(indices))


async def views(network: RealNetwork) -> list[dict[str, Any]]:
    return [await node.call("getchainview") for node in network.nodes]


async def agreed(network: RealNetwork) -> list[dict[str, Any]] | None:
    """All views, when there is one tip, and one state of each chain."""
    found = await views(network)
    chains: dict[str, set[str]] = {}
    for view in found:
        for chain in view["chains"]:
            chains.setdefault(chain["chain"], set()).add(f"{chain['tip']} {chain['height']} {chain['issued']}")
    one = len({view["tip"] for view in found}) == 1 and all(len(states) == 1 for states in chains.values())
    return found if one else None


async def settle(network: RealNetwork, miner: Miner) -> list[dict[str, Any]]:
    """One more proof breaks any tie; then all agree."""
    network.set_loss(0.0)
    network.heal()

    async def connected() -> bool:
        return all([await node.peer_count() == len(network.nodes) - 1 for node in network.nodes])

    await until(connected, "everybody has found everybody")
    await until(lambda: agreed_or_more(network, miner), "one tip, one state of each chain")

    async def nothing_wanted() -> list[dict[str, Any]] | None:
        views = await agreed(network)
        return views if views is not None and not any(view["bodies_wanted"] for view in views) else None

    found: list[dict[str, Any]] = await until(nothing_wanted, "nobody lacks a body any more")
    return found


async def agreed_or_more(network: RealNetwork, miner: Miner) -> bool:
    if await agreed(network) is not None:
        return True
    await miner.mine(0)
    return False


async def test_network_parallel_five_processes_agree_through_faults(tmp_path: Path) -> None:
    async with RealNetwork(tmp_path, 5, free_port, command, loss=0.2) as network:
        miner = Miner(network)
        everybody = list(range(5))
        await miner.mine_on(everybody, 15)
        network.partition([0, 2], [1, 3, 4])
        await miner.mine_on(everybody, 15)
        network.heal()
        network.nodes[1].kill()
        await miner.mine_on([0, 2, 3, 4], 5)
        await network.nodes[1].start()
        await miner.mine_on(everybody, 5)
        found = await settle(network, miner)
        assert found[0]["height"] > 10
        heights = {chain["chain"]: chain["height"] for chain in found[0]["chains"]}
        issued = {chain["chain"]: chain["issued"] for chain in found[0]["chains"]}
        assert issued == {"alpha": heights["alpha"] * 50_00000000, "beta": heights["beta"] * 7_00000000}
        tips = [view["tip"] for view in found]
        network.nodes[0].kill()
        await network.nodes[0].start()
        assert (await network.nodes[0].call("getchainview"))["tip"] == tips[0], "from its own disk"
