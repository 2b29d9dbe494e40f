"""Litecoin with MWEB active: the extension behind the transactions, the HogEx last, and BIP34 enforced."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
from block_making import KIND, block_payload, coinbase_for, wrong_height
from node_daemons import PAYOUT_SCRIPT, RealNode, start_litecoind

from chains.bitcoin.node import BitcoinNode
from chains.families import network
from chains.kind import SubmitAnswer, SubmitResult, TemplateError

MWEB_HEIGHT = 432
BIP34_HEIGHT = 500


@pytest.fixture(scope="module")
def mweb_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNode]:
    """A litecoind above its first MWEB block, which needs a peg-in: without one there is no template at 432."""
    node = start_litecoind(tmp_path_factory.mktemp("mweb"))
    try:
        node.call("createwallet", "w")
        node.call("generatetoaddress", MWEB_HEIGHT - 1 - node.call("getblockcount"), node.call("getnewaddress"))
        node.call("sendtoaddress", node.call("getnewaddress", "", "mweb"), "1")
        node.generate(1)
        yield node
    finally:
        node.stop()


@pytest.fixture
async def mweb_chain(mweb_node: RealNode) -> AsyncIterator[BitcoinNode]:
    node = BitcoinNode("parent", "litecoind", mweb_node.client(), PAYOUT_SCRIPT, mweb_node.network)
    yield node
    await node.close()


def spend_in_the_open(node: RealNode) -> None:
    """An ordinary transaction beside the HogEx: one mature coinbase to a new address."""
    coin = next(coin for coin in node.call("listunspent", 101) if coin["amount"] == 50)
    spend = [{"txid": coin["txid"], "vout": coin["vout"]}]
    raw = node.call("createrawtransaction", spend, [{node.call("getnewaddress"): "49.99"}])
    node.call("sendrawtransaction", node.call("signrawtransactionwithwallet", raw)["hex"])


async def test_nodes_mweb_block_carries_the_extension_behind_the_hogex(
    mweb_chain: BitcoinNode, mweb_node: RealNode
) -> None:
    spend_in_the_open(mweb_node)
    mweb_node.call("sendtoaddress", mweb_node.call("getnewaddress", "", "mweb"), "2.5")
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
