"""The servers that are measured: started, asked for their CPU time and memory, stopped."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARENT_ADDRESS = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
AUX_ADDRESS = "bcrt1qkf2lsfway5fl6and066zhue7vx52wa26xk7dmx"
AUX = {
    "first": ("auxpow", "chain_id: 1", ("--chain-id", "1")),
    "second": ("auxpow", "chain_id: 7", ("--chain-id", "7")),
    "third": ("auxpow", "chain_id: 11", ("--chain-id", "11")),
    "alpha": ("mm2", "context_name: alpha", ("--context-name", "alpha")),
    "beta": ("mm2", "context_name: beta", ("--context-name", "beta")),
}
START_S = 60.0

STARTED: list[subprocess.Popen[str]] = []
GIVEN: set[int] = set()


class Server:
    """A Stratum port and the processes behind it, with their children. `judges` is false for the null server, which
    takes everything. SIGUSR1 to the process `finds` is a new block; None where there is no way to make one. `processes`
    of it take shares."""

    def __init__(
        self, name: str, port: int, pids: Sequence[int], judges: bool = True, finds: int | None = None,
        processes: int = 1,
    ) -> None:  # fmt: skip
        self.name = name
        self.port = port
        self.pids = list(pids)
        self.judges = judges
        self.finds = finds
        self.processes = processes

    def family(self) -> list[int]:
        """The processes and their children."""
        found = list(self.pids)
        for pid in found:
            for task in Path(f"/proc/{pid}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
        return found

    def cpu_ns(self) -> int:
        """What all threads have spent."""
        spent = 0
        for pid in self.family():
            for task in Path(f"/proc/{pid}/task").iterdir():
                spent += int((task / "schedstat").read_text().split()[0])
        return spent

    def rss_bytes(self) -> int:
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.family())
        return pages * 4096

    def run(self, command: Sequence[str], folder: Path, *, tree: Path | None = None, ready: str = "READY") -> int:
        """Starts a process that says `ready` when it is; its pid."""
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / f"{len(STARTED)}.log"
        environment = None if tree is None else {"PYTHONPATH": str(tree), "PATH": "/usr/bin:/bin"}
        with log.open("w") as output:
            child = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, cwd=tree, env=environment, text=True
            )
        STARTED.append(child)
        until = time.monotonic() + START_S
        while ready not in log.read_text():
            if child.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"{' '.join(command)} did not start:\n{log.read_text()}")
            time.sleep(0.1)
        return child.pid


def stop_all() -> None:
    """Ends what was started, the pools before their nodes."""
    for child in reversed(STARTED):
        child.terminate()
    for child in STARTED:
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()


def free_port() -> int:
    """Never the same one twice, as most are opened later."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = int(probe.getsockname()[1])
        if port not in GIVEN:
            GIVEN.add(port)
            return port


def null_server(folder: Path) -> Server:
    server = Server("null", free_port(), [], judges=False)
    server.pids = [server.run([str(folder / "null_server"), str(server.port)], folder / "null")]
    server.finds = server.pids[0]
    return server


def our_pool(folder: Path, tree: Path, name: str = "ours", processes: int = 1) -> Server:
    """The pool of a source tree, with its nodes; they are not counted."""
    server = Server(name, free_port(), [], processes=processes)
    http, parent = free_port(), free_port()
    command = [sys.executable, str(Path(__file__).with_name("parent_node.py")), str(parent)]
    server.finds = server.run(command, folder, tree=tree)
    chains = ""
    for chain, (kind, setting, arguments) in AUX.items():
        port = free_port()
        command = [sys.executable, "-m", "chains.reference.run", "--user", "u", "--password", "p", "--bits", "1a00ffff"]
        command += ["--kind", kind, "--name", chain, "--seed", chain, "--port", str(port)]
        command += ["--data", str(folder / chain)]
        server.run([*command, *arguments], folder, tree=tree)
        chains += f"""
  {chain}:
    kind: {kind}
    family: devnet
    network: regtest
    {setting}
    address: {AUX_ADDRESS}
    nodes: [{{url: "http://127.0.0.1:{port}", user: u, password: p}}]
"""
    configuration = folder / "pool.yaml"
    configuration.write_text(f"""
pool: {{name: bench, data_dir: {folder / "data"}, fee_ppm: 10000}}
stratum:
  processes: {processes}
  ports:
    - {{bind: "127.0.0.1:{server.port}", start_difficulty: 1.0e-9, minimum_difficulty: 1.0e-9, vardiff: false,
       maximum_difficulty: 1000000, share_interval_s: 1, cap_max_shares_per_min: 240}}
  limits: {{exempt_loopback: true, accepts_per_s: 100000, accepts_per_address_per_s: 100000}}
http: {{bind: "127.0.0.1:{http}"}}
parent: main
chains:
  main:
    kind: bitcoin
    network: main
    address: {PARENT_ADDRESS}
    nodes: [{{url: "http://127.0.0.1:{parent}", user: u, password: p}}]
{chains}""")
    command = [sys.executable, "-m", "pool", "run", "-c", str(configuration)]
    ready = "chain joins chain=main" if processes == 1 else "front end serves"
    server.pids = [server.run(command, folder, tree=tree, ready=ready)]
    time.sleep(5)  # the auxiliary chains join, the shape is proposed, the first job is out
    return server
