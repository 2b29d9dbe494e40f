"""`pool devnet demo`: a reference node for each chain, the pool and a miner as child processes, and what they achieve.

Started in the order nodes, pool, miner; stopped in the opposite one, so that nothing is told to stop while somebody
still needs it. Everything is kept in the data folder: the next start goes on where this one ended.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pool.config.configuration import load
from pool.devnet.demo.children import Child, ChildEndedError, raise_if_ended, wait_until
from pool.devnet.demo.display import LiveView, plain_lines
from pool.devnet.demo.interruption import Interruption, by_signals
from pool.devnet.demo.plan import DemoPlan, port_problems
from pool.devnet.demo.snapshot import HashrateMeter, Snapshot, health, take_snapshot
from pool.devnet.foreground import Foreground

NODE_START_S = 60.0
POOL_START_S = 60.0


def demo(config_file: str, overrides: Mapping[str, str], *, miner: bool) -> int:
    """Run until Ctrl-C (exit code 0) or until a child ends by itself (1). The configuration has been checked."""
    plan = DemoPlan(config_file, load(config_file, overrides), dict(overrides))
    problems = port_problems(plan.ports())
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        return 1
    with by_signals() as interrupted:
        return Demo(plan, miner, interrupted).run()


class Demo:
    """One run. The children are kept by stage, so that they can be stopped stage by stage."""

    def __init__(self, plan: DemoPlan, miner: bool, interrupted: Interruption) -> None:
        self.plan = plan
        self.miner = miner
        self.front = Foreground("demo", interrupted)
        self.nodes: list[Child] = []
        self.pools: list[Child] = []
        self.miners: list[Child] = []

    def run(self) -> int:
        return self.front.run(self._start, self._show, self._stop)

    # -- start --------------------------------------------------------------------------------------------------

    def _start(self) -> bool:
        """Start everything; False when the user wants to stop already."""
        plan = self.plan
        self.front.say(f"demo: data in {plan.data_dir}, logs in {plan.data_dir / 'logs'}")
        for name in plan.node_names:
            self.nodes.append(self._child(f"node {name}", f"node-{name}.log", plan.node_command(name)))
        for name, node in zip(plan.node_names, self.nodes, strict=True):
            if not self._ready(node, NODE_START_S):
                return False
            kind = plan.config.chains[name].kind
            self.front.say(f"  {node.name:<13} {kind:<8} process {node.pid}, RPC port {plan.node_rpc_port(name)}")
        pool = self._child("pool", "pool.log", plan.pool_command())
        self.pools.append(pool)
        if not self._answering(pool):
            return False
        self.front.say(f"  {'pool':<22} process {pool.pid}, Stratum {plan.stratum_url}, HTTP {plan.http_url}")
        if self.miner:
            miner = self._child("miner", "miner.log", plan.miner_command())
            self.miners.append(miner)
            self.front.say(f"  {'miner':<22} process {miner.pid}, {plan.miner_address}")
        self.front.say(invitation(plan))
        return True

    def _child(self, name: str, log_name: str, command: Sequence[str]) -> Child:
        return Child(name, command, self.plan.data_dir / "logs" / log_name)

    def _ready(self, child: Child, limit_s: float) -> bool:
        if wait_until(child.is_ready, self._children(), self.front.interrupted.wait, limit_s):
            return True
        if not self.front.interrupted.is_set():
            raise ChildEndedError(child, f"was not ready after {limit_s:g} s")
        return False

    def _answering(self, pool: Child) -> bool:
        """Wait until the pool takes shares. One that answers but has no work yet is shown with its reason."""
        url = self.plan.http_url
        if wait_until(lambda: health(url) is None, self._children(), self.front.interrupted.wait, POOL_START_S):
            return True
        if self.front.interrupted.is_set():
            return False
        if take_snapshot(url, HashrateMeter()) is None:
            raise ChildEndedError(pool, f"did not answer at {url} within {POOL_START_S:g} s")
        self.front.say(f"the pool runs, but takes no shares yet: {health(url)}")
        return True

    def _children(self) -> list[Child]:
        return [*self.nodes, *self.pools, *self.miners]

    # -- show and stop ------------------------------------------------------------------------------------------

    def _show(self) -> None:
        self.front.show(self._snapshots, plain_lines, LiveView)

    def _snapshots(self, interval_s: float) -> Iterator[Snapshot]:
        """A snapshot every `interval_s` until interrupted; a pool that does not answer for a moment is passed over.
        Raises ChildEndedError."""
        meter = HashrateMeter()
        for _ in self.front.turns(interval_s, lambda: raise_if_ended(self._children())):
            snapshot = take_snapshot(self.plan.http_url, meter)
            if snapshot is not None:
                yield snapshot

    def _stop(self) -> None:
        self.front.stop((self.miners, self.pools, self.nodes), self.plan.data_dir)


def _pool_program() -> str:
    """How this very program is called from here: a virtual environment's is rarely on the PATH."""
    beside = Path(sys.executable).with_name("pool")
    return os.path.relpath(beside) if beside.exists() else "pool"


def invitation(plan: DemoPlan) -> str:
    """How to bring one's own miner: lines to copy."""
    host, port = plan.stratum_url.removeprefix("stratum+tcp://").rsplit(":", 1)
    login = plan.login("rig1")
    return "\n".join(
        (
            "",
            "Point your own miner at it (any worker name; put your addresses in place of ours, or leave them):",
            f"  {_pool_program()} mine {plan.stratum_url} -u {login} -p x --algorithm {plan.algorithm}",
            f"  minerd -a {plan.algorithm} -o {plan.stratum_url} -u {login} -p x",
            f"  any other: host {host}, port {port}, user as above, password x (or d=0.01 to ask for a difficulty)",
            f"See it: {plan.http_url}/  and  {plan.http_url}/api/v1/miners/{plan.miner_address}",
            "Stop it with Ctrl-C.",
            "",
        )
    )
