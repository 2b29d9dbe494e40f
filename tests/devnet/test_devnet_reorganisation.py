"""Blocks that leave their chain lose their credits, blocks that come back have them again."""

from __future__ import annotations

from typing import Any

from support.devnet import PARENT, Devnet, steps
from support.rig import Rig

from chains.reference.wallet import address
from pool.storage.ledger_store import audit, chain_balances

MINER = address("miner", 0)


async def _two_parent_blocks(devnet: Devnet, rig: Rig) -> list[dict[str, Any]]:
    """Two blocks of ours in a row, nothing between them."""
    blocks = []
    for _ in range(2):
        job = await rig.job_on(await devnet.rpc(PARENT, "getbestblockhash"))
        found = await rig.find(devnet.target(PARENT), job=job)
        assert await rig.submit(found) is None
        blocks.append(await devnet.in_state(PARENT, found.hash_hex, "immature"))
    assert blocks[1]["height"] == blocks[0]["height"] + 1
    return blocks


async def _reorganised_and_back(devnet: Devnet, chain: str, blocks: list[dict[str, Any]]) -> list[str]:
    """Our last two blocks of a chain leave it and return; the branch that took their place."""
    kind = "immature" if chain == PARENT else "held"
    earned = await devnet.balance(MINER, chain)
    lost = sum(block["credits"][0]["amount"] for block in blocks)

    steps.info("reorganise %s by 2", chain)
    branch: list[str] = await devnet.rpc(chain, "devnet_reorganise", 2)
    for block in blocks:
        orphan = await devnet.in_state(chain, block["hash"], "orphan")
        assert orphan["credits"] == block["credits"], "a void credit is still listed"
    assert await devnet.balance(MINER, chain) == earned | {kind: earned[kind] - lost}
    with devnet.database() as connection:
        assert audit(connection) == []

    steps.info("the old branch of %s comes back", chain)
    await devnet.rpc(chain, "devnet_invalidate", branch[0])
    for block in blocks:
        again = await devnet.in_state(chain, block["hash"], "immature")
        assert again["credits"] == block["credits"] and again["reward"] == block["reward"]
    assert await devnet.balance(MINER, chain) == earned
    return branch


async def test_devnet_reorganisation_voids_credits_and_their_return_reinstates_them(make_devnet: Any) -> None:
    devnet: Devnet = await make_devnet()
    rig = await devnet.rig(f"{MINER}.rig")
    first, second = [(await devnet.solve_all(rig))[1] for _ in range(2)]
    for chain in ("regnmc", "alpha"):
        assert second[chain]["height"] == first[chain]["height"] + 1
        await _reorganised_and_back(devnet, chain, [first[chain], second[chain]])
        with devnet.database() as connection:
            assert sum(chain_balances(connection, chain).values()) > 0
    blocks = await _two_parent_blocks(devnet, rig)
    before = await devnet.balance(MINER, PARENT)
    branch = await _reorganised_and_back(devnet, PARENT, blocks)

    steps.info("the other branch wins for good, and the chain goes on")
    await devnet.rpc(PARENT, "devnet_reconsider", branch[0])
    for block in blocks:
        await devnet.in_state(PARENT, block["hash"], "orphan")
    assert await devnet.rpc(PARENT, "getbestblockhash") == branch[-1]
    _, fresh = await devnet.solve_all(rig)
    for chain, block in fresh.items():
        await devnet.advance(chain, 10)
        await devnet.in_state(chain, block["hash"], "mature")
    for earlier in (first, second):
        await devnet.in_state(PARENT, earlier[PARENT]["hash"], "mature")
    credited = [block["credits"][0]["amount"] for block in (first[PARENT], second[PARENT], fresh[PARENT])]
    assert (await devnet.balance(MINER, PARENT))["available"] == sum(credited)
    assert sum(credited[:2]) == before["immature"] - sum(block["credits"][0]["amount"] for block in blocks)
    assert (await devnet.api("/pool"))["chains"][PARENT]["blocks"]["orphan"] == 2
    with devnet.database() as connection:
        assert audit(connection) == []
