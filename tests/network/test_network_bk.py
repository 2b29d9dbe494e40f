"""Five real processes of a B_k network: loss, a partition, kill -9, a truncated database, and one node alone."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

from support.bk_mining import BkMiner
from support.network import NodeChild, RealNetwork, python, until
from support.ports import free_port

K = 4


def command(node: NodeChild) -> list[str]:
    return python("-m", "support.bk_node", str(node.data), str(node.port), str(node.rpc_port), str(K), *node.peers)


class Miners:
    """One at each node; who mines next is drawn."""

    def __init__(self, network: RealNetwork) -> None:
        self.network = network
        self.random = random.Random(7)
        self.miners = [BkMiner(number + 1) for number in range(len(network.nodes))]

    async def mine_on(self, indices: list[int], count: int) -> None:
        for _ in range(count):
            index = self.random.choice(indices)
            assert await self.miners[index].vote(self.network.nodes[index]) in (None, "inconclusive")
            await self.lead(indices)

    async def lead(self, indices: list[int]) -> None:
        for index in indices:
            answer = await self.miners[index].lead(self.network.nodes[index])
            assert answer in (None, "taken", "inconclusive", "duplicate"), answer


async def agreed(network: RealNetwork) -> dict[str, Any] | None:
    found = [await node.call("getblockchaininfo") for node in network.nodes]
    same = {(info["bestblockhash"], info["blocks"], info["issued"]) for info in found}
    return found[0] if len(same) == 1 else None


async def settle(network: RealNetwork, miners: Miners) -> dict[str, Any]:
    """Whole again, a vote now and then breaks ties; then all agree."""
    network.set_loss(0.0)
    network.heal()

    async def whole() -> bool:
        return all([await node.peer_count() == len(network.nodes) - 1 for node in network.nodes])

    async def one_tip() -> dict[str, Any] | None:
        found = await agreed(network)
        if found is None:
            await miners.mine_on([0], 1)
        return found

    await until(whole, "everybody has found everybody")
    found: dict[str, Any] = await until(one_tip, "one tip and one state")
    return found


async def test_network_bk_five_processes_agree_through_faults_and_pay_to_the_unit(tmp_path: Path) -> None:
    async with RealNetwork(tmp_path, 5, free_port, command, loss=0.2) as network:
        miners = Miners(network)
        everybody = list(range(5))
        await miners.mine_on(everybody, 25)
        network.partition([0, 2], [1, 3, 4])
        await miners.mine_on(everybody, 25)
        network.heal()
        network.nodes[1].kill()
        await miners.mine_on([0, 2, 3, 4], 10)
        await network.nodes[1].start()
        await miners.mine_on(everybody, 10)
        found = await settle(network, miners)
        assert found["blocks"] > 5
        assert found["issued"] == found["blocks"] * 1003
        for number, miner in enumerate(miners.miners):
            node = network.nodes[(number + 1) % 5]
            states = [await node.call("getvotestatus", vote) for vote in miner.votes]
            info = [entry for entry in states if entry["state"] == "included"]
            paid = sum(entry["amount"] for entry in info)
            total = 0
            for height in range(1, found["blocks"] + 1):
                block = await node.call("getblock", await node.call("getblockhash", height))
                total += sum(vote["amount"] for vote in block["votes"] if vote["script"] == miner.script)
            assert paid == total, "what the votes say they earn is what the blocks pay"
        network.nodes[0].kill()
        await network.nodes[0].start()
        assert (await network.nodes[0].call("getbestblockhash")) == found["bestblockhash"], "from its own disk"


async def test_network_bk_node_with_a_truncated_database_comes_back(tmp_path: Path) -> None:
    async with RealNetwork(tmp_path, 2, free_port, command) as network:
        miners = Miners(network)
        await miners.mine_on([0, 1], 5 * K)
        before = await settle(network, miners)
        network.nodes[0].kill()
        database = next(network.nodes[0].data.glob("records.db"))
        with database.open("r+b") as file:
            file.truncate(database.stat().st_size // 2)
        await network.nodes[0].start()
        await miners.mine_on([1], K)
        after = await settle(network, miners)
        assert after["blocks"] >= before["blocks"] > 0 and after["issued"] == after["blocks"] * 1003
        kept = await network.nodes[0].call("getblockhash", before["blocks"])
        assert kept == await network.nodes[1].call("getblockhash", before["blocks"])


async def test_network_bk_one_node_alone_makes_a_chain(tmp_path: Path) -> None:
    """All k votes by one key."""
    async with RealNetwork(tmp_path, 1, free_port, command) as network:
        miners = Miners(network)
        await miners.mine_on([0], 3 * K)
        node, miner = network.nodes[0], miners.miners[0]
        assert await node.call("waitforproposal", miner.key, 1) is None, "nothing to sign: time is up"
        before = await node.call("getvotetemplate", miner.key, miner.script)
        waiting = node.call("waitfortemplate", miner.key, miner.script, before["previousblockhash"], 60)
        task = asyncio.create_task(waiting)
        await miners.mine_on([0], K)
        after = await task
        assert after["previousblockhash"] == await node.call("getbestblockhash") != before["previousblockhash"]
        info = await network.nodes[0].call("getblockchaininfo")
        assert info["blocks"] == 4 and info["issued"] == 4 * 1003
        assert (await network.nodes[0].call("getvotestatus", miners.miners[0].votes[0]))["state"] == "included"
