"""Two litecoinds behind one parent: the pool goes on with the second while the first is away, and returns to it."""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from node_daemons import LitecoinPair, RealNode, start_litecoin_pair
from pool_worlds import PARENT, World, address_on, new_pool
from support.real_pool import Miner, RealPool, until

# An answered outage is noticed at once, one that hangs by the health check: every 2 s, 3 s until it counts. More is a
# busy machine's part; a pool that only waits for the hanging long poll to end needs a minute.
FAILOVER_S = 40.0
RETURN_S = 120.0


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LitecoinPair]:
    nodes = start_litecoin_pair(tmp_path_factory.mktemp("pair"))
    yield nodes
    nodes.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def world(pair: LitecoinPair, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with new_pool(tmp_path_factory.mktemp("pool"), [pair.first, pair.second]) as pool:
        yield World(pair.second, pool, {})


async def both_have(pair: LitecoinPair, hash_hex: str) -> None:
    async def found() -> bool:
        return all(node.call("getbestblockhash") == hash_hex for node in (pair.first, pair.second))

    await until(found, f"both nodes have block {hash_hex}")


async def takes_blocks(node: RealNode, before: int) -> None:
    async def taken() -> bool:
        return node.calls_taken("submitblock") > before

    await until(taken, f"a block was submitted to {node.name}")


async def node_is_told(pool: RealPool, what: str) -> None:
    async def told() -> bool:
        return told_of(pool, 0)[-1:] == [what]

    await until(told, f"the first node is told to be {what}", RETURN_S)


def told_of(pool: RealPool, index: int) -> list[str]:
    """The words away and back as the log has them of this node, in order."""
    lines = pool.log_lines("parapool.node node is ", f" node={PARENT}[{index}]")
    return [word for line in lines for word in ("away", "back") if f"node is {word}" in line]


async def first_gives_templates(pair: LitecoinPair, world: World, miner: Miner) -> str:
    """Work comes from the preferred node again: the block's new tip makes the pool ask it, and not only the second. A
    return without a new block proves nothing, because its calls may be over before this looks, and a long poll that
    waits on a quiet node makes no more. Returns the block."""
    before = pair.first.calls_taken("getblocktemplate")
    found = await world.mine_block(miner)

    async def asked() -> bool:
        return pair.first.calls_taken("getblocktemplate") > before

    await until(asked, "the first node is asked for work", RETURN_S)
    return found


async def go_on_alone(world: World, miner: Miner) -> list[str]:
    """Two blocks with the second node only: one on the job that miners have, one that needs a new template of it."""
    stopped_s = time.monotonic()
    hashes = [await world.extend(miner) for _ in range(2)]
    assert time.monotonic() - stopped_s < FAILOVER_S
    for hash_hex in hashes:
        await world.pool.block(PARENT, hash_hex, "immature")
    return hashes


async def test_nodes_pool_goes_on_with_the_second_node_and_returns_to_the_first(
    pair: LitecoinPair, world: World
) -> None:
    pool = world.pool
    miner = await pool.miner(f"{address_on(pair.first, 1)}.rig")
    submissions = [node.calls_taken("submitblock") for node in (pair.first, pair.second)]
    found = await world.mine_block(miner)
    await both_have(pair, found)
    for node, before in zip((pair.first, pair.second), submissions, strict=True):
        await takes_blocks(node, before)

    pair.first.stop()
    alone = await go_on_alone(world, miner)
    await node_is_told(pool, "away")

    pair.first.start_again()
    await both_have(pair, alone[-1])
    await node_is_told(pool, "back")
    before = pair.first.calls_taken("submitblock")
    found = await first_gives_templates(pair, world, miner)
    await takes_blocks(pair.first, before)
    await both_have(pair, found)
    assert told_of(pool, 0)
    for told in (told_of(pool, 0), told_of(pool, 1)):
        assert told == ["away", "back"] * (len(told) // 2), "each change is told once"
    assert not pool.log_lines("chain leaves")


async def test_nodes_pool_leaves_a_node_that_hangs(pair: LitecoinPair, world: World) -> None:
    pool = world.pool
    miner = await pool.miner(f"{address_on(pair.first, 2)}.rig")
    await both_have(pair, await world.mine_block(miner))
    pair.first.processes[0].process.send_signal(signal.SIGSTOP)
    try:
        alone = await go_on_alone(world, miner)
    finally:
        pair.first.processes[0].process.send_signal(signal.SIGCONT)
    await both_have(pair, alone[-1])
    await both_have(pair, await first_gives_templates(pair, world, miner))
    told = [line.split(" chain=")[0].split()[-1] for line in pool.log_lines("parapool.chain node", f"node={PARENT}[0]")]
    troubles = told.count("down")
    assert troubles > 0 and told == ["ok", *["down", "ok"] * troubles], "each change is told once"
    assert not pool.log_lines("chain leaves")
