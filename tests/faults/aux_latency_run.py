"""How much later the parent's jobs come while every auxiliary chain is in trouble: tips in turns, well and not."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from faults_run import terms
from support.devnet import CHAINS, PARENT, RARE_BITS, Devnet, devnet_in
from support.load import Load, load_on
from support.ports import free_port
from support.verdicts import Verdicts

CONNECTIONS = 50
IN_TURN = 25
PAUSE_S = 0.1
MOST_LATER_MS = 5.0
AWAY_S = 5.0
TROUBLE: dict[str, dict[str, Any]] = {
    "regnmc": {"hang_s": 600}, "regdoge": {"http_500": True}, "alpha": {"garbage": True}, "beta": {"hang_s": 600},
}  # fmt: skip


async def aux_latency(folder: Path, verdicts: Verdicts, *, tips: int) -> None:
    """So many tips of each kind; the p99 of the miners' first job must not move."""
    port = free_port()

    def edit(config: dict[str, Any]) -> None:
        config["stratum"]["ports"] = [terms(port)]
        for name in CHAINS[1:]:
            config["chains"][name]["away_s"] = AWAY_S

    rare = dict.fromkeys(CHAINS, RARE_BITS)
    delays: dict[bool, list[float]] = {False: [], True: []}
    async with devnet_in(folder, edit=edit, bits=rare) as devnet, load_on(port) as load:
        await load.ask("add", count=CONNECTIONS, share_s=1.0)
        await load.ready()
        while len(delays[True]) < tips:
            delays[False] += await _delays(devnet, load)
            for name, fault in TROUBLE.items():
                await devnet.fault(name, **fault)
            delays[True] += await _delays(devnet, load)
            for name in TROUBLE:
                await devnet.rpc(name, "devnet_clear")
            await devnet.until(lambda: _all_in(devnet), "all chains are in the tree again", 120)
    well, trouble = (sorted(1000 * one for one in delays[kind]) for kind in (False, True))
    for what, values in (("all well", well), ("auxiliary chains in trouble", trouble)):
        text = f"p50 {_part(values, 0.5):.1f} ms, p99 {_part(values, 0.99):.1f} ms, {len(values)} tips"
        verdicts.figure(f"new tip to the first job, {what}", text)
    later = _part(trouble, 0.99) - _part(well, 0.99)
    verdicts.at_most("p99 of the parent's jobs, later by auxiliary trouble", later, MOST_LATER_MS, " ms")


async def _all_in(devnet: Devnet) -> bool:
    return all(chain["state"] == "ok" and chain["in_tree"] for chain in (await devnet.api("/chains"))["items"])


async def _delays(devnet: Devnet, load: Load) -> list[float]:
    """Seconds from asking the parent's node for a tip to the first miner's job on it."""
    found = []
    for _ in range(IN_TURN):
        await load.report()
        load.tips.clear()
        at = time.monotonic()
        await devnet.advance(PARENT)
        while not load.tips:
            await asyncio.sleep(0.01)
            await load.report()
        found.append(min(first for _, first, _ in load.tips.values()) - at)
        await asyncio.sleep(PAUSE_S)
    return found


def _part(values: list[float], part: float) -> float:
    return values[int(part * (len(values) - 1))]
