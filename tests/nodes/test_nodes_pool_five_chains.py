"""The whole pool on each real daemon with four auxiliary chains: one hash is a block of all five, and everyone is paid.

bcoin is a sha256d parent, litecoind a scrypt parent, and a litecoind above block 432 has MWEB active.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
from aux_nodes import CHAIN_IDS, CHILDREN, CONTEXTS, AuxNode
from node_daemons import PAYOUT_SCRIPT, RealNode
from npm_miner import mine_with_npm_client
from pool_worlds import PARENT, World, address_on, new_pool, shared_out
from spending import peg_in, spend_in_the_open, spend_without_wallet
from stored_blocks import first_of_block, paid_to, solved_from_node
from support.offers import Offers, parent_of
from support.real_pool import Miner, until

from chains.auxpow import proof as auxpow_proof
from chains.auxpow.commitment import AuxPowKind
from chains.mm2.commitment import Mm2Kind
from chains.mm2_proof import proof as mm2_proof
from chains.mm2_proof.tree import context_of
from chains.primitives.hashes import displayed
from chains.primitives.header import HEADER_SIZE
from chains.reference import mm2_rules

MAGIC = bytes.fromhex("fabe6d6d")
PARENTS = {"bcoin": "bcoin_node", "litecoind": "wallet_node", "litecoind-mweb": "mweb_node"}


def waiting_transactions(name: str, node: RealNode) -> tuple[str, ...]:
    """Transactions for the next block, on a tip for which nobody has asked a template yet."""
    if name == "bcoin":
        return (spend_without_wallet(node),)
    node.generate(1)
    if name == "litecoind":
        return spend_in_the_open(node), spend_in_the_open(node)
    peg_in(node)  # becomes part of the extension, and not of the block's list
    return (spend_in_the_open(node),)


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=list(PARENTS))
async def world(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    children: Callable[[str], dict[str, AuxNode]],
) -> AsyncIterator[World]:
    node: RealNode = request.getfixturevalue(PARENTS[request.param])
    waiting = waiting_transactions(request.param, node)
    own_children = children(node.network.pow_hash)
    async with new_pool(tmp_path_factory.mktemp(request.param), [node], own_children) as pool:
        await pool.in_tree((PARENT, *CHILDREN))
        yield World(node, pool, own_children, waiting)


def stored_proof(child: AuxNode, hash_hex: str) -> bytes:
    """The proof of an auxiliary block as the node keeps it behind the header."""
    return bytes.fromhex(child.call("getblockheader", hash_hex, False))[HEADER_SIZE:]


async def mine_on_all_chains(world: World, miner: Miner) -> tuple[str, Offers]:
    """A hash that all five chains take as a block: the parent's, and the auxiliary blocks as they were offered."""
    job, offers = await world.job_for_all(miner)
    parent_hex = await world.mine_block(miner, job)
    for name, child in world.children.items():
        hash_hex = offers.hash_hex(name)
        await world.pool.block(name, hash_hex, "immature")
        assert child.call("getbestblockhash") == hash_hex
        parent = parent_of(offers.templates[name], child.call("getblockheader", hash_hex, False))
        assert displayed(parent) == parent_hex
    return parent_hex, offers


async def test_nodes_pool_one_hash_is_a_block_of_five_chains(world: World) -> None:
    pool, node = world.pool, world.node
    address, alpha_address = address_on(node, 1), address_on(world.children["alpha"], 2)
    miner = await pool.miner(f"{address}+alpha={alpha_address}.rig")
    parent_hex, offers = await mine_on_all_chains(world, miner)
    assert node.call("getbestblockhash") == parent_hex

    # The block as the daemon stores it: both commitments, and the reward at the configured address.
    _, coinbase = first_of_block(node, parent_hex)
    assert coinbase.outputs[-1].script[:2] == b"\x6a\x28" and coinbase.lock_time == 0
    assert coinbase.inputs[0].script_sig.count(MAGIC) == 1
    parent = await pool.block(PARENT, parent_hex, "immature")
    paid = paid_to(node, parent_hex, PAYOUT_SCRIPT)
    assert paid == sum(output.amount_sat for output in coinbase.outputs)
    assert parent["reward"] == paid == shared_out(parent) > 0
    assert parent["height"] == node.call("getblockcount")
    assert parent["credits"] == [{"miner": address, "amount": paid - parent["fee"], "held": False}]

    for name, child in world.children.items():
        hash_hex = offers.hash_hex(name)
        block = await pool.block(name, hash_hex, "immature")
        assert block["reward"] == paid_to(child, hash_hex, child.script) == shared_out(block) > 0
        owner = (alpha_address, False) if name == "alpha" else (address, True)
        assert [(credit["miner"], credit["held"]) for credit in block["credits"]] == [owner]


async def test_nodes_pool_proofs_follow_from_the_stored_parent_block(world: World) -> None:
    miner = await world.pool.miner(f"{address_on(world.node, 3)}.rig")
    parent_hex, offers = await mine_on_all_chains(world, miner)
    templates, mm1, mm2 = offers.templates, offers.mm1, offers.mm2
    solved = solved_from_node(world.node, parent_hex)
    pow_name = world.node.network.pow_hash

    assert mm2.root is not None and solved.coinbase[-44:-12] == mm2.root
    for name in CONTEXTS:
        template, context = templates[name], context_of(name)
        wire = bytes.fromhex(Mm2Kind().assemble(solved, template, mm2.slots[name])["proof"])
        assert wire == stored_proof(world.children[name], displayed(template.aux_hash))
        ours = mm2_proof.parse(wire, context, template.aux_hash)
        assert mm2_proof.verify(ours, context, template.target, pow_name) == "ok"
        assert displayed(mm2_proof.parent_hash(ours)) == parent_hex
        theirs = mm2_rules.parse_proof(wire)
        assert mm2_rules.check_proof(theirs, context, template.aux_hash, template.target, pow_name) is None
        # A proof for another block leads to another parent, whose hash is chance.
        assert mm2_rules.check_proof(theirs, context, bytes(32), 2**200, pow_name) == "high-hash"

    assert mm1.script_sig in solved.coinbase
    for name, chain_id in CHAIN_IDS.items():
        template = templates[name]
        wire = bytes.fromhex(AuxPowKind().assemble(solved, template, mm1.slots[name])["auxpow"])
        assert wire == stored_proof(world.children[name], displayed(template.aux_hash))
        parsed = auxpow_proof.parse(wire)
        assert parsed.parent.serialize() == solved.header
        assert auxpow_proof.verify(parsed, template.aux_hash, chain_id, template.target, pow_name) == "ok"


async def test_nodes_pool_blocks_hold_the_transactions_of_the_daemon(world: World) -> None:
    """Those of the first template; with MWEB the extension too, whose HogEx stands last."""
    blocks = (await world.pool.get(f"blocks?chain={PARENT}&limit=200"))["items"]
    if not blocks:  # this test runs alone
        await world.mine_block(await world.pool.miner(address_on(world.node, 5)))
        blocks = (await world.pool.get(f"blocks?chain={PARENT}"))["items"]
    first = blocks[-1]
    txids = world.node.call("getblock", first["hash"], 1)["tx"]
    assert set(world.waiting) <= set(txids[1:])
    assert first["reward"] == paid_to(world.node, first["hash"], PAYOUT_SCRIPT)
    if "mweb" in world.pool.directory.name:
        block = world.node.call("getblock", first["hash"], 2)
        hogex = bytes.fromhex(block["tx"][-1]["hex"])
        assert hogex[4:6] == b"\x00\x08" and block["tx"][-1]["txid"] not in world.waiting
        assert len(block["mweb"]["kernels"]) == 1


async def next_tip(node: RealNode, before: str) -> str:
    """The daemon's best block, once it is another one."""

    async def other() -> str | None:
        best: str = node.call("getbestblockhash")
        return best if best != before else None

    return await until(other, "the daemon has a new tip")


async def test_nodes_pool_takes_a_client_that_is_not_ours(world: World) -> None:
    node, pool = world.node, world.pool
    address = address_on(node, 4)
    watcher = await pool.miner(address_on(node, 6))
    for round_number in range(2):
        before = node.call("getbestblockhash")
        await world.job_on_tip(watcher)
        events = await mine_with_npm_client(
            "127.0.0.1", pool.stratum_port, f"{address}.npm", "x", 1, node.network.pow_hash
        )
        assert [event["event"] for event in events].count("accepted") == 1

        best = await next_tip(node, before)
        assert node.call("getblockheader", best)["previousblockhash"] == before
        block = await pool.block(PARENT, best, "immature")
        assert address in {credit["miner"] for credit in block["credits"]}
        assert block["reward"] == shared_out(block) > 0, round_number
    view = await pool.get(f"miners/{address}")
    assert [worker["name"] for worker in view["workers"]] == ["npm"]
    assert {name for name, sums in view["balances"].items() if sums["immature"] + sums["held"] > 0} >= {PARENT}
