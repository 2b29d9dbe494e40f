"""A network of our own with the pool above it: real processes of nodes, a parent, the pool, and a miner in this one.

Whatever happened to them in between, `settled` and `audited` say how it must end: every node agrees, and what the pool
has credited is what the chains have paid, to the unit.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pool.devnet.demo.children import Child, pool_command, stop
from support.network import RealNetwork, chain_view, kind_command, until
from support.ports import free_port
from support.real_pool import Miner, RealPool

PARENT = "regbtc"
PARENT_ADDRESS = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
PARENT_BITS = "1f3fffff"  # 1,024 hashes a block, four times those of a share
EASY_BITS = "2000ffff"  # 256 hashes: every share
SHARE_PAUSE_S = 0.1
CREDITED = ("immature", "mature")
SETTLE_S = 120.0

Sections = Callable[[RealNetwork], Mapping[str, Mapping[str, Any]]]


class NetworkPool:
    """`network_file` is what all nodes are started with, `sections` gives the pool's chains of the network, once its
    nodes have ports. An asynchronous context manager, which starts all and ends what it started."""

    def __init__(
        self, folder: Path, network_file: Mapping[str, Any], sections: Sections, *, nodes: int = 5, loss: float = 0.0
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "network.yaml"
        file.write_text(json.dumps(network_file))  # which is YAML too
        self.folder = folder
        self.network = RealNetwork(folder, nodes, free_port, kind_command(file), loss)
        self._parent_port = free_port()
        self.parent: Child | None = None
        self.sections = {
            PARENT: {
                "kind": "bitcoin", "family": "devnet", "address": PARENT_ADDRESS,
                "nodes": [{"url": f"http://127.0.0.1:{self._parent_port}", "user": "u", "password": "p"}],
            },
            **sections(self.network),
        }  # fmt: skip
        self.pool = self._new_pool()
        self._mining: asyncio.Task[None] | None = None

    def _new_pool(self) -> RealPool:
        return RealPool(
            self.folder / "pool", self.sections, parent=PARENT, pow_hash="sha256d", stratum_port=free_port(),
            http_port=free_port(),
        )  # fmt: skip

    @property
    def chains(self) -> list[str]:
        """The pool's chains of the network."""
        return [name for name in self.sections if name != PARENT]

    async def __aenter__(self) -> NetworkPool:
        command = [
            sys.executable, "-P", "-m", "chains.reference.run", "--kind", "bitcoin", "--name", PARENT,
            "--port", str(self._parent_port), "--user", "u", "--password", "p", "--data", str(self.folder / PARENT),
            "--seed", "network pool", "--bits", PARENT_BITS,
        ]  # fmt: skip
        self.parent = Child(PARENT, command, self.folder / f"{PARENT}.log")
        try:
            await self.network.__aenter__()
            await until(self._parent_listens, "the parent listens")
            await self.pool.start()
        except BaseException:
            await asyncio.to_thread(stop, [self.parent])
            raise
        return self

    async def _parent_listens(self) -> bool:
        assert self.parent is not None
        return self.parent.is_ready()

    async def __aexit__(self, *exception: object) -> None:
        await self.stop_mining()
        assert self.parent is not None
        try:
            await self.pool.stop()
        finally:
            await asyncio.to_thread(stop, [self.parent])
            await self.network.__aexit__(*exception)

    # -- the pool's file ------------------------------------------------------------------------------------------

    def edit(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Before the start, or before a reload."""
        config = json.loads(self.pool.config_path.read_text())
        change(config)
        self.pool.config_path.write_text(json.dumps(config, indent=1))

    async def reload(self, change: Callable[[dict[str, Any]], None]) -> None:
        """A change that the running pool takes over."""
        assert self.pool.child is not None
        before = len(self.pool.log_lines("configuration taken over"))
        self.edit(change)
        os.kill(self.pool.child.pid, signal.SIGHUP)

        async def taken() -> bool:
            assert not self.pool.log_lines("configuration not taken over"), self.pool.log_text()[-3000:]
            return len(self.pool.log_lines("configuration taken over")) > before

        await until(taken, "the configuration is taken over")

    # -- mining ---------------------------------------------------------------------------------------------------

    async def start_mining(self, user: str, pause_s: float = SHARE_PAUSE_S) -> None:
        """Shares of the newest job, for ever; each is solved at the easiest target."""
        miner = await self.pool.miner(user)
        self._mining = asyncio.create_task(self._mine(miner, pause_s))

    async def _mine(self, miner: Miner, pause_s: float) -> None:
        while True:
            job = await miner.job()
            await miner.send(job)  # one that is stale by then is refused, which is as good
            await asyncio.sleep(pause_s)

    async def stop_mining(self) -> None:
        """A miner that failed meanwhile is an error."""
        if self._mining is None:
            return
        self._mining.cancel()
        (ended,) = await asyncio.gather(self._mining, return_exceptions=True)
        self._mining = None
        if isinstance(ended, Exception):
            raise AssertionError(f"the miner ended: {ended!r}") from ended

    # -- what is there --------------------------------------------------------------------------------------------

    async def blocks(self, chain: str) -> list[dict[str, Any]]:
        """The pool's blocks of a chain, newest first."""
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = await self.pool.get(f"blocks?chain={chain}&limit=200{cursor}")
            found += page["items"]
            if page["cursor"] is None:
                return found
            cursor = f"&cursor={page['cursor']}"

    async def states(self, chain: str) -> dict[str, str]:
        """By displayed hash."""
        return {block["hash"]: block["state"] for block in await self.blocks(chain)}

    async def has_credited(self, chain: str, count: int) -> bool:
        return sum(state in CREDITED for state in (await self.states(chain)).values()) >= count

    async def credited(self, chain: str) -> int:
        """What blocks that count have earned."""
        return sum(block["reward"] or 0 for block in await self.blocks(chain) if block["state"] in CREDITED)

    async def agreed(self) -> bool:
        """Whether all nodes have one tip, and the same coins on each chain."""
        views = [await chain_view(node) for node in self.network.nodes]
        return all(view == views[0] for view in views)

    async def settled(self, paid: Callable[[str], Any]) -> dict[str, int]:
        """Waits until all nodes agree and, for each chain, the pool has credited what `paid` says that the chain paid
        it; those amounts."""
        await until(self.agreed, "all nodes agree", SETTLE_S)
        seen: dict[str, tuple[int, int]] = {}

        async def equal() -> bool:
            for chain in self.chains:
                seen[chain] = (await self.credited(chain), await paid(chain))
            return all(credited == earned for credited, earned in seen.values())

        try:
            await until(equal, "the pool has credited what the chains paid", SETTLE_S)
        except AssertionError as error:
            raise AssertionError(f"{error}; credited and paid are {seen}\n{self.pool.log_text()[-3000:]}") from None
        return {chain: credited for chain, (credited, _) in seen.items()}

    async def examined(self) -> dict[str, list[str]]:
        """The rows of `pool doctor` about each chain of the network, of which none may be wrong."""
        done = await asyncio.to_thread(
            subprocess.run, pool_command("doctor", "-c", str(self.pool.config_path)),
            capture_output=True, text=True, timeout=120, env={**os.environ, "COLUMNS": "400"},
        )  # fmt: skip
        lines = done.stdout.splitlines()
        rows = {
            chain: [" ".join(line.split()) for line in lines if re.match(rf" *{chain}(\[\d+\])? ", line)]
            for chain in self.chains
        }
        for chain, found in rows.items():
            assert found and not any(" wrong " in line for line in found), (chain, done.stdout, done.stderr)
        return rows

    def audited(self) -> str:
        """What `pool ledger audit` says of the books, which must be that nothing is wrong."""
        done = subprocess.run(
            pool_command("ledger", "audit", "-c", str(self.pool.config_path)),
            capture_output=True, text=True, timeout=900,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

