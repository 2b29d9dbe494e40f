"""A pool of several processes on one machine: one that hangs, and how soon a dead one's blocks go out."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from faults_run import Answers, all_is_there, terms
from support.devnet import PARENT, Devnet
from support.load import Load, load_on
from support.ports import free_port
from support.verdicts import Verdicts

from pool.devnet.demo.children import Child

PROCESSES = 2
BACK_S = 60.0
RESCUED_S = 1.0
SLACK_S = 10.0
ON_ITS_WAY_S = 0.5
LATER_SILENT = "from pool.wiring import fleet; fleet.SILENT_S = {}; from pool.__main__ import main; main()"
RESUMED = re.compile(r"^(\S+ \S+?),(\d+) INFO \S+ resuming submission ", re.MULTILINE)


class FleetDevnet(Devnet):
    """Its pool takes a front end for dead after so many silent seconds."""

    def __init__(self, directory: Path, silent_s: float, **options: Any) -> None:
        super().__init__(directory, **options)
        self._silent_s = silent_s

    def spawn_pool(self, name: str = "pool", **overrides: str) -> Child:
        words = ["run", "-c", str(self.config_path)]
        return self.child(name, [sys.executable, "-P", "-c", LATER_SILENT.format(self._silent_s), *words])


def front_ends(devnet: Devnet) -> dict[int, int]:
    """Process ids by slot."""
    found = {}
    for folder in (devnet.data_dir / "front-ends").iterdir():
        if folder.name.isdigit():
            with suppress(OSError, ValueError):
                pid = int((folder / "pid").read_text())
                if b"front-end" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found[int(folder.name)] = pid
    return found


async def fleet(
    folder: Path, verdicts: Verdicts, *, connections: int, share_s: float, silent_s: float, rescues: int
) -> None:
    """Stops one front end for good, and kills others while blocks of theirs are open; then nothing may be missing."""
    port, path = free_port(), folder / "answers"

    def edit(config: dict[str, Any]) -> None:
        config["stratum"] |= {"ports": [terms(port)], "processes": PROCESSES}

    devnet = FleetDevnet(folder / "devnet", silent_s, edit=edit)
    try:
        await devnet.start()
        await _both_serve(devnet)
        async with load_on(port, path) as load:
            await load.ask("add", count=connections, share_s=share_s)
            await load.ready()
            await _hangs(devnet, load, verdicts, silent_s)
            for number in range(rescues):
                await _rescued(devnet, load, verdicts, number)
            await load.ask("drop")
            await load.report()
            await all_is_there(devnet, Answers(path), load.sums["lost"], verdicts)
    finally:
        await devnet.close()


async def _both_serve(devnet: Devnet) -> None:
    async def serve() -> bool:
        return sum((await devnet.metric("front_end_up")).values()) == PROCESSES

    await devnet.until(serve, "both front ends serve", 90)


async def _hangs(devnet: Devnet, load: Load, verdicts: Verdicts, silent_s: float) -> None:
    """SIGSTOP, for good."""
    slot, pid = min(front_ends(devnet).items())
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    await load.report()
    await asyncio.sleep(min(1.0, silent_s))
    meanwhile = (await load.report())["accepted"]
    await devnet.until(lambda: front_ends(devnet).get(slot, pid) != pid, "another takes its place", silent_s + BACK_S)
    took_s = time.monotonic() - began
    verdicts.at_least("a front end hangs: shares accepted by the other meanwhile", meanwhile, 1)
    verdicts.at_most("a front end hangs: seconds until another is there", took_s, silent_s + SLACK_S)
    back_s = await load.ready(limit_s=BACK_S)
    verdicts.at_most("a front end hangs: seconds until its miners have work", back_s, BACK_S)
    await _both_serve(devnet)


async def _rescued(devnet: Devnet, load: Load, verdicts: Verdicts, number: int) -> None:
    """The parent's node hangs, so blocks are open; the front end that has one is killed."""
    slots = devnet.data_dir / "front-ends"

    def open_blocks() -> set[Path]:
        return set(slots.glob(f"*/solutions/open/{PARENT}-*"))

    async def waiting() -> set[Path]:
        before = open_blocks()  # an answer may be on its way still
        await asyncio.sleep(ON_ITS_WAY_S)
        return before & open_blocks()

    await devnet.until(lambda: not open_blocks(), "no block waits", 60, every_s=0.005)
    await devnet.fault(PARENT, hang_s=60)
    found: set[Path] = await devnet.until(waiting, "a block waits for its node", 60)
    slot = int(min(found).parts[-4])
    before, killed_at = len(RESUMED.findall(devnet.logs())), time.time()
    os.kill(front_ends(devnet)[slot], signal.SIGKILL)
    await devnet.until(lambda: len(RESUMED.findall(devnet.logs())) > before, "its block is taken over", 60)
    text, ms = RESUMED.findall(devnet.logs())[before]
    took_s = datetime.fromisoformat(text).timestamp() + int(ms) / 1000 - killed_at
    verdicts.at_most(f"a dead front end's blocks are taken over, seconds (kill {number + 1})", took_s, RESCUED_S)
    await devnet.rpc(PARENT, "devnet_clear")
    await load.ready(limit_s=BACK_S)
    await _both_serve(devnet)
