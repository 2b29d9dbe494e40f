"""A front end and an accountant under load, and all of fault_list.py done to them; then nothing may be missing.

Every share is a block with one chance in 256, so that the load itself injects the solves: each has to end on the chain,
or beaten there by another block. Miners come back by themselves when their connection ends.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from fault_layer import FaultLayer, compiled
from fault_list import Fault, World
from sqlalchemy import select
from support.devnet import CHAINS, PARENT, Devnet, DevnetRpcError, port_terms
from support.load import Load, load_on
from support.load_miners import START_DIFFICULTY
from support.ports import free_port
from support.postgresql import PostgresqlServer
from support.redis import RedisServer
from support.split_devnet import SplitDevnet
from support.verdicts import Verdicts

from pool.devnet.demo.children import Child
from pool.storage import tables
from pool.storage.ledger_store import audit

RECORD = 33
BACK_S = 60.0
END_S = 1800.0  # books that a busy machine left far behind
BURIED = 15
OPEN = "submitted"
LOOK_S = 0.25
DEAD_DISK_SOLVES = 3  # in the second until the process has ended, at one or two solves a second


class FaultyDevnet(Devnet):
    """Some of its processes run under a layer, by their names."""

    def __init__(self, directory: Path, layers: dict[str, FaultLayer], **options: Any) -> None:
        super().__init__(directory, **options)
        self._layers = layers

    def child(self, name: str, command: list[str]) -> Child:
        layer = self._layers.get(name)
        return super().child(name, command if layer is None else layer.command(command))


class Answers:
    """What the load was answered, out of its file: hashes of A(ccepted), S(tale) and R(efused) shares."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        whole = len(data) - len(data) % RECORD
        self.of: dict[str, list[bytes]] = {"A": [], "S": [], "R": []}
        for at in range(0, whole, RECORD):
            self.of[chr(data[at])].append(data[at + 1 : at + RECORD])

    def solves(self, target: int) -> set[bytes]:
        every = (header_hash for hashes in self.of.values() for header_hash in hashes)
        return {header_hash for header_hash in every if int.from_bytes(header_hash, "little") <= target}


class Faults:
    def __init__(self, world: World, load: Load, verdicts: Verdicts) -> None:
        self.world = world
        self.load = load
        self.verdicts = verdicts

    async def one(self, fault: Fault, seconds: float) -> None:
        """A fault, and how long until all is well again."""
        await self.load.report()
        async with fault.begin(self.world):
            begun = await self.load.report()
            await asyncio.sleep(seconds)
            during = await self.load.report()
        back_s = await self._back()
        ended = begun["ended"] + during["ended"]
        words = [word for found in (begun, during) for word in found["unexplained"]]
        good = (not fault.serves or during["accepted"] > 0) and (not fault.stays or ended == 0)
        good = good and (fault.refuses or not words)
        text = f"{during['accepted']} accepted meanwhile, {ended} connections ended, well {back_s:.1f} s after its end"
        self.verdicts.holds(fault.name, text + "".join(f"; {word}" for word in words[:3]), good)

    async def _back(self) -> float:
        """Until all miners have work and shares are accepted."""
        began = time.monotonic()
        while time.monotonic() - began < BACK_S:
            await asyncio.sleep(LOOK_S)
            found = await self.load.report()
            if found["ready"] == found["miners"] and found["accepted"]:
                break
        return time.monotonic() - began


async def all_is_there(
    devnet: Devnet, answers: Answers, lost: int, verdicts: Verdicts, dead_disk: int = 0
) -> None:
    """Shares and solves against the books, when everybody has had time. So many solves may have been found while a disk
    took nothing any more: those are on the chain and in the log's alarms alone."""
    accepted = set(answers.of["A"])
    solves = answers.solves(devnet.target(PARENT))
    hashes = {header_hash[::-1].hex() for header_hash in solves}
    for chain in CHAINS:
        await devnet.advance(chain, BURIED)
    began = time.monotonic()
    while time.monotonic() - began < END_S:
        stored, blocks = _stored(devnet), _blocks(devnet)
        states = {hash_hex: state for chain, hash_hex, state in blocks if chain == PARENT}
        open_blocks = [block for block in blocks if block[2] == OPEN]
        unbooked = await _unknown(devnet, hashes - states.keys())
        if accepted <= set(stored) and not unbooked and not open_blocks:
            break
        await asyncio.sleep(1)
    verdicts.at_most("answered shares that are lost", len(accepted - set(stored)), 0)
    verdicts.at_most("shares that count twice", len(stored) - len(set(stored)), 0)
    strangers = len(set(stored) - accepted - {one for kind in "SR" for one in answers.of[kind]})
    verdicts.at_most("stored shares beyond what was never answered", max(0, strangers - lost), 0)
    found = Counter(states.get(hash_hex, "only on the chain") for hash_hex in hashes)
    text = ", ".join(f"{count} {state}" for state, count in sorted(found.items()))
    verdicts.figure("solves", f"{len(hashes)}: {text}; {len(accepted):,} shares answered")
    verdicts.at_most("solves that neither the books nor the node know of", len(unbooked), 0)
    verdicts.at_most("solves only on the chain, of a disk that was dead", found["only on the chain"], dead_disk)
    verdicts.at_most("solves refused by the node", found["rejected"], 0)
    verdicts.at_most("blocks of any chain without an end", len(open_blocks), 0)
    with devnet.database() as connection:
        findings = audit(connection)
    verdicts.holds("the books balance", str(findings or "yes"), not findings)


async def _unknown(devnet: Devnet, hashes: set[str]) -> set[str]:
    """Those that the parent's node has never seen."""
    unknown = set()
    for hash_hex in hashes:
        try:
            await devnet.rpc(PARENT, "getblockheader", hash_hex)
        except DevnetRpcError:
            unknown.add(hash_hex)
    return unknown


def _stored(devnet: Devnet) -> list[bytes]:
    with devnet.database() as connection:
        return list(connection.execute(select(tables.shares.c.header_hash)).scalars())


def _blocks(devnet: Devnet) -> list[tuple[str, str, str]]:
    columns = tables.blocks.c
    with devnet.database() as connection:
        rows = connection.execute(select(columns.chain, columns.hash_hex, columns.state)).all()
    return [(row[0], row[1], row[2]) for row in rows]


def terms(port: int) -> dict[str, Any]:
    return port_terms(port) | {
        "start_difficulty": START_DIFFICULTY, "minimum_difficulty": START_DIFFICULTY,
        "maximum_difficulty": START_DIFFICULTY, "share_interval_s": 1.0, "cap_max_shares_per_min": 6000,
    }  # fmt: skip


@asynccontextmanager
async def world_of(folder: Path, port: int, with_postgresql: bool) -> AsyncIterator[World]:
    """Two processes with Redis between them, mining."""
    with ExitStack() as stack:
        redis = RedisServer()
        stack.callback(redis.close)
        postgresql, url = None, f"sqlite:///{folder / 'books.sqlite'}"
        if with_postgresql:
            postgresql = PostgresqlServer()
            stack.callback(postgresql.close)
            url = stack.enter_context(postgresql.database())
        library = compiled(folder)
        front_layer, books_layer = (FaultLayer(library, folder / f"{name}.faults") for name in ("front-end", "books"))
        split_edit = SplitDevnet.edit(redis, folder, url)

        def edit(config: dict[str, Any]) -> None:
            split_edit(config)
            config["stratum"]["ports"] = [terms(port)]

        devnet = FaultyDevnet(folder / "devnet", {"front-end": front_layer, "pool": books_layer}, edit=edit)
        split = SplitDevnet(devnet, redis)
        try:
            await split.start()
            yield World(devnet, split, redis, postgresql, front_layer, books_layer)
        finally:
            await devnet.close()


async def faults(
    chosen: Sequence[Fault], folder: Path, verdicts: Verdicts, *, connections: int, share_s: float, seconds: float,
    solves: int = 0, postgresql: bool = True,
) -> None:  # fmt: skip
    """All chosen faults, each so many seconds, and round again until there were so many solves."""
    port, path = free_port(), folder / "answers"
    async with world_of(folder, port, postgresql) as world, load_on(port, path) as load:
        await load.ask("add", count=connections, share_s=share_s)
        await load.ready()
        run = Faults(world, load, verdicts)
        dead_disk = 0
        while True:
            for fault in chosen:
                if postgresql or not fault.needs_postgresql:
                    await run.one(fault, seconds)
                    dead_disk += DEAD_DISK_SOLVES * fault.refuses
            await load.report()
            count = len(Answers(path).solves(world.devnet.target(PARENT)))
            verdicts.say(f"{count} solves so far")
            if count >= solves:
                break
        await load.ask("drop")
        await load.report()
        await all_is_there(world.devnet, Answers(path), load.sums["lost"], verdicts, dead_disk)
