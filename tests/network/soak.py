"""Five nodes and their miner for as long as you like, under faults that a seed draws:
`python tests/network/soak.py --kind bk --minutes 60`.

A fifth of all messages is lost throughout; nodes are partitioned, killed, started again and fed garbage. At times
everything is healed, and all nodes must agree. Exit code 1 when they do not, or when a node says Traceback or bans an
honest one; the folder is kept then.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

# Where the tests' support lies, also when it is run from somewhere else.
sys.path.insert(0, str(Path(__file__).parents[1]))

from support.network import RealNetwork, chain_view, kind_command, miner_command, until
from support.ports import free_port

from pool.devnet.demo.children import Child, stop
from pool.devnet.network import NetworkPlan

LOSS = 0.2
AGREE_S = 180.0
ROUND_S = 60.0


class Soak:
    def __init__(self, network: RealNetwork, chance: random.Random) -> None:
        self.network = network
        self.chance = chance
        self.counts = {"partition": 0, "kill": 0, "stranger": 0, "agreed": 0}

    def say(self, text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)

    async def fault(self) -> None:
        await self.chance.choice([self.partition, self.kill, self.stranger])()

    async def partition(self) -> None:
        order = self.chance.sample(range(5), 5)
        at = self.chance.randint(1, 4)
        self.counts["partition"] += 1
        self.say(f"partition {sorted(order[:at])} from {sorted(order[at:])}")
        self.network.partition(order[:at], order[at:])
        await asyncio.sleep(self.chance.uniform(3, 20))
        self.network.heal()

    async def kill(self) -> None:
        node = self.chance.choice(self.network.nodes)
        self.counts["kill"] += 1
        self.say(f"kill -9 {node.name}")
        node.kill()
        await asyncio.sleep(self.chance.uniform(0, 8))
        await node.start()

    async def stranger(self) -> None:
        """Garbage on a node's port."""
        node = self.chance.choice(self.network.nodes)
        self.counts["stranger"] += 1
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", node.port)
            writer.write(os.urandom(self.chance.randint(1, 100_000)))
            await asyncio.sleep(1)
            writer.close()

    async def agree(self) -> None:
        """Heal all, and wait for one tip; blocks go on being found meanwhile."""

        async def same() -> bool:
            found = [await chain_view(node) for node in self.network.nodes]
            return all(one == found[0] for one in found) and found[0]["height"] > 0

        self.network.heal()
        await until(same, "all nodes agree", AGREE_S)
        self.counts["agreed"] += 1
        view = await chain_view(self.network.nodes[0])
        self.say(f"agreed on {view['tip'][-16:]} at height {view['height']}; {self.counts}")
        for node in self.network.nodes:
            log = node.log()
            assert "Traceback" not in log, f"{node.name}: {log[-5000:]}"
            assert "peer banned" not in log, f"{node.name} banned somebody: {log[-5000:]}"


async def soak(kind: str, minutes: float, seed: int, folder: Path) -> None:
    file = folder / "network.json"
    plan = NetworkPlan(kind, 5, k=8, interval_s=5, data_dir=folder, first_port=1)
    file.write_text(json.dumps(plan.network()))
    async with RealNetwork(folder, 5, free_port, kind_command(file), loss=LOSS) as network:
        miner = Child("miner", miner_command(kind, network.nodes), folder / "miner.log")
        run = Soak(network, random.Random(seed))
        try:
            end_s = time.monotonic() + minutes * 60
            while time.monotonic() < end_s:
                round_s = time.monotonic() + ROUND_S
                while time.monotonic() < min(round_s, end_s):
                    await run.fault()
                    await asyncio.sleep(run.chance.uniform(1, 6))
                await run.agree()
                assert miner.exit_code() is None, f"the miner ended: {miner.log_text()[-3000:]}"
        finally:
            await asyncio.to_thread(stop, [miner])
        await run.agree()


def main(soak: Callable[[str, float, int, Path], Coroutine[Any, Any, None]], document: str | None) -> int:
    """A soak from the command line: exit code 1 when something does not hold, and its folder is kept then."""
    parser = argparse.ArgumentParser(description=document)
    parser.add_argument("--kind", choices=["bk", "parallel"], required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix=f"soak-{given.kind}-"))
    try:
        asyncio.run(soak(given.kind, given.minutes, given.seed, folder))
    except AssertionError as error:
        print(f"{error}\nseed {given.seed}, everything is kept in {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(soak, __doc__))
