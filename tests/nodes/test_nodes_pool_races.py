"""Blocks of the pool that the real daemons' chains do not keep: lost races and reorganisations, in the books."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from block_making import block_payload, coinbase_for
from node_daemons import PAYOUT_SCRIPT, RealNode
from pool_worlds import PARENT, World, address_on, new_pool, shared_out
from support.real_pool import Miner, until

from chains.bitcoin.node import BitcoinNode
from chains.kind import ParentTemplate
from chains.primitives.hashes import displayed, from_displayed

STALE = 21


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=["litecoin_node", "bcoin_node"])
async def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A pool that mines nothing but its parent."""
    node: RealNode = request.getfixturevalue(request.param)
    async with new_pool(tmp_path_factory.mktemp("races"), [node]) as pool:
        yield World(node, pool, {})


async def lose_a_race(world: World, miner: Miner) -> tuple[str, str]:
    """Somebody's block comes first, and ours for the same height when the miner has heard of it; theirs and ours."""
    late_job = await world.job_on_tip(miner)
    (theirs,) = world.node.generate(1)
    await miner.job(lambda job: displayed(job.previous_hash) == theirs)
    submitted = await miner.send(late_job)
    assert submitted.error is not None and submitted.error.code == STALE
    assert world.node.call("getbestblockhash") == theirs
    return theirs, submitted.hash_hex


async def overtake(node: RealNode, template: ParentTemplate) -> list[str]:
    """Two empty blocks of somebody on the tip that the template stood on; their hashes."""
    chain_node = BitcoinNode(PARENT, node.name, node.client(), PAYOUT_SCRIPT, node.network)
    # Half of the subsidy is right on either side of a halving.
    template = replace(template, transactions=(), merkle_branch=(), value_sat=template.value_sat // 2)
    hashes: list[str] = []
    for _ in range(2):
        payload, hash_hex = block_payload(template, coinbase_for(template), node.network.pow_hash)
        await chain_node.submit(payload)
        hashes.append(hash_hex)
        template = replace(
            template,
            height=template.height + 1,
            previous_hash=from_displayed(hash_hex),
            current_time=template.current_time + 1,
        )
    await chain_node.close()
    return hashes


async def test_nodes_pool_lost_race_is_an_orphan_without_credits(world: World) -> None:
    """litecoind calls such a block inconclusive, bcoin says null as to any good one; the books ask the chain."""
    pool, address = world.pool, address_on(world.node, 5)
    miner = await pool.miner(f"{address}.late")
    _, ours = await lose_a_race(world, miner)
    block = await pool.block(PARENT, ours, "orphan")
    assert (block["reward"], block["fee"], block["credits"]) == (None, None, [])
    assert await pool.immature(address, PARENT) == 0
    result = {"litecoind": "result=inconclusive", "bcoin": "result=accepted"}[world.node.name]
    assert len(pool.log_lines("submitted", ours, result)) == 1

    # The chain goes on over the other block; nothing is left to pay.
    later = await world.mine_block(miner)
    assert (await pool.block(PARENT, later, "immature"))["height"] == block["height"] + 1
    assert (await pool.block(PARENT, ours, "orphan"))["credits"] == []


async def test_nodes_pool_block_that_is_overtaken_is_voided(world: World) -> None:
    """Credited first; then another branch of two blocks from the same place has more work."""
    pool, node = world.pool, world.node
    address = address_on(node, 6)
    miner = await pool.miner(f"{address}.rig")
    chain_node = BitcoinNode(PARENT, node.name, node.client(), PAYOUT_SCRIPT, node.network)
    template = await chain_node.template()
    await chain_node.close()
    before = await pool.immature(address, PARENT)
    ours = await world.mine_block(miner)
    credited = await pool.block(PARENT, ours, "immature")
    own = sum(credit["amount"] for credit in credited["credits"] if credit["miner"] == address)
    assert await pool.immature(address, PARENT) == before + own > 0

    theirs = await overtake(node, template)
    assert node.call("getbestblockhash") == theirs[-1]
    orphan = await pool.block(PARENT, ours, "orphan")
    assert (orphan["reward"], orphan["credits"]) == (credited["reward"], credited["credits"])
    assert await pool.immature(address, PARENT) == before
    later = await world.mine_block(miner)
    assert node.call("getblockheader", later)["previousblockhash"] == theirs[-1]


async def test_nodes_pool_late_block_that_wins_after_all_is_credited(litecoin_node: RealNode, tmp_path: Path) -> None:
    """The share was refused as late, and is paid because its block is the chain's."""
    async with new_pool(tmp_path, [litecoin_node]) as pool:
        world = World(litecoin_node, pool, {})
        address = address_on(litecoin_node, 7)
        miner = await pool.miner(f"{address}.late")
        theirs, ours = await lose_a_race(world, miner)
        await pool.block(PARENT, ours, "orphan")
        litecoin_node.call("invalidateblock", theirs)
        assert litecoin_node.call("getbestblockhash") == ours
        block = await pool.block(PARENT, ours, "immature")
        assert shared_out(block) == block["reward"] > 0
        assert [credit["miner"] for credit in block["credits"]] == [address]
        await world.mine_block(miner)


async def test_nodes_pool_two_blocks_deep_reorganisation_voids_and_reinstates(
    litecoin_node: RealNode, tmp_path: Path
) -> None:
    node = litecoin_node
    async with new_pool(tmp_path, [node]) as pool:
        world = World(node, pool, {})
        address = address_on(node, 8)
        miner = await pool.miner(f"{address}.rig")
        ours = [await world.mine_block(miner) for _ in range(3)]
        credited = {hash_hex: await pool.block(PARENT, hash_hex, "immature") for hash_hex in ours}
        paid = {hash_hex: block["reward"] - block["fee"] for hash_hex, block in credited.items()}
        assert await pool.immature(address, PARENT) == sum(paid.values())

        node.call("invalidateblock", ours[1])
        for hash_hex in ours[1:]:
            assert (await pool.block(PARENT, hash_hex, "orphan"))["reward"] == credited[hash_hex]["reward"]
        assert (await pool.block(PARENT, ours[0], "immature"))["credits"] == credited[ours[0]]["credits"]
        assert await pool.immature(address, PARENT) == paid[ours[0]]

        # The pool mines on where the chain ends now; that block loses its place when the others come back.
        between = await world.mine_block(miner)
        assert node.call("getblockheader", between)["previousblockhash"] == ours[0]
        node.call("reconsiderblock", ours[1])
        assert node.call("getbestblockhash") == ours[2]
        await pool.block(PARENT, between, "orphan")
        for hash_hex in ours[1:]:
            again = await pool.block(PARENT, hash_hex, "immature")
            fields = ("height", "reward", "fee", "credits")
            assert [again[key] for key in fields] == [credited[hash_hex][key] for key in fields]

        async def all_three_count() -> bool:
            return await pool.immature(address, PARENT) == sum(paid.values())

        await until(all_three_count, "all three blocks are credited again")
        assert len(pool.log_lines("block orphaned")) == 3
        assert len(pool.log_lines("block reinstated")) == 2

        # Deep enough, they are final: what was immature is there to be paid.
        for _ in range(4):
            await world.mine_block(miner)
        assert (await pool.block(PARENT, ours[1], "mature"))["credits"] == credited[ours[1]]["credits"]
        balances = (await pool.get(f"miners/{address}"))["balances"][PARENT]
        assert balances["available"] >= paid[ours[0]] + paid[ours[1]]
