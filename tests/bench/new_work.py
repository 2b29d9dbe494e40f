"""What a new block costs: how long until the last miner has its job, and the CPU time of it."""

from __future__ import annotations

import json
import resource
import statistics
import struct
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from miners import Connection
from servers import Server

MINERS = 5000
ROUNDS = 3
WINDOW_MS = 2000
"""Metered from each block on; the last miner has its job long before the end, but what the pool does with a new
template afterwards counts as well."""
IDLE_S = 4.0
"""Metered without a block, before the first and after the last one: what a pool does by itself is not the same in each
second, and less later than soon after the logins."""
FILES_WANTED = 2 * MINERS + 1000


@dataclass
class NewWork:
    """Of one server, one entry for each block: from the parent's block to the first, the median and the last of 5,000
    miners, ms; and the server's CPU time for each connection, µs, less what it spends without a block."""

    first_ms: list[float] = field(default_factory=list)
    median_ms: list[float] = field(default_factory=list)
    last_ms: list[float] = field(default_factory=list)
    cost_us: list[float] = field(default_factory=list)

    @property
    def last(self) -> float:
        return statistics.median(self.last_ms)

    @property
    def cost(self) -> float:
        return statistics.median(self.cost_us)


def raise_limits() -> None:
    """So many sockets as 5,000 miners need, here and in the servers that are started from here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < FILES_WANTED:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (FILES_WANTED, FILES_WANTED))
        except (ValueError, OSError) as error:
            raise SystemExit(
                f"{MINERS} miners need {FILES_WANTED} open files and the limit is {hard} (ulimit -Hn): {error}"
            ) from error
    elif soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def find_blocks(server: Server, connections: list[Connection], new_work: NewWork, folder: Path) -> None:
    """A few blocks, one after the other."""
    assert server.finds is not None, "a server that is told of blocks"
    descriptors = [connection.socket.fileno() for connection in connections]
    file = folder / "descriptors"
    file.write_bytes(struct.pack(f"<{len(descriptors) + 1}I", len(descriptors), *descriptors))
    time.sleep(1)  # the logins are over
    command = [str(folder / "hear_jobs"), str(file), str(server.finds), str(WINDOW_MS)]
    idle_ns = meter_idle(server)
    spent: list[tuple[int, float]] = []
    for _ in range(ROUNDS):
        before_ns = server.cpu_ns()
        done = subprocess.run(command, pass_fds=descriptors, capture_output=True, text=True, timeout=120, check=False)
        spent_ns = server.cpu_ns() - before_ns
        if done.returncode:
            raise SystemExit(f"not every miner has heard of a block: {done.stdout}{done.stderr}")
        answer: dict[str, float] = json.loads(done.stdout)
        new_work.first_ms.append(answer["first_ms"])
        new_work.median_ms.append(answer["median_ms"])
        new_work.last_ms.append(answer["last_ms"])
        spent.append((spent_ns, answer["seconds"]))
    idle_ns += meter_idle(server)
    for spent_ns, seconds in spent:
        net_ns = spent_ns - idle_ns * seconds / (2 * IDLE_S)
        new_work.cost_us.append(net_ns / 1000 / len(connections))


def meter_idle(server: Server) -> int:
    """The CPU time of IDLE_S without a block."""
    before_ns = server.cpu_ns()
    time.sleep(IDLE_S)
    return server.cpu_ns() - before_ns
