"""`pool devnet up`: a local network of our own nodes (kinds bk and parallel), its miner, and what they achieve.

Every node dials every other one. A node that ends (try kill -9) is started again; one that ends again and again
ends the network. Everything is kept in the data folder: the next start goes on where this one ended.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chains.parallel.description import DEVNET
from chains.primitives.target import target_to_bits
from pool.devnet.demo.children import Child, ChildEndedError, wait_until
from pool.devnet.demo.interruption import Interruption, by_signals
from pool.devnet.demo.plan import Port, port_problems
from pool.devnet.foreground import Foreground
from pool.devnet.network_view import LiveView, NodeView, look, plain_lines

HASHES_PER_S = 20_000  # of all miners together: some per cent of a processor
START_S = 120.0
RESTART_S = 2.0
QUICK_END_S = 10.0  # a node that lives shorter has something wrong with it
MAX_QUICK_ENDS = 3
MATURITY_BLOCKS = 10


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """What to start. Node i listens on first_port + 2i for peers and one above for calls."""

    kind: str
    count: int
    k: int
    interval_s: int
    data_dir: Path
    first_port: int
    miner: bool = True
    hashrate: int = HASHES_PER_S
    """Hashes a second that the first target is made for."""

    def port(self, index: int) -> int:
        return self.first_port + 2 * index

    def rpc_port(self, index: int) -> int:
        return self.first_port + 2 * index + 1

    def node_dir(self, index: int) -> Path:
        return self.data_dir / f"node{index}"

    def ports(self) -> list[Port]:
        remedy = "choose another with --port"
        names = [(self.port, "peers"), (self.rpc_port, "calls")]
        return [
            Port("127.0.0.1", number(index), f"node{index}'s {what}", remedy)
            for index in range(self.count)
            for number, what in names
        ]

    def network(self) -> dict[str, Any]:
        """The file that all nodes share."""
        hashes = max(1, self.hashrate * self.interval_s)
        if self.kind == "bk":
            numbers = {"k": self.k, "interval_s": self.interval_s, "maturity_blocks": MATURITY_BLOCKS}
            return {
                "kind": "bk",
                "network": {"name": "devnet", **numbers, "first_difficulty": max(1, hashes // self.k)},
            }
        bits = f"{target_to_bits(min(2**256 // hashes, 2**255 - 1)):08x}"
        return {"kind": "parallel", "network": {**DEVNET, "first_bits": bits, "interval_s": self.interval_s}}

    def node_command(self, index: int) -> list[str]:
        others = [f"--peer=127.0.0.1:{self.port(other)}" for other in range(self.count) if other != index]
        return [
            sys.executable, "-P", "-m", "chains.network_run", "--network", str(self.data_dir / "network.yaml"),
            "--data", str(self.node_dir(index)), "--port", str(self.port(index)),
            "--rpc-port", str(self.rpc_port(index)), "--devnet", "--open-reads", "--wallet", *others,
        ]  # fmt: skip

    def miner_command(self) -> list[str]:
        nodes = [f"{self.rpc_port(index)}:{self.node_dir(index)}" for index in range(self.count)]
        return [
            sys.executable, "-P", "-m", "pool.devnet.network_miner", "--kind", self.kind,
            "--rate", str(HASHES_PER_S), *nodes,
        ]  # fmt: skip


@dataclass(eq=False, slots=True)
class _Node:
    index: int
    child: Child
    started_s: float
    starts: int = 1
    quick_ends: int = 0
    again_s: float | None = None  # when it is started again


class Network:
    """One run."""

    def __init__(self, plan: NetworkPlan, interrupted: Interruption) -> None:
        self.plan = plan
        self.front = Foreground("network", interrupted)
        self.nodes: list[_Node] = []
        self.miners: list[Child] = []

    def run(self) -> int:
        return self.front.run(self._start, self._show, self._stop)

    # -- start --------------------------------------------------------------------------------------------------------

    def _start(self) -> bool:
        """False when the user wants to stop already."""
        plan = self.plan
        plan.data_dir.mkdir(parents=True, exist_ok=True)
        (plan.data_dir / "network.yaml").write_text(json.dumps(plan.network(), indent=1) + "\n")
        self.front.say(f"network of kind {plan.kind}: {plan.count} nodes, data and logs in {plan.data_dir}")
        for index in range(plan.count):
            self.nodes.append(_Node(index, self._child(index), time.monotonic()))
        for node in self.nodes:
            if not wait_until(node.child.is_ready, [n.child for n in self.nodes], self.front.interrupted.wait, START_S):
                if self.front.interrupted.is_set():
                    return False
                raise ChildEndedError(node.child, f"was not ready after {START_S:g} s")
            where = f"peers 127.0.0.1:{plan.port(node.index)}, calls http://127.0.0.1:{plan.rpc_port(node.index)}"
            self.front.say(f"  {node.child.name}  process {node.child.pid}, {where}")
        if plan.miner:
            self.miners.append(Child("miner", plan.miner_command(), plan.data_dir / "miner.log"))
            self.front.say(f"  miner  process {self.miners[0].pid}, {HASHES_PER_S} hashes a second over all nodes")
        self.front.say("Kill a node and watch it come back. Stop with Ctrl-C.\n")
        return True

    def _child(self, index: int) -> Child:
        name = f"node{index}"
        return Child(name, self.plan.node_command(index), self.plan.data_dir / f"{name}.log")

    # -- show and stop ------------------------------------------------------------------------------------------------

    def _show(self) -> None:
        self.front.show(self._views, plain_lines, lambda views: LiveView(self.plan.kind, views))

    def _views(self, interval_s: float) -> Iterator[list[NodeView]]:
        plan = self.plan
        for _ in self.front.turns(interval_s, self._tend):
            yield [
                look(plan.kind, node.child.name, node.child.pid, plan.port(node.index), plan.rpc_port(node.index),
                     node.starts)
                for node in self.nodes
            ]  # fmt: skip

    def _tend(self) -> None:
        """Start again what has ended. Raises ChildEndedError when that is no use."""
        now_s = time.monotonic()
        for node in self.nodes:
            if node.again_s is None and node.child.exit_code() is not None:
                node.quick_ends = node.quick_ends + 1 if now_s - node.started_s < QUICK_END_S else 0
                if node.quick_ends >= MAX_QUICK_ENDS:
                    raise ChildEndedError(node.child, "ends again and again")
                node.again_s = now_s + RESTART_S
            elif node.again_s is not None and now_s >= node.again_s:
                node.child, node.started_s, node.again_s = self._child(node.index), now_s, None
                node.starts += 1
        for miner in self.miners:
            code = miner.exit_code()
            if code is not None:
                raise ChildEndedError(miner, f"ended with exit code {code}")

    def _stop(self) -> None:
        self.front.stop((self.miners, [node.child for node in self.nodes]), self.plan.data_dir)


def up(plan: NetworkPlan) -> int:
    """Run until Ctrl-C; the exit code."""
    problems = port_problems(plan.ports())
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        return 1
    with by_signals() as interrupted:
        return Network(plan, interrupted).run()
