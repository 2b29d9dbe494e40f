"""kill -9 of the pool at the worst moments: nothing answered is lost, nothing is counted twice, solves go out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy import func, select
from support.devnet import CHAINS, PARENT, RARE_BITS, Devnet, steps
from support.rig import Found, Rig

from chains.reference.wallet import address
from pool.storage import tables
from pool.storage.ledger_store import audit

MINERS = 4
KILLS = 2
HANG_S = 600  # longer than the test: what a hanging node was sent before the kill never arrives
STREAM_SHARES = 15  # of each miner, before the pool is killed in the middle of more
NO_BLOCKS = dict.fromkeys(CHAINS, RARE_BITS)


def _stored(devnet: Devnet) -> list[bytes]:
    with devnet.database() as connection:
        return list(connection.execute(select(tables.shares.c.header_hash)).scalars())


def _all_accepted(rigs: Sequence[Rig], count: int) -> bool:
    return all(len(rig.accepted) >= count for rig in rigs)


async def _consumed(devnet: Devnet) -> None:
    async def nothing_waits() -> bool:
        return await devnet.metric("consumer_lag_shares") == {"": 0}

    await devnet.until(nothing_waits, "every durable share is in SQL")


async def test_devnet_kill_in_the_middle_of_shares_loses_none_and_counts_none_twice(make_devnet: Any) -> None:
    devnet: Devnet = await make_devnet(bits=NO_BLOCKS)
    login = f"{address('miner', 0)}.rig"
    rigs: list[Rig] = []
    kept: Found | None = None
    for _ in range(KILLS):
        present = [await devnet.rig(f"{login}{number}") for number in range(MINERS)]
        rigs += present
        kept = await present[0].share()
        streams = [asyncio.ensure_future(rig.stream()) for rig in present]
        under_way = partial(_all_accepted, present, STREAM_SHARES)
        await devnet.until(under_way, "every miner's shares are being taken", every_s=0.01)
        await devnet.kill_pool()
        await asyncio.gather(*streams)
        await devnet.start_pool()
    await _consumed(devnet)

    answered = [header_hash for rig in rigs for header_hash in rig.accepted]
    in_flight = {header_hash for rig in rigs for header_hash in rig.unanswered}
    stored = _stored(devnet)
    steps.info("%d shares answered, %d in flight, %d in SQL", len(answered), len(in_flight), len(stored))
    assert len(answered) == len(set(answered)) > 100
    assert len(stored) == len(set(stored))
    assert set(answered) <= set(stored), "an answered share is lost"
    assert set(stored) - set(answered) <= in_flight, "a share that nobody sent"
    assert [rig.refused for rig in rigs if rig.refused] == []

    steps.info("a share sent again after the restart is not counted again")
    assert kept is not None
    again = await devnet.rig(f"{login}0")
    refusal = await again.submit(kept)
    assert refusal is not None and refusal.code in (21, 22)
    await _consumed(devnet)
    assert sorted(_stored(devnet)) == sorted(stored)
    with devnet.database() as connection:
        weights = connection.execute(select(func.sum(tables.shares.c.weight))).scalar_one()
    assert weights == 256 * len(stored)


async def test_devnet_kill_before_a_block_arrived_resumes_its_submission(make_devnet: Any) -> None:
    devnet: Devnet = await make_devnet()
    winner, other = address("winner", 0), address("other", 0)
    offers = await devnet.offers()
    await (await devnet.rig(f"{other}.rig")).share(above=devnet.target(PARENT), where=offers.held_by)
    rig = await devnet.rig(f"{winner}.rig")
    await devnet.all_chains_mined()
    job, offers = await devnet.full_job(rig)
    found = await rig.find(devnet.target(PARENT), job=job)
    heights = {chain: await devnet.rpc(chain, "getblockcount") for chain in CHAINS}
    for held_up in (PARENT, "regdoge", "alpha"):
        await devnet.fault(held_up, hang_s=HANG_S)
    assert await rig.submit(found) is None
    open_folder = devnet.data_dir / "solutions" / "open"

    async def arrived() -> bool:
        return all([await devnet.rpc(chain, "getblockcount") > heights[chain] for chain in ("regnmc", "beta")])

    def hanging() -> bool:
        return {path.name.rsplit("-", 1)[0] for path in open_folder.glob("*.json")} == {"alpha", "regbtc", "regdoge"}

    await devnet.until(arrived, "two blocks have arrived")
    await devnet.until(hanging, "three submissions hang")
    await devnet.kill_pool()
    assert await _heights_without_faults(devnet) == heights | {
        chain: heights[chain] + 1 for chain in ("regnmc", "beta")
    }
    await devnet.start_pool()

    hashes = {PARENT: found.hash_hex} | {chain: offers.hash_hex(chain) for chain in offers.templates}
    for chain in CHAINS:
        steps.info("the block of %s is there, once, and credited", chain)
        (block,) = await devnet.until(partial(devnet.blocks, chain), f"a block of {chain}")
        assert block["hash"] == hashes[chain]
        block = await devnet.in_state(chain, hashes[chain], "immature")
        assert block["height"] == heights[chain] + 1
        assert await devnet.rpc(chain, "getbestblockhash") == block["hash"]
        assert sum(credit["amount"] for credit in block["credits"]) + block["fee"] == block["reward"]
        half = (block["reward"] - block["fee"]) // 2
        assert {c["miner"]: c["amount"] for c in block["credits"]} == {winner: half, other: half}
    assert "resumed=3" in devnet.logs()
    assert found.header_hash in _stored(devnet)
    with devnet.database() as connection:
        assert audit(connection) == []
        counts = connection.execute(select(tables.blocks.c.chain, func.count()).group_by(tables.blocks.c.chain)).all()
    assert {row[0]: row[1] for row in counts} == dict.fromkeys(CHAINS, 1)
    await devnet.until(lambda: not list(open_folder.iterdir()), "no submission is open")


async def _heights_without_faults(devnet: Devnet) -> dict[str, int]:
    for chain in CHAINS:
        await devnet.fault(chain, hang_s=0)
    return {chain: await devnet.rpc(chain, "getblockcount") for chain in CHAINS}
