"""The pool above five nodes of a network of our own, for as long as you like, under faults that a seed draws:
`python tests/network/pool_soak.py --kind bk --minutes 60`.

As soak.py, with a pool whose miners find votes or consensus proofs all the time, others who find some too, and a kill
-9 of the pool now and then. Once a minute everybody stops and everything is healed: then all nodes agree, and what the
books credit is what the chains have paid, to the unit. At the end the books are audited. Exit code 1 when anything of
that does not hold; the folder is kept then.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import sys
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from typing import Any

# Where the tests and their support lie, also when it is run from somewhere else.
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import test_network_bk_pool as bk
import test_network_parallel_pool as parallel
from soak import LOSS, ROUND_S, Soak, main
from support import network_pool
from support.aux_proofs import Outsider
from support.bk_mining import BkMiner
from support.network import RealNetwork
from support.network_pool import NetworkPool

from chains.node_rpc import NodeUnavailableError, RpcError

MATURITY = 40  # deeper than any reorganisation that these faults make
SHARE_PAUSE_S = 0.5
OTHERS_PAUSE_S = 2.0
TIE_S = 30.0
SETTLE_S = 300.0


def _deep(network_file: Mapping[str, Any]) -> dict[str, Any]:
    """The network with rewards that mature later."""
    network = dict(network_file["network"])
    if "chains" in network:
        network["chains"] = [{**chain, "maturity_blocks": MATURITY} for chain in network["chains"]]
    else:
        network["maturity_blocks"] = MATURITY
    return {**network_file, "network": network}


class SoakWorld(NetworkPool):
    """A network with the pool above it, whose books are read in their file."""

    @abstractmethod
    async def another(self, turn: int) -> None:
        """Somebody else finds something, at one of the nodes that the pool does not ask."""

    @abstractmethod
    async def paid(self, chain: str) -> int:
        """What a chain has paid the pool."""

    def _read(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{self.folder}/pool/data/pool.sqlite?mode=ro", uri=True)) as books:
            return books.execute(query, values).fetchall()

    async def credited(self, chain: str) -> int:
        query = "SELECT coalesce(sum(reward), 0) FROM blocks WHERE chain = ? AND state IN ('immature', 'mature')"
        return int(self._read(query, chain)[0][0])

    def counted(self) -> str:
        """Blocks by chain and state."""
        rows = self._read("SELECT chain, state, count(*) FROM blocks GROUP BY chain, state ORDER BY chain, state")
        return ", ".join(f"{chain} {state} {number}" for chain, state, number in rows)


class BkWorld(bk.World, SoakWorld):
    def __init__(self, folder: Path) -> None:
        def sections(network: RealNetwork) -> dict[str, dict[str, Any]]:
            return {name: {**section, "maturity": MATURITY + 1} for name, section in bk.sections(network).items()}

        self.processes = 1
        NetworkPool.__init__(self, folder, _deep(bk.NETWORK), sections, loss=LOSS)
        self.others = [BkMiner(number) for number in range(1, 4)]

    async def another(self, turn: int) -> None:
        await self.others[turn % 3].vote(self.network.nodes[2 + turn % 3])
        for number, other in enumerate(self.others):
            await other.lead(self.network.nodes[2 + number])


class ParallelWorld(parallel.World, SoakWorld):
    def __init__(self, folder: Path) -> None:
        def sections(network: RealNetwork) -> dict[str, dict[str, Any]]:
            found = parallel.sections(network)
            return {name: {**section, "maturity_blocks": MATURITY} for name, section in found.items()}

        NetworkPool.__init__(self, folder, _deep(parallel.NETWORK), sections, loss=LOSS)
        self.outsider = Outsider()

    async def another(self, turn: int) -> None:
        """For both chains or for one."""
        scripts = list(parallel.OUTSIDER.items())
        wanted = dict(scripts if turn % 3 == 0 else [scripts[turn % 3 - 1]])
        await self.outsider.mine(self.network.nodes[2 + turn % 3], wanted)


WORLDS: Mapping[str, Callable[[Path], SoakWorld]] = {"bk": BkWorld, "parallel": ParallelWorld}


class PoolSoak(Soak):
    """The faults of a network, and now and then one of the pool above it."""

    def __init__(self, world: SoakWorld, chance: random.Random) -> None:
        super().__init__(world.network, chance)
        self.world = world
        self.counts["pool killed"] = 0
        self._turn = count()

    async def fault(self) -> None:
        if self.chance.random() < 0.1:
            await self.kill_pool()
        else:
            await super().fault()

    async def kill_pool(self) -> None:
        self.counts["pool killed"] += 1
        self.say("kill -9 the pool")
        await self.world.stop_mining()
        await self.world.pool.kill()
        await asyncio.sleep(self.chance.uniform(0, 5))
        await self.world.pool.start()
        await self.mine()

    async def mine(self) -> None:
        await self.world.start_mining(parallel.MINER, SHARE_PAUSE_S)

    async def others_mine(self) -> None:
        for turn in self._turn:
            with suppress(NodeUnavailableError, RpcError):  # of a node that is killed or partitioned just now
                await self.world.another(turn)
            await asyncio.sleep(OTHERS_PAUSE_S)

    async def _decide_ties(self) -> None:
        while True:
            await asyncio.sleep(TIE_S)
            with suppress(NodeUnavailableError, RpcError):
                await self.world.another(next(self._turn))

    async def round(self, until_s: float) -> None:
        """Faults until then, with everybody mining."""
        await self.mine()
        others = asyncio.create_task(self.others_mine())
        try:
            while time.monotonic() < until_s:
                await self.fault()
                await asyncio.sleep(self.chance.uniform(1, 6))
        finally:
            others.cancel()
            (ended,) = await asyncio.gather(others, return_exceptions=True)
            await self.world.stop_mining()
        assert isinstance(ended, asyncio.CancelledError), ended

    async def settle(self) -> None:
        """Nobody mines, and everything comes out even. Of two branches of equal work each node stays on the one that it
        saw first, until somebody finds something: that is waited for and seldom needed."""
        deciding = asyncio.create_task(self._decide_ties())
        try:
            await self.agree()
        finally:
            deciding.cancel()
            (ended,) = await asyncio.gather(deciding, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError), ended
        income = await self.world.settled(self.world.paid)
        self.say(f"credited is what was paid: {income}; {self.world.counted()}")


async def soak(kind: str, minutes: float, seed: int, folder: Path) -> None:
    network_pool.SETTLE_S = SETTLE_S
    async with WORLDS[kind](folder) as world:
        assert isinstance(world, SoakWorld)
        run = PoolSoak(world, random.Random(seed))
        await world.pool.in_tree(world.chains)
        end_s = time.monotonic() + minutes * 60
        while time.monotonic() < end_s:
            await run.round(min(time.monotonic() + ROUND_S, end_s))
            await run.settle()
        run.say(world.audited().strip())
        for chain in world.chains:
            assert await world.credited(chain), f"the pool was paid nothing on {chain}"


if __name__ == "__main__":
    sys.exit(main(soak, __doc__))
