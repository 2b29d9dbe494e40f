"""A pool under load for as long as you like: connections, tips, auxiliary blocks and storms of reconnections.

Two halves over one process: the first with many connections and few shares of each, the second with half as many and
more. Tips come every TIP_S, so that an hour holds a day's 144; auxiliary blocks four times as often; a storm is half of
all miners hanging up at once, three times in each half. Nodes are the reference nodes, miners those of
support/load_miners.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import linear_regression, median
from typing import Any

from sqlalchemy import func, select
from support.devnet import CHAINS, PARENT, RARE_BITS, Devnet, devnet_in, port_terms
from support.load import Load, load_on
from support.load_miners import START_DIFFICULTY
from support.ports import free_port
from support.process_use import Busy, rss_bytes
from support.verdicts import Verdicts

from pool.storage import tables

TIP_S = 25.0
AUX_S = 6.0
LOOK_S = 5.0
PARENT_BLOCK_S = 600.0  # in a real day; what is late once a tip is late once in so much work
STORMS = 3
BACK_S = 90.0
STORED_S = 120.0
GROWTH = 0.05  # of the process's memory, in the second half of a part of the day
STALE = 0.0005
WARM = 0.3  # of a part: connections, allocator and caches settle in it


@dataclass(frozen=True)
class Part:
    """Of the compressed day. `share_s` is a connection's mean time between shares."""

    connections: int
    share_s: float
    seconds: float

    @property
    def name(self) -> str:
        return f"{self.connections:,} connections, {self.connections / self.share_s:,.0f} shares/s"


class Soak:
    def __init__(self, devnet: Devnet, load: Load, verdicts: Verdicts) -> None:
        self.devnet = devnet
        self.load = load
        self.verdicts = verdicts
        self._accepted = 0
        self._late = 0
        self._unexplained = 0
        self._lost = 0
        self._ended = 0
        self._behind_s: list[float] = []

    async def part(self, part: Part, port: int) -> None:
        """One part of the day, judged."""
        self.verdicts.say(f"{part.name}, {part.seconds:.0f} s")
        await self.load.ask("add", count=part.connections, share_s=part.share_s, port=port)
        took_s = await self.load.ready()
        self.verdicts.say(f"all are in after {took_s:.1f} s")
        self._forget()
        tips, answers, memory, busy = _Tips(), [], [], Busy(self._pid())
        began = time.monotonic()
        end = began + part.seconds
        background = [
            asyncio.ensure_future(self._tips(tips, end)),
            asyncio.ensure_future(self._aux(end)),
            asyncio.ensure_future(self._storms(part, end)),
        ]
        while time.monotonic() < end:
            await asyncio.sleep(min(LOOK_S, max(0.1, end - time.monotonic())))
            found = await self._look()
            memory.append((time.monotonic() - began, rss_bytes(self._pid())))
            if found["p99_ms"] is not None:
                answers.append((found["p50_ms"], found["p99_ms"]))
        await asyncio.gather(*background)
        await self.load.ready(0.999, BACK_S)
        await self._look()
        self._judge(part, tips, answers, memory, busy.per_s())
        await self.load.ask("drop")
        await asyncio.sleep(1)

    def _judge(
        self, part: Part, tips: _Tips, answers: list[tuple[float, float]], memory: list[tuple[float, int]], busy: float
    ) -> None:
        verdicts, name = self.verdicts, part.name
        rate = self._accepted / part.seconds
        verdicts.at_least(f"{name}: accepted, of the goal", rate / (part.connections / part.share_s), 0.7)
        verdicts.figure(f"{name}: accepted", f"{self._accepted:,}, {rate:,.0f} a second, {100 * busy:.0f} % of a core")
        behind = f"median {1000 * median(self._behind_s):.0f} ms, worst {1000 * max(self._behind_s):.0f}"
        verdicts.figure(f"{name}: the load itself was behind (much: a busy machine, nothing below counts)", behind)
        verdicts.at_most(f"{name}: connections the pool ended", self._ended, 0)
        verdicts.at_most(f"{name}: unexplained rejects", self._unexplained, 0)
        if tips.sent:
            late = self._late / max(1, len(tips.sent)) / (rate * PARENT_BLOCK_S)
            verdicts.figure(f"{name}: late shares", f"{self._late} in {len(tips.sent)} tips")
            verdicts.at_most(f"{name}: stale, of ten minutes' work a tip", 100 * late, 100 * STALE, " %")
            firsts, lasts = tips.delays(self.load.tips, part.connections)
            if lasts:
                text = f"median {1000 * median(lasts):.0f} ms, worst {1000 * max(lasts):.0f}"
                verdicts.figure(f"{name}: tip to the last miner's job", text)
                verdicts.figure(f"{name}: tip to the first miner's job", f"median {1000 * median(firsts):.0f} ms")
        if answers:
            p50, p99 = (median(values) for values in zip(*answers, strict=True))
            verdicts.figure(f"{name}: answers", f"p50 {p50:.1f} ms, p99 {p99:.1f} ms (medians of {LOOK_S:g} s)")
        warm = [(at, rss) for at, rss in memory if at >= WARM * part.seconds]
        if len(warm) > 4:
            slope = linear_regression([at for at, _ in warm], [rss for _, rss in warm]).slope
            grown = slope * (warm[-1][0] - warm[0][0]) / warm[0][1]
            text = f"{slope * 3600 / 2**20:+.1f} MiB an hour at {warm[-1][1] / 2**20:.0f} MiB"
            verdicts.figure(f"{name}: memory's slope", text)
            verdicts.at_most(f"{name}: memory's growth", 100 * grown, 100 * GROWTH, " %")

    async def _look(self) -> dict[str, Any]:
        found = await self.load.report()
        self._accepted += found["accepted"]
        self._late += found["late"]
        self._unexplained += found["unexplained_count"]
        self._lost += found["lost"]
        self._ended += found["ended"]
        self._behind_s.append(found["behind_s"])
        if found["unexplained"]:
            self.verdicts.say(f"unexplained: {found['unexplained']}")
        return found

    def _forget(self) -> None:
        self._accepted = self._late = self._unexplained = self._lost = self._ended = 0
        self._behind_s = []
        self.load.tips.clear()

    def _pid(self) -> int:
        assert self.devnet.pool is not None
        return self.devnet.pool.pid

    async def _tips(self, tips: _Tips, end: float) -> None:
        while time.monotonic() + TIP_S / 2 < end:
            await asyncio.sleep(min(TIP_S, max(1.0, (end - time.monotonic()) / 2)))
            at = time.monotonic()
            (tip_hex,) = await self.devnet.advance(PARENT)
            tips.sent[as_notified(tip_hex)] = at

    async def _aux(self, end: float) -> None:
        number = 0
        while time.monotonic() + AUX_S < end:
            await asyncio.sleep(AUX_S)
            number += 1
            await self.devnet.advance(CHAINS[1 + number % (len(CHAINS) - 1)])

    async def _storms(self, part: Part, end: float) -> None:
        for number in range(STORMS):
            await asyncio.sleep(max(0.0, (end - time.monotonic()) / (STORMS + 1 - number)))
            await self.load.ask("storm", count=part.connections // 2)
            took_s = await self._back()
            name = f"{part.name}: seconds until 99.9 % are back from storm {number + 1}"
            self.verdicts.at_most(name, took_s, BACK_S)

    async def _back(self) -> float:
        began = time.monotonic()
        while time.monotonic() - began < 2 * BACK_S:
            found = await self._look()
            if found["ready"] >= 0.999 * found["miners"]:
                break
            await asyncio.sleep(0.5)
        return time.monotonic() - began


class _Tips:
    """When each tip was asked for, by the previous hash that miners are told."""

    def __init__(self) -> None:
        self.sent: dict[str, float] = {}

    def delays(self, heard: dict[str, list[float]], connections: int) -> tuple[list[float], list[float]]:
        """Of tips that nearly everybody heard: seconds to the first and to the last."""
        found = [(heard[tip], at) for tip, at in self.sent.items() if tip in heard]
        whole = [(times, at) for times, at in found if times[0] >= 0.98 * connections]
        return [times[1] - at for times, at in whole], [times[2] - at for times, at in whole]


def as_notified(hash_hex: str) -> str:
    """A displayed hash as mining.notify has it: the natural order, each four bytes turned round."""
    natural = bytes.fromhex(hash_hex)[::-1]
    return b"".join(natural[at : at + 4][::-1] for at in range(0, 32, 4)).hex()


def terms(port: int, share_s: float) -> dict[str, Any]:
    """A port with vardiff around the load's difficulty."""
    return port_terms(port) | {
        "start_difficulty": START_DIFFICULTY, "minimum_difficulty": START_DIFFICULTY / 8,
        "maximum_difficulty": START_DIFFICULTY * 16, "vardiff": True, "share_interval_s": share_s,
    }  # fmt: skip


async def soak(parts: list[Part], folder: Path, verdicts: Verdicts) -> None:
    """All parts over one pool; then everything accepted is in the books."""
    ports = [free_port() for _ in parts]

    def edit(config: dict[str, Any]) -> None:
        each = zip(ports, parts, strict=True)
        config["stratum"]["ports"] = [terms(port, part.share_s) for port, part in each]
        for name in CHAINS:
            config["chains"][name]["poll_interval_s"] = 1.0

    rare = dict.fromkeys(CHAINS, RARE_BITS)
    async with devnet_in(folder, edit=edit, bits=rare) as devnet, load_on(ports[0]) as load:
        run = Soak(devnet, load, verdicts)
        for part, port in zip(parts, ports, strict=True):
            await run.part(part, port)
        await load.report()
        accepted, lost = load.sums["accepted"], load.sums["lost"]
        began = time.monotonic()
        while (stored := _stored(devnet)) < accepted and time.monotonic() - began < STORED_S:
            await asyncio.sleep(1)
        text = f"{stored:,} stored, {accepted:,} answered with true, {lost:,} never answered"
        verdicts.holds("every accepted share is in the books", text, accepted <= stored <= accepted + lost)


def _stored(devnet: Devnet) -> int:
    with devnet.database() as connection:
        return int(connection.execute(select(func.count()).select_from(tables.shares)).scalar_one())
