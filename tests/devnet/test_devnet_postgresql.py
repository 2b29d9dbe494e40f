"""The pool over PostgreSQL: kill -9, a database that goes away while miners mine, and two pools over one database."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import func, select
from support.devnet import CHAINS, PARENT, Devnet, steps
from support.ports import free_port
from support.postgresql import PostgresqlServer
from support.rig import Rig

from chains.reference.wallet import address
from pool.storage import tables
from pool.storage.ledger_store import audit

MINER, SECOND_MINER = address("miner", 0), address("other", 0)
STREAM_SHARES = 25  # of each miner while something happens to the database or the pool
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
    streams = [asyncio.ensure_future(rig.stream(stopped)) for rig in rigs]
    try:
        yield
    finally:
        stopped.set()
        await asyncio.gather(*streams)


async def _more_shares(devnet: Devnet, *rigs: Rig) -> None:
    before = [len(rig.accepted) for rig in rigs]

    def taken() -> bool:
        return all(len(rig.accepted) >= count + STREAM_SHARES for rig, count in zip(rigs, before, strict=True))

    await devnet.until(taken, "shares are being taken", every_s=0.01)


def _edit(url: str) -> Any:
    def edit(config: dict[str, Any]) -> None:
        config["pool"]["database_url"] = url

    return edit


def _stored(devnet: Devnet) -> list[bytes]:
    with devnet.database() as connection:
        return list(connection.execute(select(tables.shares.c.header_hash)).scalars())


async def _all_stored(devnet: Devnet, *rigs: Rig) -> None:
    answered = {header_hash for rig in rigs for header_hash in rig.accepted}
    await devnet.until(lambda: answered <= set(_stored(devnet)), f"the {len(answered)} answered shares are in SQL")


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
            await _more_shares(devnet, rig)
            await devnet.kill_pool()
        await devnet.start_pool()
        await _all_stored(devnet, rig)
        assert set(_stored(devnet)) - set(rig.accepted) <= {*rig.unanswered, *rig.late_solves}

        steps.info("PostgreSQL stops; miners go on, and a block of every chain is found")
        again = await devnet.rig(f"{MINER}.rig")
        await devnet.all_chains_mined()
        await devnet.until(_is_counted(devnet), "the books have read what was there at the start")
        job, offers = await devnet.full_job(again)
        found = await again.find(min(devnet.target(chain) for chain in CHAINS), job=job)
        await asyncio.to_thread(server.stop)
        assert await again.submit(found) is None
        await _is_on_the_chain(devnet, PARENT, found.hash_hex)
        for chain in offers.templates:
            await _is_on_the_chain(devnet, chain, offers.hash_hex(chain))
        async with streaming(again):
            await devnet.until(lambda: "the database is away, the books wait" in devnet.logs(), "the outage is told")
            await _more_shares(devnet, again)
        await asyncio.sleep(OUTAGE_S)
        status, text = await devnet.http("/api/v1/pool")
        assert status == 503 and "the books are away" in text
        await devnet.pool_answers()
        assert (await devnet.metric("consumer_lag_shares"))[""] >= STREAM_SHARES
        async with streaming(again):
            await asyncio.to_thread(server.start)
            await devnet.until(lambda: "the database is back" in devnet.logs(), "the books go on")
        await devnet.in_state(PARENT, found.hash_hex, "immature")
        await _all_stored(devnet, again)

        steps.info("PostgreSQL hangs: nobody notices")
        server.pause()
        async with streaming(again):
            await _more_shares(devnet, again)
        server.go_on()
        await _all_stored(devnet, again)
        assert devnet.logs().count("the database is away") == devnet.logs().count("the database is back") == 1
        assert await devnet.stop_pool() == 0
        _check_books(devnet)
        assert PASSWORD not in devnet.logs()


def _is_counted(devnet: Devnet) -> Callable[[], Awaitable[bool]]:
    async def counted() -> bool:
        return "" in await devnet.metric("consumer_lag_shares")

    return counted


async def _is_on_the_chain(devnet: Devnet, chain: str, hash_hex: str) -> None:
    async def there() -> bool:
        count = await devnet.rpc(chain, "getblockcount")
        return hash_hex in [await devnet.rpc(chain, "getblockhash", height) for height in range(count, -1, -1)]

    await devnet.until(there, f"{chain} has block {hash_hex}")


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
        await devnet.until(lambda: "pool started" in second.log_text(), "the second pool runs")
        first_rig, other_rig = await devnet.rig(f"{MINER}.rig"), await second_rig()

        steps.info("blocks in turn")
        found = []
        for rig in (first_rig, other_rig, first_rig, other_rig):
            (tip_hex,) = await devnet.advance(PARENT)
            block = await rig.find(devnet.target(PARENT), job=await rig.job_on(tip_hex))
            assert await rig.submit(block) is None
            await devnet.in_state(PARENT, block.hash_hex, "immature")
            found.append(block.hash_hex)

        steps.info("both are killed while both store shares")
        async with streaming(first_rig, other_rig):
            await _more_shares(devnet, first_rig, other_rig)
            await asyncio.gather(devnet.kill_pool(), devnet.kill(second))
        second = start_second()
        await devnet.start_pool()
        await devnet.until(lambda: "pool started" in second.log_text(), "the second pool runs")
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
