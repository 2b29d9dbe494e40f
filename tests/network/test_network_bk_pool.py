"""The pool above a B_k network of five processes: its miners' shares are votes, blocks are led by it and by others, and
what the books credit is what the chain paid, through reorganisations and kill -9."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from coincurve import PublicKeyXOnly
from support.bk_mining import BkMiner
from support.network import RealNetwork, until
from support.network_pool import NetworkPool
from support.real_pool import RealPool

from chains.accounts.wallet import address_format
from chains.primitives.address import script_to_address
from chains.signer.keys import read_key

K = 4
SUBSIDY = 1003
PART, LEADERS_PART = 250, 253
NETWORK = {
    "kind": "bk",
    "network": {
        "name": "pool test", "k": K, "interval_s": 4, "subsidy": SUBSIDY, "maturity_blocks": 4,
        "first_difficulty": 256,  # every share
    },
}  # fmt: skip
POOL_NODES = 2
MINER = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080.rig"
VOTE_PAUSE_S = 1.5  # a block takes longer than a job its way to a miner
ADDRESS = script_to_address(b"\x00\x14" + b"\x07" * 20, address_format("bk"))


def sections(network: RealNetwork) -> dict[str, dict[str, Any]]:
    nodes = [
        {"url": f"http://127.0.0.1:{node.rpc_port}", "user": "user", "password": "secret"}
        for node in network.nodes[:POOL_NODES]
    ]
    return {
        "votes": {
            "kind": "bk", "network": "regtest", "context_name": "pool test", "maturity": 5, "address": ADDRESS,
            "nodes": nodes, "poll_interval_s": 0.2, "away_s": 5.0,
        }
    }  # fmt: skip


class World(NetworkPool):
    """With `processes` the pool's miners are at front ends, and the process above them asks nodes, leads and pays."""

    def __init__(self, folder: Path, processes: int = 1) -> None:
        self.processes = processes
        super().__init__(folder, NETWORK, sections)
        self.others = [BkMiner(number) for number in range(1, 4)]
        self._turns: Iterator[int] = itertools.count()

    def _new_pool(self) -> RealPool:
        pool = super()._new_pool()
        config = json.loads(pool.config_path.read_text())
        config["stratum"]["processes"] = self.processes
        pool.config_path.write_text(json.dumps(config))
        return pool

    @property
    def key_hex(self) -> str:
        """Whom the pool's votes name."""
        return PublicKeyXOnly.from_secret(read_key(self.folder / "pool/data/leaders/votes.key")).format().hex()

    async def paid(self, chain: str) -> int:
        """What the chain has paid the pool, as a node that the pool does not ask sees it."""
        account = await self.network.nodes[2].call("getbalance", ADDRESS)
        return int(account["spendable"] + account["spoken_for"] + account["immature"])

    async def others_vote(self) -> None:
        """One vote of somebody else's on the far side, and the block that it completes."""
        turn = next(self._turns) % len(self.others)
        assert await self.others[turn].vote(self.network.nodes[2 + turn]) in (None, "inconclusive")
        for number, other in enumerate(self.others):
            answer = await other.lead(self.network.nodes[2 + number])
            assert answer in (None, "taken", "inconclusive", "duplicate"), answer

    @asynccontextmanager
    async def both_mining(self) -> AsyncIterator[None]:
        """The pool's miner and the others, at about the same rate."""

        async def others() -> None:
            while True:
                await self.others_vote()
                await asyncio.sleep(VOTE_PAUSE_S)

        await self.start_mining(MINER, VOTE_PAUSE_S)
        task = asyncio.create_task(others())
        try:
            yield
        finally:
            await self.stop_mining()
            task.cancel()
            (ended,) = await asyncio.gather(task, return_exceptions=True)
            assert isinstance(ended, asyncio.CancelledError), ended

    async def chain(self, node: int = 0) -> list[dict[str, Any]]:
        """The preferred chain's blocks as a node has them, the first above genesis first."""
        call = self.network.nodes[node].call
        return [
            await call("getblock", await call("getblockhash", height))
            for height in range(1, int(await call("getblockcount")) + 1)
        ]

    async def led(self) -> tuple[int, int]:
        """Blocks of the preferred chain led by the pool, and by others."""
        leaders = [block["votes"][0]["leader_key"] for block in await self.chain()]
        ours = leaders.count(self.key_hex)
        return ours, len(leaders) - ours

    async def voids(self) -> set[str]:
        return {name for name, state in (await self.states("votes")).items() if state == "orphan"}


async def test_network_bk_pool_votes_leads_and_is_paid_to_the_unit(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        nodes = world.network.nodes
        await world.pool.in_tree(["votes"])

        async def both_have_led() -> bool:
            ours, theirs = await world.led()
            return ours >= 2 and theirs >= 2

        async with world.both_mining():
            await until(both_have_led, "blocks are led by the pool and by others", 300)
        income = (await world.settled(world.paid))["votes"]
        votes = [vote for block in await world.chain(2) for vote in block["votes"] if vote["address"] == ADDRESS]
        assert income == sum(vote["amount"] for vote in votes)
        assert {vote["amount"] for vote in votes} <= {PART, LEADERS_PART}
        assert world.pool.log_lines("block led chain=votes")

        # The pool's side mines a block that the others' longer branch undoes.
        world.network.partition([0, 1], [2, 3, 4])
        height = int(await nodes[0].call("getblockcount"))
        ours = int((await world.led())[0])

        async def alone() -> bool:
            return (await world.led())[0] > ours and await world.credited("votes") > income

        await world.start_mining(MINER, VOTE_PAUSE_S)
        await until(alone, "the pool leads and is credited on its side", 120)
        await world.stop_mining()
        lost = {vote["vote"] for block in (await world.chain())[height:] for vote in block["votes"]}
        gone_hex = await nodes[0].call("getbestblockhash")
        while int(await nodes[2].call("getblockcount")) < height + 4:
            await world.others_vote()
        world.network.heal()

        async def undone() -> bool:
            return (await nodes[0].call("getblock", gone_hex))["confirmations"] < 0 and lost <= await world.voids()

        await until(undone, "the pool's votes on the branch that lost are void", 120)
        income = (await world.settled(world.paid))["votes"]

        # Killed while it mines and leads; what it had signed is not signed again.
        async with world.both_mining():
            await asyncio.sleep(4 * VOTE_PAUSE_S)
        await world.pool.kill()
        for _ in range(K):
            await world.others_vote()  # led by somebody, while the pool is away: our votes are paid all the same
        await world.pool.start()
        await world.pool.in_tree(["votes"])

        async def more() -> bool:
            return await world.credited("votes") > income

        async with world.both_mining():
            await until(more, "votes are credited again", 120)
        await world.settled(world.paid)
        assert {block["confirmations"] > 0 for block in await world.chain(2)} == {True}
        assert not world.pool.log_lines("cannot be led twice")
        world.audited()


@pytest.mark.nightly
async def test_network_bk_pool_of_several_processes_leads_by_one_of_them(tmp_path: Path) -> None:
    async with World(tmp_path, processes=2) as world:
        await world.pool.in_tree(["votes"])

        async def both_have_led() -> bool:
            ours, theirs = await world.led()
            return ours >= 1 and theirs >= 1

        async with world.both_mining():
            await until(both_have_led, "blocks are led by the pool and by others", 300)
        assert (await world.settled(world.paid))["votes"] > 0
        assert list((world.folder / "pool/data").rglob("*.key")) and not list(
            (world.folder / "pool/data/front-ends").rglob("votes.key")
        ), "front ends know no key"
        (status,) = [chain for chain in (await world.pool.get("chains"))["items"] if chain["name"] == "votes"]
        assert status["leading"]["ready"] and status["leading"]["led"] >= 1
        world.audited()
