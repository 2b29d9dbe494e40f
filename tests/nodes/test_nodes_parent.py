"""Our bitcoin kind against real daemons: what they accept, how they refuse, and how each answer is classified."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from block_making import KIND, MM1_TAG, ROOT, block_payload, changed, coinbase_for, solve, without_witness, wrong_height
from node_daemons import PAYOUT_SCRIPT, RealNode

from chains.bitcoin.coinbase import Coinbase
from chains.bitcoin.node import BitcoinNode
from chains.families import network
from chains.kind import NodeState, ParentTemplate, SubmitAnswer, SubmitResult
from chains.node_rpc import NodeUnavailableError
from chains.primitives.transaction import TxOut, parse_transaction

BIP320_BITS = 0x1FFFE000


async def test_nodes_healthy_node_gives_a_template_that_we_can_mine(
    chain_node: BitcoinNode, real_node: RealNode
) -> None:
    health = await chain_node.health()
    template = await chain_node.template()
    assert health.state is NodeState.OK
    assert template.height == health.height + 1 == real_node.call("getblockcount") + 1
    assert template.previous_hash[::-1].hex() == real_node.call("getbestblockhash")
    assert template.witness_commitment is not None
    assert template.longpoll_id is not None
    assert "segwit" in template.rules
    assert (template.chain, template.node) == ("parent", real_node.name)


async def test_nodes_block_with_all_commitments_is_accepted_and_its_reward_read_back(
    chain_node: BitcoinNode, real_node: RealNode
) -> None:
    template = await chain_node.template()
    coinbase = coinbase_for(template)
    assert await chain_node.propose(KIND.proposal(coinbase, template)) is None
    payload, hash_hex = block_payload(template, coinbase, real_node.network.pow_hash)
    assert await chain_node.submit(payload) == SubmitAnswer(SubmitResult.ACCEPTED)

    assert real_node.call("getbestblockhash") == hash_hex
    status = await chain_node.block_status(hash_hex)
    assert (status.found, status.confirmations, status.height) == (True, 1, template.height)
    assert await chain_node.block_reward(hash_hex) == template.value_sat > 0

    mined = parse_transaction(coinbase)
    assert MM1_TAG in mined.inputs[0].script_sig
    assert mined.outputs[-1].script[:34] == bytes.fromhex("6a28") + ROOT


async def test_nodes_same_block_again_is_a_duplicate(chain_node: BitcoinNode, real_node: RealNode) -> None:
    template = await chain_node.template()
    payload, _ = block_payload(template, coinbase_for(template), real_node.network.pow_hash)
    await chain_node.submit(payload)
    assert await chain_node.submit(payload) == SubmitAnswer(SubmitResult.DUPLICATE, "duplicate")
    assert await chain_node.propose(payload) == {
        "litecoind": "duplicate",
        "bcoin": "inconclusive-not-best-prevblk",
    }[real_node.name]


async def test_nodes_lost_race_is_stored_off_the_main_chain(chain_node: BitcoinNode, real_node: RealNode) -> None:
    template = await chain_node.template()
    ours, our_hash_hex = block_payload(template, coinbase_for(template), real_node.network.pow_hash)
    theirs, their_hash_hex = block_payload(template, coinbase_for(template), real_node.network.pow_hash)
    assert (await chain_node.submit(theirs)).result is SubmitResult.ACCEPTED
    assert await chain_node.propose(ours) == "inconclusive-not-best-prevblk"

    answer = await chain_node.submit(ours)
    if real_node.name == "litecoind":
        assert answer == SubmitAnswer(SubmitResult.INCONCLUSIVE, "inconclusive")
    else:
        assert answer == SubmitAnswer(SubmitResult.ACCEPTED)  # bcoin says null: only the status tells
    status = await chain_node.block_status(our_hash_hex)
    assert status.found and status.confirmations < 0
    assert (await chain_node.block_status(their_hash_hex)).confirmations == 1


async def test_nodes_block_without_proof_of_work_is_a_good_proposal_and_no_block(
    chain_node: BitcoinNode, real_node: RealNode
) -> None:
    template = await chain_node.template()
    unsolved = solve(template, coinbase_for(template), real_node.network.pow_hash, proof_of_work=False)
    payload = KIND.assemble(unsolved, template)
    assert await chain_node.propose(payload) is None
    assert await chain_node.submit(payload) == SubmitAnswer(SubmitResult.REJECTED, "high-hash")
    assert real_node.call("getblockcount") == template.height - 1


def _value_plus_one(template: ParentTemplate, coinbase: bytes) -> bytes:
    payout, *others = parse_transaction(coinbase).outputs
    return changed(coinbase, outputs=(replace(payout, amount_sat=payout.amount_sat + 1), *others))


def _wrong_commitment(template: ParentTemplate, coinbase: bytes) -> bytes:
    payout, _commitment, *others = parse_transaction(coinbase).outputs
    return changed(coinbase, outputs=(payout, TxOut(0, bytes.fromhex("6a24aa21a9ed") + bytes(32)), *others))


def _script_sig_too_long(template: ParentTemplate, coinbase: bytes) -> bytes:
    spend = parse_transaction(coinbase).inputs[0]
    return changed(coinbase, inputs=(replace(spend, script_sig=spend.script_sig.ljust(101, b"\x00")),))


def _lock_time(template: ParentTemplate, coinbase: bytes) -> bytes:
    spend = parse_transaction(coinbase).inputs[0]
    late = Coinbase(coinbase[:-12], struct.pack("<I", template.height)).stripped(coinbase[-12:-4])
    return changed(late, inputs=(replace(spend, sequence=0),))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_value_plus_one, "bad-cb-amount"),
        (_wrong_commitment, "bad-witness-merkle-match"),
        (_script_sig_too_long, "bad-cb-length"),
        (_lock_time, "bad-txns-nonfinal"),
    ],
)
async def test_nodes_wrong_coinbase_is_refused_with_its_reason(
    chain_node: BitcoinNode, real_node: RealNode, spoil: Callable[[ParentTemplate, bytes], bytes], reason: str
) -> None:
    template = await chain_node.template()
    payload, hash_hex = block_payload(template, spoil(template, coinbase_for(template)), real_node.network.pow_hash)
    assert await chain_node.propose(payload) == reason
    answer = await chain_node.submit(payload)
    assert answer == SubmitAnswer(SubmitResult.REJECTED, reason)
    again = await chain_node.submit(payload)
    assert again.result in (SubmitResult.REJECTED, SubmitResult.DUPLICATE)
    assert again.reason in (reason, "duplicate-invalid", "duplicate")
    assert real_node.call("getbestblockhash") != hash_hex


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda template: replace(template, bits=template.bits - 1), "bad-diffbits"),
        (lambda template: replace(template, current_time=template.minimum_time - 1), "time-too-old"),
        (lambda template: replace(template, current_time=int(time.time()) + 3 * 3600), "time-too-new"),
        (lambda template: replace(template, merkle_branch=(bytes(32),)), "bad-txnmrklroot"),
    ],
    ids=["bits", "old", "new", "root"],
)
async def test_nodes_wrong_header_is_refused_with_its_reason(
    chain_node: BitcoinNode, real_node: RealNode, spoil: Callable[[ParentTemplate], ParentTemplate], reason: str
) -> None:
    template = await chain_node.template()
    spoilt = spoil(template)
    payload, hash_hex = block_payload(spoilt, coinbase_for(spoilt), real_node.network.pow_hash)
    assert await chain_node.propose(payload) == reason
    assert await chain_node.submit(payload) == SubmitAnswer(SubmitResult.REJECTED, reason)
    assert not (await chain_node.block_status(hash_hex)).found
    assert real_node.call("getblockcount") == template.height - 1


async def test_nodes_wrong_reserved_value_is_refused(chain_node: BitcoinNode, real_node: RealNode) -> None:
    """The commitment counts with the coinbase's witness of 32 zero bytes only."""
    template = await chain_node.template()
    payload, _ = block_payload(template, coinbase_for(template), real_node.network.pow_hash)
    right, wrong = "0120" + "00" * 32, "0120" + "01" * 32
    assert payload["block"].count(right) == 1
    spoilt = {"block": payload["block"].replace(right, wrong)}
    assert await chain_node.propose(spoilt) == "bad-witness-merkle-match"
    assert await chain_node.submit(spoilt) == SubmitAnswer(SubmitResult.REJECTED, "bad-witness-merkle-match")
    # The header is good all the same: the right bytes under the same hash are taken.
    assert await chain_node.submit(payload) == SubmitAnswer(SubmitResult.ACCEPTED)


async def test_nodes_wrong_height_is_refused_on_bcoin(bcoin_node: RealNode) -> None:
    """litecoind asks for the height only from block 500 of its regtest: test_nodes_mweb.py."""
    node = BitcoinNode("parent", "bcoin", bcoin_node.client(), PAYOUT_SCRIPT, bcoin_node.network)
    template = await node.template()
    payload, _ = block_payload(template, wrong_height(template), "sha256d")
    assert await node.propose(payload) == "bad-cb-height"
    assert await node.submit(payload) == SubmitAnswer(SubmitResult.REJECTED, "bad-cb-height")
    await node.close()


async def test_nodes_missing_witness_is_refused_as_proposal_and_repaired_on_submit(
    chain_node: BitcoinNode, real_node: RealNode
) -> None:
    template = await chain_node.template()
    payload = without_witness(template, solve(template, coinbase_for(template), real_node.network.pow_hash))
    assert await chain_node.propose(payload) == "bad-witness-nonce-size"
    assert await chain_node.submit(payload) == SubmitAnswer(SubmitResult.ACCEPTED)
    assert real_node.call("getblockcount") == template.height


async def test_nodes_all_rolled_version_bits_are_accepted(chain_node: BitcoinNode, real_node: RealNode) -> None:
    template = await chain_node.template()
    rolled = replace(template, version=template.version | BIP320_BITS)
    payload, hash_hex = block_payload(rolled, coinbase_for(rolled), real_node.network.pow_hash)
    assert (await chain_node.submit(payload)).result is SubmitResult.ACCEPTED
    assert real_node.call("getbestblockhash") == hash_hex


async def test_nodes_bytes_that_are_no_block_are_refused(chain_node: BitcoinNode) -> None:
    answer = await chain_node.submit({"block": "zz"})
    assert answer.result is SubmitResult.REJECTED and answer.reason
    refusal = await chain_node.propose({"block": "00"})
    assert refusal


async def test_nodes_unknown_block_is_not_found(chain_node: BitcoinNode) -> None:
    assert not (await chain_node.block_status("00" * 31 + "01")).found
    with pytest.raises(NodeUnavailableError, match="getblock"):
        await chain_node.block_reward("00" * 31 + "01")


async def test_nodes_long_poll_returns_at_a_new_tip(chain_node: BitcoinNode, real_node: RealNode) -> None:
    template = await chain_node.template()
    poll = asyncio.create_task(chain_node.template(template.longpoll_id))
    await asyncio.sleep(0.2)
    assert not poll.done()
    payload, _ = block_payload(template, coinbase_for(template), real_node.network.pow_hash)
    await chain_node.submit(payload)
    newer = await asyncio.wait_for(poll, 30)  # of the minute after which it returns anyway
    assert newer.height == template.height + 1


async def test_nodes_other_network_is_told_from_ours(real_node: RealNode) -> None:
    mainnet = BitcoinNode("parent", "n", real_node.client(), b"", network("bitcoin", "main"))
    health = await mainnet.health()
    assert (health.state, health.detail) == (NodeState.WRONG_NETWORK, "chain is 'regtest', not 'main'")
    await mainnet.close()
