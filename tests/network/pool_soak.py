"""The pool above five nodes of a network of our own, for as long as you like, under faults that a seed draws:
`python tests/network/pool_soak.py --minutes 60`.

A fifth of all messages between nodes is lost throughout; nodes are partitioned, killed, started again and fed garbage,
somebody else mines, and the pool is killed as well. At times everything is healed: then all nodes must agree, the pool
must have credited what the chains paid, to the unit, and its audit must find nothing. Exit code 1 when it is not so;
the folder is kept then.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

# Where the tests' support lies, also when it is run from somewhere else.
sys.path.insert(0, str(Path(__file__).parents[1]))

from soak import LOSS, ROUND_S, Soak
from support.parallel_pool import MINER, OUTSIDER, ParallelPool

from chains.node_rpc import NodeUnavailableError


class PoolSoak(Soak):
    """The faults of a network, and those of the pool above it."""

    def __init__(self, world: ParallelPool, chance: random.Random) -> None:
        super().__init__(world.network, chance)
        self.world = world
        self.counts |= {"crash": 0, "outsider": 0}

    async def fault(self) -> None:
        await self.chance.choice([self.partition, self.kill, self.stranger, self.crash, self.outsider, self.outsider])()

    async def crash(self) -> None:
        self.counts["crash"] += 1
        self.say("kill -9 the pool")
        await self.world.crash(MINER, self.chance.uniform(0, 5))

    async def outsider(self) -> None:
        """Proofs of somebody else, for both chains or for one."""
        node = self.chance.choice(self.network.nodes)
        chains = self.chance.choice([["alpha"], ["beta"], ["alpha", "beta"]])
        for _ in range(self.chance.randint(1, 5)):
            try:
                await self.world.outsider.mine(node, {name: OUTSIDER[name] for name in chains})
            except NodeUnavailableError:
                return
            self.counts["outsider"] += 1

    async def agree(self) -> None:
        """Nobody mines, and everything must come out even."""
        await self.world.stop_mining()
        await super().agree()
        income = await self.world.settled(self.world.paid)
        states = {name: list((await self.world.states(name)).values()) for name in income}
        told = {name: {state: found.count(state) for state in sorted(set(found))} for name, found in states.items()}
        self.say(f"credited as paid {income}; {told}")
        self.world.audited()
        assert "Traceback" not in self.world.pool.log_text(), self.world.pool.log_text()[-5000:]


async def soak(minutes: float, seed: int, folder: Path) -> None:
    async with ParallelPool(folder, loss=LOSS) as world:
        run = PoolSoak(world, random.Random(seed))
        end_s = time.monotonic() + minutes * 60
        while time.monotonic() < end_s:
            await world.start_mining(MINER)
            round_s = time.monotonic() + ROUND_S
            while time.monotonic() < min(round_s, end_s):
                await run.fault()
                await asyncio.sleep(run.chance.uniform(1, 6))
            await run.agree()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak-pool-"))
    try:
        asyncio.run(soak(given.minutes, given.seed, folder))
    except AssertionError as error:
        print(f"{error}\nseed {given.seed}, everything is kept in {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
