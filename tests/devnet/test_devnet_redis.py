"""Front end and accountant as two processes with Redis between them: what dies comes back, nothing answered is lost.

`make nightly` sets PARAPOOL_KILL_ROUNDS; without it a few rounds show that every part may be killed.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.devnet import CHAINS, PARENT, RARE_BITS, steps
from support.postgresql import PostgresqlServer
from support.redis import PASSWORD, RedisServer
from support.rig import Rig
from support.split_devnet import SplitDevnet, stream

from chains.reference.wallet import address
from pool.mining_client.client import StratumError
from pool.storage.ledger_store import audit

ROUNDS = int(os.environ.get("PARAPOOL_KILL_ROUNDS", "4"))
PARTS = ("front end", "accountant", "redis", "postgresql")
MINERS = 3
STREAM_S = 0.6
NO_BLOCKS = dict.fromkeys(CHAINS, RARE_BITS)
LOGIN = address("miner", 0)


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """The test's own, since it is killed."""
    server = RedisServer()
    yield server
    server.close()


@pytest.fixture
def postgresql() -> Iterator[PostgresqlServer]:
    server = PostgresqlServer()
    yield server
    server.close()


async def test_devnet_redis_carries_blocks_to_the_accountant_and_may_go_away(
    make_devnet: Any, redis: RedisServer, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'books.sqlite'}"
    devnet = await make_devnet(edit=SplitDevnet.edit(redis, tmp_path, url), start=False)
    split = SplitDevnet(devnet, redis)
    await split.start()
    rig = await devnet.rig(f"{LOGIN}.rig")

    steps.info("one hash, five blocks, credited by the other process")
    _, found = await devnet.solve_all(rig)
    for chain in CHAINS:
        block = await devnet.block(chain, found[chain]["hash"])
        assert sum(credit["amount"] for credit in block["credits"]) + block["fee"] == block["reward"]
        assert {credit["miner"] for credit in block["credits"]} == {LOGIN}
    folder = devnet.directory / "front-end" / "solutions"
    await devnet.until(lambda: len(list((folder / "booked").iterdir())) >= len(CHAINS), "the front end knows")

    steps.info("Redis is killed and stays away; miners go on")
    redis.kill()
    again = await devnet.rig(f"{LOGIN}.rig")
    for _ in range(10):
        await again.share(above=devnet.target(PARENT))
    status, text = await devnet.http("/healthz")
    assert status == 200, text
    redis.start()
    await split.all_stored(rig, again)

    steps.info("FLUSHALL, and a Redis that is full")
    redis.ask("flushall")
    await again.share(above=devnet.target(PARENT))
    await split.all_stored(rig, again)
    redis.ask("config", "set", "maxmemory", "1kb")
    for _ in range(5):
        await again.share(above=devnet.target(PARENT))
    redis.ask("config", "set", "maxmemory", "0")
    await split.all_stored(rig, again)
    assert [refusal for refusal in again.refused if refusal.code != 21] == []
    with devnet.database() as connection:
        assert audit(connection) == []
    assert PASSWORD not in devnet.logs() + devnet.logs("front-end")


async def test_devnet_kill_rounds_lose_no_answered_share_and_count_none_twice(
    make_devnet: Any, redis: RedisServer, postgresql: PostgresqlServer, tmp_path: Path
) -> None:
    with postgresql.database() as url:
        devnet = await make_devnet(edit=SplitDevnet.edit(redis, tmp_path, url), start=False, bits=NO_BLOCKS)
        split = SplitDevnet(devnet, redis)
        await split.start()
        rigs: list[Rig] = []
        present: list[tuple[Rig, asyncio.Task[None]]] = []
        begun = time.monotonic()
        for number in range(ROUNDS):
            while len(present) < MINERS:
                rig = await _rig(split, f"{LOGIN}.rig{len(rigs)}")
                rigs.append(rig)
                present.append((rig, asyncio.ensure_future(stream(rig))))
            await asyncio.sleep(STREAM_S)
            await split.kill(PARTS[number % len(PARTS)], postgresql)
            present = [(rig, task) for rig, task in present if not task.done()]
        await asyncio.sleep(STREAM_S)
        for rig, task in present:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await rig.close()
        stored = await split.all_stored(*rigs, limit_s=120)
        answered = sum(len(rig.accepted) for rig in rigs)
        assert answered > 20 * ROUNDS
        assert [rig.refused for rig in rigs if rig.refused] == []
        took_s = time.monotonic() - begun
        steps.info(
            "%d rounds of kill -9 in %.0f s: %d shares answered, 0 lost, 0 doubled, %d stored",
            ROUNDS, took_s, answered, len(stored),
        )  # fmt: skip


async def _rig(split: SplitDevnet, login: str) -> Rig:
    """A miner that tries until the front end takes it."""
    for _ in range(100):
        try:
            rig: Rig = await split.devnet.rig(login)
            return rig
        except (OSError, StratumError):
            split.devnet.rigs.pop()
            await asyncio.sleep(0.1)
    raise AssertionError("the front end takes no miner")
