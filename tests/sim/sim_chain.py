"""A chain as a tree of blocks, and nodes that see it late, wrongly, or not at all.

The chain is the truth that the oracle asks. A node's answer is computed when it is asked and may arrive much later,
when it is true no more; it may be lost; the node may lag behind, or deny a block that it has.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from random import Random
from typing import Any

from sim_faults import Faults

from chains.kind import BlockStatus, NodeState
from chains.node_rpc import NodeUnavailableError, RpcError
from pool.services.chain_watch import NodeHealth, WatchedChain


class SimChain:
    """Blocks by hash (displayed hex). `main` is the best chain, height 1 first; `left` are the best chains
    that were left, `rewards` are those of our blocks."""

    def __init__(self, name: str, random: Random, maturity: int) -> None:
        self.name = name
        self.maturity = maturity
        self._random = random
        self._number = 0
        self.main: tuple[str, ...] = ()
        self.paths: dict[str, tuple[str, ...]] = {}
        self.rewards: dict[str, int] = {}
        self.abandoned: list[str] = []
        self.left: list[tuple[str, ...]] = []
        for _ in range(3):
            self.extend(self.new_hash())

    @property
    def height(self) -> int:
        return len(self.main)

    def new_hash(self) -> str:
        self._number += 1
        return f"{self._random.getrandbits(192):048x}{self._number:016x}"

    def confirmations(self, hash_hex: str) -> int:
        """1 at the tip, 0 when the block is not on the best chain."""
        path = self.paths.get(hash_hex)
        if path is None or len(path) > self.height or self.main[len(path) - 1] != hash_hex:
            return 0
        return self.height - len(path) + 1

    def best_confirmations(self, hash_hex: str) -> int:
        """The most it ever had on the best chain of its time."""
        path = self.paths.get(hash_hex)
        if path is None:
            return 0
        height = len(path)
        holders = [main for main in (*self.left, self.main) if main[height - 1 : height] == (hash_hex,)]
        return max((len(main) - height + 1 for main in holders), default=0)

    def height_of(self, hash_hex: str) -> int:
        return len(self.paths[hash_hex])

    def add(self, hash_hex: str, parent: str | None) -> None:
        """A block appears; the longest chain is the best, the first one seen of equal ones."""
        if hash_hex in self.paths:
            return
        path = (*(self.paths[parent] if parent is not None else ()), hash_hex)
        self.paths[hash_hex] = path
        if len(path) > self.height:
            if self.main and path[:-1] != self.main:
                self.abandoned.append(self.main[-1])
                self.left.append(self.main)
            self.main = path

    def extend(self, hash_hex: str) -> None:
        self.add(hash_hex, self.main[-1] if self.main else None)

    def grow(self, count: int) -> None:
        """Blocks of other miners."""
        for _ in range(count):
            self.extend(self.new_hash())

    def reorganise(self, depth: int) -> None:
        """The top `depth` blocks leave for others."""
        depth = min(depth, self.height - 1)
        tip = self.main[-depth - 1]
        for _ in range(depth + 1):
            name = self.new_hash()
            self.add(name, tip)
            tip = name

    def return_to_abandoned(self, deepest: int) -> bool:
        """A branch that was left wins again, if it is not deeper down than this."""
        fits = []
        for tip in self.abandoned:
            path = self.paths[tip]
            shared = next((i for i, (a, b) in enumerate(zip(path, self.main, strict=False)) if a != b), len(path))
            if shared < len(path) and self.height - shared <= deepest:
                fits.append(tip)
        if not fits:
            return False
        tip = self._random.choice(fits)
        self.abandoned.remove(tip)
        while self.main[-1] != tip:
            name = self.new_hash()
            self.add(name, tip)
            tip = name
        return True


@dataclass(slots=True)
class Manners:
    """How a node behaves now."""

    away: bool = False
    lagging: bool = False
    denies: bool = False
    errors: bool = False
    slow_s: float = 0.0


class SimNode:
    """One node of a chain. `view` is the best chain as it knows it."""

    def __init__(self, name: str, chain: SimChain, random: Random, faults: Faults) -> None:
        self.name = name
        self._chain = chain
        self._random = random
        self._faults = faults
        self.view = chain.main
        self.known = set(chain.paths)
        self.manners = Manners()

    def sync(self) -> None:
        if not (self.manners.away or self.manners.lagging):
            self.view = self._chain.main
            self.known = set(self._chain.paths)

    async def block_status(self, hash_hex: str) -> BlockStatus:
        await self._ask("status")
        answer = self._status(hash_hex)
        await self._reply("status")
        return answer

    async def block_reward(self, hash_hex: str) -> int:
        await self._ask("reward")
        if hash_hex not in self.known:
            raise RpcError(-5, "Block not found")
        answer = self._chain.rewards[hash_hex]
        await self._reply("reward")
        return answer

    async def close(self) -> None:
        pass

    def _status(self, hash_hex: str) -> BlockStatus:
        if hash_hex not in self.known or self.manners.denies:
            return BlockStatus(False)
        height = self._chain.height_of(hash_hex)
        if height <= len(self.view) and self.view[height - 1] == hash_hex:
            return BlockStatus(True, len(self.view) - height + 1, height)
        return BlockStatus(True, -1, height)

    async def _ask(self, name: str) -> None:
        self._faults.point(f"rpc.{name}.before", NodeUnavailableError)
        if self.manners.away:
            raise NodeUnavailableError(f"injected: {self.name} is away")
        if self.manners.errors:
            raise RpcError(-32603, "injected")

    async def _reply(self, name: str) -> None:
        self._faults.point(f"rpc.{name}.after", NodeUnavailableError)
        delay_s = self._random.random() * self.manners.slow_s
        if delay_s:
            await asyncio.sleep(delay_s)


def watched(chain: SimChain, nodes: list[Any], kind: str = "sim") -> WatchedChain:
    """The product's view of a chain, over these nodes."""
    made = WatchedChain(chain.name, kind, None, nodes, b"", 60.0)  # type: ignore[arg-type]
    look(made)
    return made


def look(chain: WatchedChain, index: int | None = None) -> None:
    """The health check: what the pool thinks of its nodes from now on."""
    for i, node in enumerate(chain.nodes):
        if index in (None, i):
            node.sync()
            state = NodeState.DOWN if node.manners.away else NodeState.OK
            chain.health[i] = NodeHealth(state, len(node.view))
