"""The pool over PostgreSQL: kill -9, a database that goes away while miners mine, and two pools over one database."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import func, select
from support.devnet import CHAINS, PARENT, Devnet, free_port, steps
from support.postgresql import PostgresqlServer
from support.rig import Rig

from chains.reference.wallet import address
from pool.mining_client.client import StratumError
from pool.storage import tables
from pool.storage.ledger_store import audit

MINER, SECOND_MINER = address("miner", 0), address("other", 0)
STREAM_S = 0.8
OUTAGE_S = 6.0  # longer than the books wait between two attempts
PASSWORD = "secret-word"


@pytest.fixture
def server() -> Iterator[PostgresqlServer]:
    """The test's own, since it stops it."""
    server = PostgresqlServer()
    yield server
    server.close()


@asynccontextmanager
async def streaming(*rigs: Rig) -> AsyncIterator[None]:
    """Shares without a pause from each, until the block or their connection ends."""
    stopped = asyncio.Event()

    async def stream(rig: Rig) -> None:
        try:
            while not stopped.is_set():
                await rig.submit(await rig.find())
        except StratumError:
            return

    streams = [asyncio.ensure_future(stream(rig)) for rig in rigs]
    try:
        yield
    finally:
        stopped.set()
        await asyncio.gather(*streams)


def _edit(url: str) -> Any:
    def edit(config: dict[str, Any]) -> None:
        config["pool"]["database_url"] = url

    return edit


def _stored(devnet: Devnet) -> list[bytes]:
    with devnet.database() as connection:
        return list(connection.execute(select(tables.shares.c.header_hash)).scalars())


async def _all_stored(devnet: Devnet, *rigs: Rig) -> None:
    answered = {header_hash for rig in rigs for header_hash in rig.accepted}
    await devnet.until(lambda: answered <= set(_stored(devnet)), f"the {len(answered)} answered shares are in SQL", 30)


def _check_books(devnet: Devnet) -> None:
    """Every unit of every block has an owner, no block and no share is there twice."""
    with devnet.database() as connection:
        assert audit(connection) == []
        paid = connection.execute(
            select(tables.blocks).where(tables.blocks.c.state.in_(("immature", "mature")))
        ).all()
        sums = dict(
            connection.execute(
                select(tables.credits.c.block_id, func.sum(tables.credits.c.amount)).group_by(tables.credits.c.block_id)
            ).all()
        )
    assert all(sums[block.id] + block.fee == block.reward for block in paid)
    assert max(Counter((block.chain, block.height) for block in paid).values()) == 1
    stored = _stored(devnet)
    assert len(stored) == len(set(stored))


async def test_devnet_postgresql_may_go_away_and_so_may_the_pool(make_devnet: Any, server: PostgresqlServer) -> None:
    with server.database() as url:
        devnet: Devnet = await make_devnet(edit=_edit(url))
        rig = await devnet.rig(f"{MINER}.rig")
        await devnet.solve_all(rig)

        steps.info("kill -9 of the pool in the middle of shares")
        async with streaming(rig):
            await asyncio.sleep(STREAM_S)
            await devnet.kill_pool()
        await devnet.start_pool()
        await _all_stored(devnet, rig)
        assert set(_stored(devnet)) - set(rig.accepted) <= set(rig.unanswered)

        steps.info("PostgreSQL stops; miners go on, and a block of every chain is found")
        again = await devnet.rig(f"{MINER}.rig")
        tip_hex = await devnet.all_chains_mined()
        heights = {chain: await devnet.rpc(chain, "getblockcount") for chain in CHAINS}
        await asyncio.to_thread(server.stop)
        job = await again.job_where(lambda job: job.previous_hash[::-1].hex() == tip_hex)
        found = await again.find(min(devnet.target(chain) for chain in CHAINS), job=job)
        assert await again.submit(found) is None
        for chain in CHAINS:
            await _reaches(devnet, chain, heights[chain] + 1)
        async with streaming(again):
            await devnet.until(lambda: "the database is away, the books wait" in devnet.logs(), "the outage is told")
            await asyncio.sleep(OUTAGE_S)
            status, text = await devnet.http("/api/v1/pool")
            assert status == 503 and "the books are away" in text
            assert (await devnet.http("/healthz"))[0] == 200
            assert (await devnet.metric("consumer_lag_shares"))[""] > 0
            await asyncio.to_thread(server.start)
            await devnet.until(lambda: "the database is back" in devnet.logs(), "the books go on", 20)
        _only_stale(again)
        await devnet.in_state(PARENT, found.hash_hex, "immature")
        await _all_stored(devnet, again)

        steps.info("PostgreSQL hangs: nobody notices")
        server.pause()
        async with streaming(again):
            await asyncio.sleep(STREAM_S)
        server.go_on()
        await _all_stored(devnet, again)
        _only_stale(again)
        assert devnet.logs().count("the database is away") == devnet.logs().count("the database is back") == 1
        assert await devnet.stop_pool() == 0
        _check_books(devnet)
        assert PASSWORD not in devnet.logs()


def _only_stale(rig: Rig) -> None:
    """A miner in the middle of an outage of the database: one share in sixteen is a block and makes others stale."""
    assert {refusal.code for refusal in rig.refused} <= {21} and len(rig.accepted) > 5 * len(rig.refused)


async def _reaches(devnet: Devnet, chain: str, height: int) -> None:
    async def there() -> bool:
        return bool(await devnet.rpc(chain, "getblockcount") >= height)

    await devnet.until(there, f"{chain} has block {height}")


async def test_devnet_two_pools_keep_one_database(make_devnet: Any, server: PostgresqlServer) -> None:
    with server.database() as url:
        devnet: Devnet = await make_devnet(edit=_edit(url))
        port, http_port = free_port(), free_port()

        def start_second() -> Any:
            return devnet.spawn_pool(
                "pool-second",
                pool__name="second",
                pool__data_dir=str(devnet.directory / "second"),
                http__bind=f"127.0.0.1:{http_port}",
                stratum__ports__0__bind=f"127.0.0.1:{port}",
            )

        async def second_rig() -> Rig:
            rig = Rig("127.0.0.1", port, f"{SECOND_MINER}.rig", "x")
            devnet.rigs.append(rig)
            await rig.connect()
            return rig

        second = start_second()
        await devnet.until(lambda: "pool started" in second.log_text(), "the second pool runs", 30)
        first_rig, other_rig = await devnet.rig(f"{MINER}.rig"), await second_rig()

        steps.info("blocks in turn")
        found = []
        for rig in (first_rig, other_rig, first_rig, other_rig):
            tip_hex = (await devnet.advance(PARENT))[0]
            await rig.job_where(lambda job, tip_hex=tip_hex: job.previous_hash[::-1].hex() == tip_hex)  # type: ignore[misc]
            block = await rig.share(devnet.target(PARENT))
            await devnet.in_state(PARENT, block.hash_hex, "immature")
            found.append(block.hash_hex)

        steps.info("both are killed while both store shares")
        async with streaming(first_rig, other_rig):
            await asyncio.sleep(STREAM_S)
            await asyncio.gather(devnet.kill_pool(), devnet.kill(second))
        second = start_second()
        await devnet.start_pool()
        await devnet.until(lambda: "pool started" in second.log_text(), "the second pool runs", 30)
        await _all_stored(devnet, first_rig, other_rig)
        await (await second_rig()).share()

        credited = {
            hash_hex: {credit["miner"] for credit in (await devnet.block(PARENT, hash_hex))["credits"]}
            for hash_hex in found
        }
        second.process.terminate()
        assert await devnet.exit_code_of(second) == 0
        assert await devnet.stop_pool() == 0
        _check_books(devnet)
        with devnet.database() as connection:
            logs, blocks = tables.share_logs.c, tables.blocks.c
            owners = select(blocks.hash_hex, logs.name).where(logs.id == blocks.log_id, blocks.chain == PARENT)
            names = dict(connection.execute(owners).all())
            both = select(logs.name, func.count()).where(logs.id == tables.shares.c.log_id)
            counts = dict(connection.execute(both.group_by(logs.name)).all())
        assert [names[hash_hex] for hash_hex in found] == ["devnet", "second"] * 2
        assert counts.keys() == {"devnet", "second"} and min(counts.values()) > 20
        assert sum(counts.values()) == len(_stored(devnet))
        for hash_hex in found:
            wanted = MINER if names[hash_hex] == "devnet" else SECOND_MINER
            assert credited[hash_hex] == {wanted}, "each pool's blocks are credited to its own miners"
