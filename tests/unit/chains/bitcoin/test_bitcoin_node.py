from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chains.bitcoin.block import block_bytes
from chains.bitcoin.coinbase import build_coinbase
from chains.bitcoin.node import BitcoinNode
from chains.bitcoin.params import LONG_POLL_TIMEOUT_S
from chains.bitcoin.template import parse_template
from chains.families import network
from chains.kind import BlockStatus, Health, NodeState, ParentNode, SubmitAnswer, SubmitResult, TemplateError
from chains.node_rpc import Decode, NodeTimeoutError, NodeUnavailableError, RpcError
from chains.primitives.hashes import displayed, sha256d

FIXTURES = Path(__file__).parents[3] / "fixtures" / "namecoin-regtest"
GBT = json.loads((FIXTURES / "getblocktemplate.json").read_text())["response"]["result"]
INFO = json.loads((FIXTURES / "getblockchaininfo.json").read_text())["response"]["result"]
PAYOUT = bytes.fromhex("0014") + bytes(range(20))
HASH = "00" * 31 + "aa"


class InTurn(list[Any]):
    """Answers that are given one after the other."""


class ScriptedRpc:
    """A node whose answers are written down: by method a value or an exception, or several of them in turn."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.calls: list[tuple[str, tuple[Any, ...], float | None]] = []

    async def call(
        self, method: str, *params: Any, timeout_s: float | None = None, decode: Decode | None = None
    ) -> Any:
        self.calls.append((method, params, timeout_s))
        answer = self.answers[method]
        if isinstance(answer, InTurn):
            answer = answer.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        self.answers = {}


def node_of(rpc: ScriptedRpc, family: str = "bitcoin", name: str = "regtest") -> BitcoinNode:
    return BitcoinNode("regbtc", "n1", rpc, PAYOUT, network(family, name))  # type: ignore[arg-type]


def test_bitcoin_node_is_a_parent_node() -> None:
    assert isinstance(node_of(ScriptedRpc()), ParentNode)


@pytest.mark.parametrize(
    ("changes", "name", "health"),
    [
        ({}, "regtest", Health(NodeState.OK, 152)),
        ({"chain": "main"}, "main", Health(NodeState.OK, 152)),
        ({"chain": "main"}, "regtest", Health(NodeState.WRONG_NETWORK, 152, "chain is 'main', not 'regtest'")),
        ({"chain": None}, "regtest", Health(NodeState.WRONG_NETWORK, 152, "chain is 'None', not 'regtest'")),
        ({"initialblockdownload": True}, "regtest", Health(NodeState.OK, 152)),
        (
            {"chain": "main", "initialblockdownload": True},
            "main",
            Health(NodeState.SYNCING, 152, "initial block download"),
        ),
        ({"headers": 155}, "regtest", Health(NodeState.OK, 152)),
        ({"headers": 156}, "regtest", Health(NodeState.SYNCING, 152, "4 blocks behind its headers")),
    ],
)
async def test_bitcoin_node_health(changes: dict[str, Any], name: str, health: Health) -> None:
    assert await node_of(ScriptedRpc(getblockchaininfo={**INFO, **changes}), name=name).health() == health


@pytest.mark.parametrize("info", [None, [], {"blocks": "152"}, {"blocks": True}, {}, RpcError(-32601, "no")])
async def test_bitcoin_node_health_of_a_node_that_talks_nonsense_is_an_outage(info: Any) -> None:
    with pytest.raises(NodeUnavailableError, match="getblockchaininfo"):
        await node_of(ScriptedRpc(getblockchaininfo=info)).health()


@pytest.mark.parametrize("code", [-9, -10])
async def test_bitcoin_node_that_gives_no_template_yet_is_syncing_until_it_does(code: int) -> None:
    rpc = ScriptedRpc(getblockchaininfo=INFO, getblocktemplate=RpcError(code, "is downloading blocks..."))
    node = node_of(rpc)
    with pytest.raises(NodeUnavailableError, match="downloading"):
        await node.template()
    assert await node.health() == Health(NodeState.SYNCING, 152, "is downloading blocks...")
    rpc.answers["getblocktemplate"] = GBT
    assert await node.health() == Health(NodeState.OK, 152)
    assert (await node.template()).height == 153


async def test_bitcoin_node_template_is_asked_with_the_networks_rules() -> None:
    rpc = ScriptedRpc(getblocktemplate=GBT)
    template = await node_of(rpc, "litecoin").template()
    assert (template.chain, template.node) == ("regbtc", "n1")
    method, (request,), timeout_s = rpc.calls[0]
    assert (method, request["rules"], timeout_s) == ("getblocktemplate", ["mweb", "segwit"], None)
    assert "longpollid" not in request


async def test_bitcoin_node_long_poll_waits_long_and_then_asks_afresh() -> None:
    rpc = ScriptedRpc(getblocktemplate=InTurn([NodeTimeoutError("no answer"), GBT]))
    assert (await node_of(rpc).template("tip1")).height == 153
    assert [(call[1][0].get("longpollid"), call[2]) for call in rpc.calls] == [
        ("tip1", LONG_POLL_TIMEOUT_S),
        (None, None),
    ]


async def test_bitcoin_node_template_failures_are_told_apart() -> None:
    with pytest.raises(TemplateError, match="the node gives no template: bad-txns-vin-empty"):
        await node_of(ScriptedRpc(getblocktemplate=RpcError(-1, "bad-txns-vin-empty"))).template()
    with pytest.raises(TemplateError, match="height"):
        await node_of(ScriptedRpc(getblocktemplate={**GBT, "height": None})).template()
    with pytest.raises(NodeTimeoutError):
        await node_of(ScriptedRpc(getblocktemplate=NodeTimeoutError("no answer"))).template()


SUBMIT_ANSWERS = [
    (None, SubmitResult.ACCEPTED, ""),
    ("duplicate", SubmitResult.DUPLICATE, "duplicate"),
    ("rejected: duplicate", SubmitResult.DUPLICATE, "duplicate"),
    ("inconclusive", SubmitResult.INCONCLUSIVE, "inconclusive"),
    ("duplicate-inconclusive", SubmitResult.INCONCLUSIVE, "duplicate-inconclusive"),
    ("inconclusive-not-best-prevblk", SubmitResult.INCONCLUSIVE, "inconclusive-not-best-prevblk"),
    ("duplicate-invalid", SubmitResult.REJECTED, "duplicate-invalid"),
    ("high-hash", SubmitResult.REJECTED, "high-hash"),
    ("rejected: high-hash", SubmitResult.REJECTED, "high-hash"),
    ("bad-cb-height", SubmitResult.REJECTED, "bad-cb-height"),
    ("rejected: bad-cb-amount", SubmitResult.REJECTED, "bad-cb-amount"),
    ("rejected", SubmitResult.REJECTED, "rejected"),
    ("", SubmitResult.REJECTED, "rejected"),
    ("a\nb", SubmitResult.REJECTED, "a b"),
    (RpcError(-22, "Block decode failed"), SubmitResult.REJECTED, "Block decode failed (-22)"),
    (RpcError(-3, "Invalid block hex."), SubmitResult.REJECTED, "Invalid block hex. (-3)"),
]


@pytest.mark.parametrize(("answer", "result", "reason"), SUBMIT_ANSWERS)
async def test_bitcoin_node_submit_classifies_every_answer(answer: Any, result: SubmitResult, reason: str) -> None:
    rpc = ScriptedRpc(submitblock=answer)
    assert await node_of(rpc).submit({"block": "00"}) == SubmitAnswer(result, reason)
    assert rpc.calls[0][:2] == ("submitblock", ("00",))


@pytest.mark.parametrize("code", [-7, -9, -10, -20, -32601, -32603])
async def test_bitcoin_node_submit_error_about_the_node_is_an_outage_and_tried_again(code: int) -> None:
    with pytest.raises(NodeUnavailableError, match="submitblock"):
        await node_of(ScriptedRpc(submitblock=RpcError(code, "not now"))).submit({"block": "00"})


@pytest.mark.parametrize("answer", [True, 5, {}, ["x"]])
async def test_bitcoin_node_submit_answer_of_another_type_is_an_outage(answer: Any) -> None:
    with pytest.raises(NodeUnavailableError, match="no reason"):
        await node_of(ScriptedRpc(submitblock=answer)).submit({"block": "00"})


async def test_bitcoin_node_propose() -> None:
    rpc = ScriptedRpc(
        getblocktemplate=InTurn(
            [None, "bad-cb-amount", "rejected: bad-cb-height", RpcError(-22, "Block decode failed")]
        )
    )
    node = node_of(rpc)
    assert await node.propose({"block": "00"}) is None
    assert await node.propose({"block": "00"}) == "bad-cb-amount"
    assert await node.propose({"block": "00"}) == "bad-cb-height"
    assert await node.propose({"block": "00"}) == "Block decode failed (-22)"
    assert rpc.calls[0][1] == ({"mode": "proposal", "data": "00", "rules": ["segwit"]},)
    with pytest.raises(NodeUnavailableError):
        await node_of(ScriptedRpc(getblocktemplate=RpcError(-10, "syncing"))).propose({"block": "00"})
    with pytest.raises(RpcError, match="Invalid mode"):
        await node_of(ScriptedRpc(getblocktemplate=RpcError(-8, "Invalid mode"))).propose({"block": "00"})


@pytest.mark.parametrize(
    ("header", "hash_at_height", "status"),
    [
        ({"confirmations": 3, "height": 7}, HASH, BlockStatus(True, 3, 7)),
        ({"confirmations": -1, "height": 7}, "", BlockStatus(True, -1, 7)),
        ({"confirmations": 3, "height": 7}, "00" * 32, BlockStatus(True, -1, 7)),  # bcoin counts side blocks too
        ({"confirmations": 1, "height": 7}, RpcError(-8, "Block height out of range"), BlockStatus(True, -1, 7)),
        (RpcError(-5, "Block not found"), "", BlockStatus(False)),
        (RpcError(-1, "Block not found"), "", BlockStatus(False)),
    ],
)
async def test_bitcoin_node_block_status(header: Any, hash_at_height: Any, status: BlockStatus) -> None:
    rpc = ScriptedRpc(getblockheader=header, getblockhash=hash_at_height)
    assert await node_of(rpc).block_status(HASH) == status


@pytest.mark.parametrize("header", [None, {"height": 1}, {"confirmations": "1", "height": 7}, RpcError(-1, "odd")])
async def test_bitcoin_node_block_status_never_guesses(header: Any) -> None:
    with pytest.raises(NodeUnavailableError, match="getblockheader"):
        await node_of(ScriptedRpc(getblockheader=header)).block_status(HASH)
    with pytest.raises(NodeUnavailableError, match="getblockhash"):
        await node_of(
            ScriptedRpc(getblockheader={"confirmations": 1, "height": 7}, getblockhash=RpcError(-32603, "disk"))
        ).block_status(HASH)


async def test_bitcoin_node_reward_counts_only_what_pays_us() -> None:
    template = parse_template(GBT, chain="regbtc", node="n1", template_rules=("segwit",))
    stripped = build_coinbase(template, [], PAYOUT).stripped(bytes(8))
    block = block_bytes(bytes(80), stripped, template).hex()
    answers = InTurn([{"tx": [displayed(sha256d(stripped))]}, block])
    rpc = ScriptedRpc(getblock=answers, getrawtransaction=RpcError(-5, "no index"))
    assert await node_of(rpc).block_reward(HASH) == template.value_sat
    other = ScriptedRpc(getblock={"tx": [displayed(sha256d(stripped))]}, getrawtransaction=stripped.hex())
    strangers = BitcoinNode("regbtc", "n1", other, b"\x51", network("bitcoin", "regtest"))  # type: ignore[arg-type]
    assert await strangers.block_reward(HASH) == 0


@pytest.mark.parametrize("answer", [None, {}, {"tx": []}, {"tx": [5]}, RpcError(-1, "pruned data")])
async def test_bitcoin_node_reward_never_guesses(answer: Any) -> None:
    with pytest.raises(NodeUnavailableError, match="getblock"):
        await node_of(ScriptedRpc(getblock=answer)).block_reward(HASH)


async def test_bitcoin_node_close_closes_its_connection() -> None:
    rpc = ScriptedRpc(getblockchaininfo=INFO)
    await node_of(rpc).close()
    assert rpc.answers == {}
