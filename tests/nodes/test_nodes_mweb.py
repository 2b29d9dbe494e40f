"""Litecoin with MWEB active: the extension behind the transactions, the HogEx last, and BIP34 enforced."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from block_making import KIND, block_payload, coinbase_for, wrong_height
from node_daemons import PAYOUT_SCRIPT, RealNode
from spending import peg_in, spend_in_the_open

from chains.bitcoin.node import BitcoinNode
from chains.families import network
from chains.kind import SubmitAnswer, SubmitResult, TemplateError

BIP34_HEIGHT = 500


@pytest.fixture
async def mweb_chain(mweb_node: RealNode) -> AsyncIterator[BitcoinNode]:
    node = BitcoinNode("parent", "litecoind", mweb_node.client(), PAYOUT_SCRIPT, mweb_node.network)
    yield node
    await node.close()


async def test_nodes_mweb_block_carries_the_extension_behind_the_hogex(
    mweb_chain: BitcoinNode, mweb_node: RealNode
) -> None:
    mweb_node.generate(1)  # on a tip for which nobody has asked a template yet, so that it is none of before
    spend_in_the_open(mweb_node)
    peg_in(mweb_node)
    template = await mweb_chain.template()
    assert "mweb" in template.rules
    assert template.extension.startswith(b"\x01") and len(template.extension) > 1
    assert len(template.transactions) >= 2
    assert template.transactions[-1].data[4:6] == b"\x00\x08"

    coinbase = coinbase_for(template)
    assert await mweb_chain.propose(KIND.proposal(coinbase, template)) is None
    payload, hash_hex = block_payload(template, coinbase, "scrypt")
    assert await mweb_chain.submit(payload) == SubmitAnswer(SubmitResult.ACCEPTED)
    assert mweb_node.call("getbestblockhash") == hash_hex
    assert await mweb_chain.block_reward(hash_hex) == template.value_sat
    block = mweb_node.call("getblock", hash_hex, 2)
    assert block["tx"][-1]["txid"] == template.transactions[-1].txid[::-1].hex()


async def test_nodes_mweb_block_without_its_extension_is_refused(mweb_chain: BitcoinNode) -> None:
    template = await mweb_chain.template()
    payload, _ = block_payload(replace(template, extension=b""), coinbase_for(template), "scrypt")
    assert (await mweb_chain.submit(payload)).result is SubmitResult.REJECTED
    assert await mweb_chain.propose(payload) is not None


async def test_nodes_mweb_template_is_refused_by_a_network_without_mweb(
    mweb_chain: BitcoinNode, mweb_node: RealNode
) -> None:
    plain = BitcoinNode("parent", "n", mweb_node.client(), PAYOUT_SCRIPT, network("bitcoin", "regtest"))
    with pytest.raises(TemplateError, match="mweb"):
        await plain.template()
    await plain.close()


async def test_nodes_wrong_height_is_refused_on_litecoind(mweb_chain: BitcoinNode, mweb_node: RealNode) -> None:
    mweb_node.generate(max(0, BIP34_HEIGHT - mweb_node.call("getblockcount")))
    template = await mweb_chain.template()
    payload, _ = block_payload(template, wrong_height(template), "scrypt")
    assert await mweb_chain.propose(payload) == "bad-cb-height"
    assert await mweb_chain.submit(payload) == SubmitAnswer(SubmitResult.REJECTED, "bad-cb-height")
