"""Templates and the node, against answers recorded from Namecoin Core on regtest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chains.auxpow.node import AuxPowNode
from chains.auxpow.params import DOGECOIN, NAMECOIN, Dialect
from chains.auxpow.template import parse_template
from chains.families import network
from chains.kind import AuxNode, BlockStatus, NodeState, SubmitResult, TemplateError
from chains.node_rpc import NodeUnavailableError, RpcError
from chains.primitives.address import AddressError
from chains.primitives.hashes import from_displayed

FIXTURES = Path(__file__).parents[3] / "fixtures" / "namecoin-regtest"
ADDRESS = "mjXnFbp5RZg1EP1n7Y2Q9vvoqchAbUvoUr"
BLOCK = "32871ac8cf1ca86d5521312bb052fdb7abadc1dfb626b8a92d455f09bbec370a"
REWARD = 2_500_929_900
METHOD_MISSING = RpcError(-32601, "Method not found")


def recorded(name: str) -> dict[str, Any]:
    fixture: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text())
    return fixture


def answer(name: str) -> Any:
    """The recorded result, or the recorded error as what the RPC client raises."""
    response = recorded(name)["response"]
    if response["error"] is not None:
        return RpcError(response["error"]["code"], response["error"]["message"])
    return response["result"]


class Replay:
    """An RPC client with prepared answers per method: a value, an error, or a function of the parameters."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.calls: list[tuple[Any, ...]] = []
        self.closed = False

    async def call(self, method: str, *params: Any, timeout_s: float | None = None) -> Any:
        self.calls.append((method, *params))
        result = self.answers.get(method, METHOD_MISSING)
        if callable(result):
            result = result(*params)
        if isinstance(result, Exception):
            raise result
        return result

    async def close(self) -> None:
        self.closed = True


def node_of(rpc: Replay, dialect: Dialect = NAMECOIN, name: str = "regtest") -> AuxPowNode:
    return AuxPowNode("regnmc", "nmc-0", rpc, ADDRESS, network("namecoin", name), dialect)


def parsed(record: Any, dialect: Dialect = NAMECOIN) -> Any:
    return parse_template(record, chain="regnmc", node="nmc-0", dialect=dialect)


# Templates


async def test_auxpow_template_recorded() -> None:
    rpc = Replay(createauxblock=answer("createauxblock"))
    template = await node_of(rpc).template()
    assert ["createauxblock", *recorded("createauxblock")["request"]["params"]] == list(rpc.calls[0])
    assert template.aux_hash == from_displayed(BLOCK)
    assert template.target == 0x7FFFFF << 232
    assert (template.height, template.value_sat, template.chain_id) == (153, REWARD, 1)
    assert template.previous_hash[::-1].hex() == "d42233862218ac6d39463de600964b10374aaacb210366c389d2a7333d68ce45"
    assert (template.chain, template.node, template.context) == ("regnmc", "nmc-0", None)


def test_auxpow_template_in_other_words() -> None:
    record = answer("createauxblock")
    target = record.pop("_target")
    assert parsed(record | {"target": target}, DOGECOIN).target == parsed(record | {"_target": target}).target
    assert parsed(record | {"target": target}).target == 0x7FFFFF << 232
    assert parsed(record).target == 0x7FFFFF << 232  # Elastos: bits only
    old = {"hash": BLOCK, "chainid": 1, "target": target}
    template = parsed(old)  # early forks: nothing else
    assert (template.height, template.value_sat, template.previous_hash) == (0, 0, bytes(32))
    odd = {"blockhash": BLOCK, "id": 1, "goal": target}
    assert parsed(odd, Dialect(hash_key="blockhash", chain_id_key="id", target_key="goal")) == template


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hash": None}, "hash: expected 64 hex digits, got null"),
        ({"hash": BLOCK[:-1]}, "hash: expected 64 hex digits, got text of 63 characters"),
        ({"hash": "zz" * 32}, "hash: expected 64 hex digits"),
        ({"hash": BLOCK[:-2] + " 0"}, "hash: expected 64 hex digits"),
        ({"hash": "\ud800" * 64}, "hash: expected 64 hex digits"),
        ({"chainid": "1"}, "chainid: expected an integer"),
        ({"chainid": True}, "chainid: expected an integer, got a boolean"),
        ({"chainid": 1.0}, "chainid: expected an integer, got a number with a fraction"),
        ({"chainid": -1}, "chainid: expected 0 to 32767"),
        ({"chainid": 2**80}, "chainid: expected 0 to 32767"),
        ({"height": "153"}, "height: expected an integer"),
        ({"height": -1}, "height: expected 0"),
        ({"coinbasevalue": 25.0}, "coinbasevalue: expected an integer"),
        ({"coinbasevalue": None}, "coinbasevalue: expected an integer, got null"),
        ({"coinbasevalue": 2**63}, "coinbasevalue: expected 0"),
        ({"previousblockhash": 5}, "previousblockhash: expected 64 hex digits"),
        ({"bits": "207fffffff"}, "bits: expected 8 hex digits"),
        ({"bits": "20ffffff"}, "is negative"),
        ({"bits": "00000000"}, "out of range"),
        ({"_target": "ffff7f"}, "_target: expected 64 hex digits"),
        ({"_target": "7fffff" + "0" * 58}, "not the target of bits 207fffff in little-endian order"),
        ({"_target": ["0"]}, "_target: expected 64 hex digits, got a list"),
    ],
)
def test_auxpow_template_refuses(change: dict[str, Any], words: str) -> None:
    with pytest.raises(TemplateError, match=words):
        parsed(answer("createauxblock") | change)


@pytest.mark.parametrize("garbage", [None, True, 5, "text", [], {}, [BLOCK]])
def test_auxpow_template_refuses_garbage(garbage: Any) -> None:
    with pytest.raises(TemplateError, match="unusable auxiliary template"):
        parsed(garbage)
    with pytest.raises(TemplateError, match="missing or zero"):
        parsed({"hash": BLOCK, "chainid": 1})
    with pytest.raises(TemplateError, match="missing or zero"):
        parsed({"hash": BLOCK, "chainid": 1, "_target": "0" * 64})


async def test_auxpow_template_falls_back_to_the_wallet_and_remembers() -> None:
    rpc = Replay(getauxblock=answer("createauxblock"))
    node = node_of(rpc)
    assert (await node.template()).aux_hash == (await node.template()).aux_hash == from_displayed(BLOCK)
    assert [c[0] for c in rpc.calls] == ["createauxblock", "getauxblock", "getauxblock"]
    assert rpc.calls[1] == ("getauxblock",)


async def test_auxpow_template_a_syncing_node_is_an_outage() -> None:
    for code, message in ((-10, "Namecoin is downloading blocks..."), (-9, "Namecoin is not connected!")):
        with pytest.raises(NodeUnavailableError, match="createauxblock: Namecoin is"):
            await node_of(Replay(createauxblock=RpcError(code, message))).template()
    with pytest.raises(NodeUnavailableError, match="getauxblock: Method not found"):
        await node_of(Replay()).template()


async def test_auxpow_template_a_refused_address_is_told() -> None:
    rpc = Replay(createauxblock=answer("createauxblock_bad_address"))
    with pytest.raises(TemplateError, match="refuses the payout address: Error: Invalid coinbase payout address"):
        await node_of(rpc).template()
    doge = Replay(createauxblock=RpcError(-8, "Error: Invalid coinbase payout address"))
    with pytest.raises(TemplateError, match="refuses the payout address"):
        await node_of(doge, DOGECOIN).template()


def test_auxpow_node_wants_an_address_of_its_network() -> None:
    with pytest.raises(AddressError):
        AuxPowNode("regnmc", "nmc-0", Replay(), ADDRESS, network("namecoin", "main"))


# Health


async def test_auxpow_health_recorded() -> None:
    rpc = Replay(getblockchaininfo=answer("getblockchaininfo"))
    health = await node_of(rpc).health()
    assert (health.state, health.height) == (NodeState.OK, 152)
    assert (await node_of(rpc, name="test").health()).state is NodeState.WRONG_NETWORK
    assert isinstance(node_of(rpc), AuxNode)


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({"initialblockdownload": True}, NodeState.SYNCING),
        ({"chain": "main"}, NodeState.WRONG_NETWORK),
        ({"chain": "main", "initialblockdownload": True}, NodeState.WRONG_NETWORK),
    ],
)
async def test_auxpow_health_states(change: dict[str, Any], state: NodeState) -> None:
    health = await node_of(Replay(getblockchaininfo=answer("getblockchaininfo") | change)).health()
    assert health.state is state
    assert health.detail


async def test_auxpow_health_of_an_old_daemon_by_its_headers() -> None:
    info = answer("getblockchaininfo")
    del info["initialblockdownload"]
    assert (await node_of(Replay(getblockchaininfo=info)).health()).state is NodeState.OK
    behind = Replay(getblockchaininfo=info | {"headers": 155})
    assert (await node_of(behind).health()).state is NodeState.SYNCING


@pytest.mark.parametrize("garbage", [None, [], {}, {"chain": 5, "blocks": 1}, {"chain": "regtest", "blocks": "1"}])
async def test_auxpow_health_of_garbage_is_an_outage(garbage: Any) -> None:
    with pytest.raises(NodeUnavailableError, match="unusable getblockchaininfo"):
        await node_of(Replay(getblockchaininfo=garbage)).health()


# Submissions

PAYLOAD = {"hash": BLOCK, "auxpow": "00"}


@pytest.mark.parametrize(
    ("fixture", "result", "reason"),
    [
        ("submitauxblock_accepted", SubmitResult.ACCEPTED, ""),
        ("submitauxblock_again", SubmitResult.ACCEPTED, ""),
        ("submitauxblock_high_hash", SubmitResult.REJECTED, "rejected"),
        ("submitauxblock_unknown_hash", SubmitResult.STALE, "block hash unknown"),
        ("submitauxblock_not_hex", SubmitResult.REJECTED, "DataStream::read(): end of data: iostream error"),
    ],
)
async def test_auxpow_submit_recorded(fixture: str, result: SubmitResult, reason: str) -> None:
    request = recorded(fixture)["request"]
    rpc = Replay(submitauxblock=answer(fixture))
    payload = dict(zip(("hash", "auxpow"), request["params"], strict=True))
    answered = await node_of(rpc).submit(payload)
    assert (answered.result, answered.reason) == (result, reason)
    assert rpc.calls == [(request["method"], *request["params"])]


@pytest.mark.parametrize(
    ("given", "result", "reason"),
    [
        (None, SubmitResult.ACCEPTED, ""),
        ("duplicate", SubmitResult.DUPLICATE, "duplicate"),
        ("rejected: duplicate", SubmitResult.DUPLICATE, "duplicate"),
        ("inconclusive", SubmitResult.INCONCLUSIVE, "inconclusive"),
        ("rejected: high-hash", SubmitResult.REJECTED, "high-hash"),
        (RpcError(-8, "invalid block hash hex"), SubmitResult.REJECTED, "invalid block hash hex"),
    ],
)
async def test_auxpow_submit_other_answers(given: Any, result: SubmitResult, reason: str) -> None:
    answered = await node_of(Replay(submitauxblock=given)).submit(PAYLOAD)
    assert (answered.result, answered.reason) == (result, reason)


@pytest.mark.parametrize(
    "outage",
    [
        NodeUnavailableError("no connection"), RpcError(-10, "downloading"), RpcError(-9, "not connected"),
        RpcError(-28, "Loading"), RpcError(-7, "out of memory"), RpcError(-32603, "internal"), 1, {}, [],
    ],
)  # fmt: skip
async def test_auxpow_submit_without_a_verdict_is_an_outage(outage: Any) -> None:
    with pytest.raises(NodeUnavailableError):
        await node_of(Replay(submitauxblock=outage)).submit(PAYLOAD)


async def test_auxpow_submit_falls_back_to_the_wallet() -> None:
    rpc = Replay(getauxblock=True)
    assert (await node_of(rpc).submit(PAYLOAD)).result is SubmitResult.ACCEPTED
    assert [c[0] for c in rpc.calls] == ["submitauxblock", "getauxblock"]
    with pytest.raises(NodeUnavailableError):  # neither method: not this block's fault
        await node_of(Replay()).submit(PAYLOAD)


# What became of a block


async def test_auxpow_block_status_recorded() -> None:
    def header(hash_hex: str) -> Any:
        return answer("getblockheader_aux" if hash_hex == BLOCK else "getblockheader_unknown")

    node = node_of(Replay(getblockheader=header, getblockhash=BLOCK))
    assert await node.block_status(BLOCK) == BlockStatus(True, 1, 153)
    assert await node.block_status("0" * 64) == BlockStatus(False)


async def test_auxpow_block_status_off_the_chain_and_without_getblockheader() -> None:
    orphan = answer("getblockheader_aux") | {"confirmations": -1}
    assert await node_of(Replay(getblockheader=orphan)).block_status(BLOCK) == BlockStatus(True, -1, 153)
    old = Replay(getblock=answer("getblock_aux_verbose1"), getblockhash=BLOCK)
    assert await node_of(old).block_status(BLOCK) == BlockStatus(True, 1, 153)
    for bad in (RpcError(-1, "odd"), {"confirmations": "1", "height": 1}, {"confirmations": True, "height": 1}, None):
        with pytest.raises(NodeUnavailableError):
            await node_of(Replay(getblockheader=bad)).block_status(BLOCK)


@pytest.mark.parametrize("other", ["00" * 32, RpcError(-8, "Block height out of range"), RpcError(-1, "no such block")])
async def test_auxpow_block_beside_the_main_chain_is_not_believed_its_confirmations(other: Any) -> None:
    rpc = Replay(getblockheader=answer("getblockheader_aux"), getblockhash=other)
    assert await node_of(rpc).block_status(BLOCK) == BlockStatus(True, -1, 153)
    assert rpc.calls == [("getblockheader", BLOCK), ("getblockhash", 153)]


async def test_auxpow_block_status_is_an_outage_when_the_chain_cannot_be_asked() -> None:
    rpc = Replay(getblockheader=answer("getblockheader_aux"), getblockhash=RpcError(-32603, "disk"))
    with pytest.raises(NodeUnavailableError, match="getblockhash"):
        await node_of(rpc).block_status(BLOCK)


async def test_auxpow_block_reward_recorded() -> None:
    rpc = Replay(
        getblock=answer("getblock_aux_verbose1"), getrawtransaction=answer("getrawtransaction_coinbase")["hex"]
    )
    assert await node_of(rpc).block_reward(BLOCK) == REWARD
    assert rpc.calls[1] == ("getrawtransaction", answer("getblock_aux_verbose1")["tx"][0], 0, BLOCK)


@pytest.mark.parametrize("raw_word", [0, False])
async def test_auxpow_block_reward_from_the_raw_block_behind_its_auxpow(raw_word: int | bool) -> None:
    """Where getrawtransaction cannot look into a block; daemons older than Bitcoin Core 0.15 want `false` for raw."""

    def block(hash_hex: str, *word: Any) -> Any:
        if not word:
            return answer("getblock_aux_verbose1")
        if type(word[0]) is not type(raw_word):
            return RpcError(-1, "JSON value is not a boolean as expected")
        return answer("getblock_aux_raw")

    rpc = Replay(getblock=block, getrawtransaction=RpcError(-5, "No such mempool transaction"))
    assert await node_of(rpc).block_reward(BLOCK) == REWARD


async def test_auxpow_block_reward_counts_only_our_script_unless_the_wallet_pays() -> None:
    other = "mfWxJ45yp2SFn7UciZyNpvDKrzbhyfKrY8"
    answers = {
        "getblock": answer("getblock_aux_verbose1"),
        "getrawtransaction": answer("getrawtransaction_coinbase")["hex"],
    }
    regtest = network("namecoin", "regtest")
    create = answer("createauxblock")
    stranger = AuxPowNode("regnmc", "nmc-0", Replay(createauxblock=create, **answers), other, regtest)
    assert await stranger.block_reward(BLOCK) == 0
    replay = Replay(createauxblock=create, **answers)
    moved = AuxPowNode("regnmc", "nmc-0", replay, other, regtest, former=[ADDRESS])
    assert await moved.block_reward(BLOCK) == REWARD, "what paid the former address is ours as well"
    wallet = AuxPowNode("regnmc", "nmc-0", Replay(getauxblock=create, **answers), other, regtest)
    assert await wallet.block_reward(BLOCK) == REWARD
    assert await wallet.block_reward(BLOCK) == REWARD
    away = AuxPowNode("regnmc", "nmc-0", Replay(createauxblock=RpcError(-10, "syncing"), **answers), other, regtest)
    with pytest.raises(NodeUnavailableError):  # who pays is not known yet: no guess about money
        await away.block_reward(BLOCK)


@pytest.mark.parametrize(
    "answers",
    [
        {"getblock": RpcError(-5, "Block not found")},
        {"getblock": {"tx": []}},
        {"getblock": {"tx": [{"txid": "00"}]}},
        {"getblock": "raw"},
        {"getblock": answer("getblock_aux_verbose1"), "getrawtransaction": "zz"},
        {"getblock": answer("getblock_aux_verbose1"), "getrawtransaction": "00"},
        {"getblock": answer("getblock_aux_verbose1"), "getrawtransaction": 5},
        {"getblock": {"tx": ["00" * 32]}, "getrawtransaction": answer("getrawtransaction_coinbase")["hex"]},
    ],
)
async def test_auxpow_block_reward_of_garbage_is_an_outage(answers: dict[str, Any]) -> None:
    with pytest.raises(NodeUnavailableError):
        await node_of(Replay(**answers)).block_reward(BLOCK)


async def test_auxpow_node_closes_its_client() -> None:
    rpc = Replay()
    await node_of(rpc).close()
    assert rpc.closed
