"""Floods against a pool with honest miners on it, one kind after the other: who is evicted, what honest ones notice.

Honest miners come from 127.1.0.0/16, strangers from 127.2.0.0/16, each from an address of its own: what limits an
address helps the pool against one of them, not against all. Pool, nodes, miners and strangers share two cores.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attackers import PLAYS, Attack, Stranger, log_in
from support.devnet import CHAINS, RARE_BITS, Devnet, devnet_in, port_terms
from support.load import Load, load_on
from support.load_miners import START_DIFFICULTY
from support.ports import free_port
from support.process_use import Busy, rss_bytes
from support.verdicts import Verdicts

HONEST_NETWORK = "127.1"
LOOK_S = 1.0
LEAST_P99_MS = 10.0
"""A baseline below it counts as so much: answers wait 8 ms for company, and what is faster is chance."""

UNPARSED_KIB = 16.0
OTHER_KIB = 8.0  # a connection weighs beside what it has not said to the end
SLACK_S = 3.0  # the pool looks once a second, the strangers' loop is busy


@dataclass(frozen=True)
class Plan:
    """`limits` are stratum.limits that differ from the product's own. By attack: `connections` at a time, `seconds`
    that it goes on, and `lives_s`, how long one of its connections may live."""

    honest: int
    share_s: float
    baseline_s: float
    seconds: Mapping[str, float]
    connections: Mapping[str, int]
    lives_s: Mapping[str, float]
    ban_s: float
    ended: Mapping[str, int] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Look:
    """What honest miners noticed for some seconds."""

    p99_ms: float
    ended: int
    unexplained: int
    answers: int


class Attacks:
    def __init__(self, devnet: Devnet, load: Load, port: int, plan: Plan, verdicts: Verdicts) -> None:
        self.devnet = devnet
        self.load = load
        self.port = port
        self.plan = plan
        self.verdicts = verdicts

    async def one(self, name: str) -> None:
        """One kind of attack beside its own baseline."""
        plan, verdicts = self.plan, self.verdicts
        before = await self._honest(plan.baseline_s)
        rss = self._rss_bytes()
        attack = Attack(name, self.port, plan.connections[name])
        began = time.monotonic()
        attack.start()
        busy = Busy(self._pid())
        peak, heaviest = 0, 0
        worst: list[Look] = []
        while time.monotonic() - began < plan.seconds[name]:
            worst.append(await self._honest(min(plan.baseline_s, plan.seconds[name])))
            if attack.open_now() > peak:
                peak, heaviest = attack.open_now(), self._rss_bytes()
        load = busy.per_s()
        lived = max(attack.lived_s(), default=0.0)
        count = len(attack.strangers)
        banned = [stranger for stranger in attack.strangers if not stranger.is_open]
        await attack.stop()
        after = await self._honest(plan.baseline_s)
        text = f"{count:,} connections, {peak:,} at a time, {attack.sent:,} messages counted"
        verdicts.figure(f"{name}: strangers", f"{text}; the pool: {100 * load:.0f} % of a core")
        base = max(before.p99_ms, after.p99_ms, LEAST_P99_MS)  # what the machine's other work makes of it by itself
        during = sorted(look.p99_ms for look in worst)[len(worst) // 2]
        text = f"{before.p99_ms:.1f} ms before, {during:.1f} during (median), {after.p99_ms:.1f} after"
        verdicts.figure(f"{name}: honest p99", text)
        verdicts.at_most(f"{name}: honest p99, times its baseline", during / base, 2.0)
        verdicts.at_most(f"{name}: honest connections ended", sum(look.ended for look in worst), 0)
        verdicts.at_most(f"{name}: honest shares refused", sum(look.unexplained for look in worst), 0)
        verdicts.at_least(f"{name}: connections made that the pool ended", attack.ended, plan.ended.get(name, 1))
        verdicts.at_most(f"{name}: longest life", lived, plan.lives_s[name] + SLACK_S, " s")
        if name == "slowloris" and peak >= 500:
            each = (heaviest - rss) / 1024 / peak
            verdicts.at_most(f"{name}: memory of each, 4 kB of it unparsed", each, UNPARSED_KIB + OTHER_KIB, " KiB")
        if name == "invalid shares":
            await self._ban_ends(attack, banned)

    async def _ban_ends(self, attack: Attack, banned: list[Stranger]) -> None:
        """Who was banned is turned away, and comes in when the ban is over."""
        address = "127.2.200.1"
        stranger = await attack.connect(address)
        job_id = await log_in(stranger)
        assert job_id, "an address that did nothing comes in"
        await PLAYS["invalid shares"](attack, stranger)
        at = time.monotonic()
        turned_away = await self._is_turned_away(attack, address)
        self.verdicts.holds("a banned address is turned away", str(turned_away), turned_away and bool(banned))
        while time.monotonic() - at < self.plan.ban_s - 1.0 and turned_away:
            await asyncio.sleep(0.2)
            turned_away = await self._is_turned_away(attack, address)
        self.verdicts.holds("until its ban is over", str(turned_away), turned_away)
        while turned_away and time.monotonic() - at < self.plan.ban_s + SLACK_S:
            await asyncio.sleep(0.2)
            turned_away = await self._is_turned_away(attack, address)
        self.verdicts.holds("and then comes in", str(not turned_away), not turned_away)

    @staticmethod
    async def _is_turned_away(attack: Attack, address: str) -> bool:
        try:
            stranger = await attack.connect(address)
        except OSError:
            return True
        try:
            return not await log_in(stranger)
        finally:
            stranger.transport.abort()

    async def _honest(self, seconds: float) -> Look:
        await self.load.report()
        await asyncio.sleep(seconds)
        found = await self.load.report()
        p99 = found["p99_ms"]
        return Look(1e6 if p99 is None else p99, found["ended"], found["unexplained_count"], found["accepted"])

    def _pid(self) -> int:
        assert self.devnet.pool is not None
        return self.devnet.pool.pid

    def _rss_bytes(self) -> int:
        return rss_bytes(self._pid())


async def attack_all(plan: Plan, folder: Path, verdicts: Verdicts, *, together: bool = False) -> None:
    """Every attack of the plan, one after the other or all `together`."""
    port = free_port()

    def edit(config: dict[str, Any]) -> None:
        config["stratum"]["ports"] = [port_terms(port) | {
            "start_difficulty": START_DIFFICULTY, "minimum_difficulty": START_DIFFICULTY,
            "maximum_difficulty": START_DIFFICULTY, "share_interval_s": plan.share_s,
        }]  # fmt: skip
        config["stratum"]["limits"] = {"exempt_loopback": False, "ban_s": plan.ban_s, **plan.limits}

    rare = dict.fromkeys(CHAINS, RARE_BITS)
    async with devnet_in(folder, edit=edit, bits=rare) as devnet, load_on(port) as load:
        await load.ask("add", count=plan.honest, share_s=plan.share_s, network=HONEST_NETWORK)
        await load.ready()
        attacks = Attacks(devnet, load, port, plan, verdicts)
        if together:
            await asyncio.gather(*(attacks.one(name) for name in plan.connections))
            return
        for name in plan.connections:
            verdicts.say(f"{name}: {plan.connections[name]:,} at a time for {plan.seconds[name]:g} s")
            await attacks.one(name)
