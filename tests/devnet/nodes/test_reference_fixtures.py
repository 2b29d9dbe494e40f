"""The reference nodes' answers have the shape of those of a real Namecoin Core: status, error, keys and types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from reference_client import ADDRESS, LEGACY_ADDRESS, StartNode

from chains.primitives.hashes import from_displayed
from chains.primitives.header import Header
from chains.primitives.serialize import Reader
from chains.reference.auxpow_rules import read_proof
from chains.reference.block import mine_header

FIXTURES = Path(__file__).parents[2] / "fixtures" / "namecoin-regtest"

# What a reference node leaves out, and why: wallet descriptors (it has keys, no descriptors), and sizes of the last
# block that the daemon itself assembled (optional in Core too).
LEFT_OUT = {"parent_descs", "currentblockweight", "currentblocktx"}
# What depends on the moment: a block with or without a successor, a parent header with or without a predecessor.
MAY_BE_MORE = {"nextblockhash", "previousblockhash"}


def _fixture(name: str) -> dict[str, Any]:
    recorded: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text())
    return recorded


def _compare(ours: Any, theirs: Any, place: str) -> None:
    """Same keys and JSON types all the way down; of lists, the first item with the first."""
    if isinstance(theirs, dict):
        assert isinstance(ours, dict), place
        assert set(theirs) - set(ours) <= LEFT_OUT, f"{place} lacks {set(theirs) - set(ours)}"
        assert set(ours) - set(theirs) <= MAY_BE_MORE, f"{place} has more: {set(ours) - set(theirs)}"
        for key in set(ours) & set(theirs):
            _compare(ours[key], theirs[key], f"{place}.{key}")
    elif isinstance(theirs, list):
        assert isinstance(ours, list), place
        if ours and theirs:
            _compare(ours[0], theirs[0], f"{place}[0]")
    elif isinstance(theirs, (int, float)) and not isinstance(theirs, bool):
        assert isinstance(ours, (int, float)), place
    else:
        assert type(ours) is type(theirs), place


def _auxpow(aux_hash: str, like: str) -> str:
    """The recorded proof with its block hash replaced: the coinbase carries it, so txid and parent header follow."""
    params = _fixture(like)["request"]["params"]
    reader = Reader(bytes.fromhex(params[1].replace(params[0], aux_hash)))
    proof = read_proof(reader)
    assert from_displayed(aux_hash)[::-1] in proof.coinbase.inputs[0].script_sig
    header = Header(1, bytes(32), proof.coinbase.txid, 0, 0, 0)
    mined = mine_header(header, 0x7FFFFF << 232).serialize()
    return (reader.data[: reader.position - 80] + mined).hex()


@pytest.mark.parametrize(
    "name",
    [
        "getblockchaininfo",
        "getmininginfo",
        "getnetworkinfo",
        "getbalances",
        "validateaddress_ok",
        "validateaddress_bad",
        "createauxblock",
        "createauxblock_bad_address",
        "getblockheader_unknown",
        "submitauxblock_unknown_hash",
        "unknown_method",
    ],
)
async def test_reference_fixtures_aux_node_answers_the_recorded_request(start_node: StartNode, name: str) -> None:
    node = await start_node("auxpow")
    await node.mine(12, LEGACY_ADDRESS)
    recorded = _fixture(name)
    status, answer = await node.raw(recorded["request"]["method"], *recorded["request"]["params"])
    assert status == recorded["http_status"]
    _compare(answer, recorded["response"], name)
    if recorded["response"]["error"] is not None:
        assert answer == recorded["response"]


async def test_reference_fixtures_auxpow_life_of_a_block(start_node: StartNode) -> None:
    node = await start_node("auxpow")
    await node.mine(12, ADDRESS)
    await node("sendtoaddress", LEGACY_ADDRESS, 1)
    offer = await node("createauxblock", LEGACY_ADDRESS)
    recorded = _fixture("submitauxblock_accepted")
    aux_hash = offer["hash"]
    bad = _fixture("submitauxblock_high_hash")["request"]["params"][1]
    assert await node("submitauxblock", aux_hash, bad) is False
    status, answer = await node.raw("submitauxblock", aux_hash, "zz")
    assert (status, answer) == (500, _fixture("submitauxblock_not_hex")["response"])
    proof = _auxpow(aux_hash, "submitauxblock_accepted")
    assert len(proof) == len(recorded["request"]["params"][1])
    status, answer = await node.raw("submitauxblock", aux_hash, proof)
    assert (status, answer) == (recorded["http_status"], recorded["response"])
    status, answer = await node.raw("submitauxblock", aux_hash, proof)
    assert answer == _fixture("submitauxblock_again")["response"]
    assert await node("getbestblockhash") == aux_hash

    for name, call in (
        ("getblockheader_aux", ("getblockheader", aux_hash, True)),
        ("getblock_aux_verbose1", ("getblock", aux_hash, 1)),
        ("getblock_aux_raw", ("getblock", aux_hash, 0)),
    ):
        status, answer = await node.raw(*call)
        _compare(answer, _fixture(name)["response"], name)
    view = await node("getblock", aux_hash, 2)
    assert view["auxpow"]["tx"]["vin"][0]["coinbase"] == "fabe6d6d" + aux_hash + "0100000000000000"
    assert (view["versionHex"], view["height"], view["nTx"]) == ("00010104", 13, 2)
    raw = await node("getblock", aux_hash, 0)
    assert raw[160:].startswith(proof)  # header ‖ auxpow ‖ transactions
    assert await node("getblockheader", aux_hash, False) == raw[:160] + proof

    coinbase_txid = view["tx"][0]["txid"]
    status, answer = await node.raw("getrawtransaction", coinbase_txid, True, aux_hash)
    _compare(answer, _fixture("getrawtransaction_coinbase")["response"], "getrawtransaction_coinbase")


async def test_reference_fixtures_parent_node_templates(start_node: StartNode) -> None:
    node = await start_node()
    await node.mine(12)
    await node("sendtoaddress", ADDRESS, "0.5")
    recorded = _fixture("getblocktemplate")
    status, answer = await node.raw("getblocktemplate", *recorded["request"]["params"])
    theirs = recorded["response"]
    del theirs["result"]["vbavailable"]["testdummy"]  # a deployment that only regtest daemons have
    assert status == 200
    _compare(answer, theirs, "getblocktemplate")
    assert {k: answer["result"][k] for k in ("capabilities", "rules", "mutable", "noncerange", "sizelimit")} == {
        k: theirs["result"][k] for k in ("capabilities", "rules", "mutable", "noncerange", "sizelimit")
    }
    for name in ("getblocktemplate_proposal_undecodable", "submitblock_undecodable"):
        recorded = _fixture(name)
        status, answer = await node.raw(recorded["request"]["method"], *recorded["request"]["params"])
        assert (status, answer) == (recorded["http_status"], recorded["response"])
    recorded = _fixture("getblocktemplate_without_segwit_rule")
    status, answer = await node.raw("getblocktemplate")
    assert status == recorded["http_status"]
    assert answer["error"]["code"] == recorded["response"]["error"]["code"]
    assert answer["error"]["message"].startswith("getblocktemplate ")


async def test_reference_fixtures_wallet_transactions(start_node: StartNode) -> None:
    node = await start_node("auxpow")
    await node.mine(12, ADDRESS)
    tip = await node("getblock", await node("getbestblockhash"))
    for name in ("gettransaction_immature_coinbase",):
        _, answer = await node.raw("gettransaction", tip["tx"][0])
        _compare(answer, _fixture(name)["response"], name)
        assert answer["result"]["details"][0]["category"] == "immature"
        assert answer["result"]["amount"] == 0
    txid = await node("sendtoaddress", ADDRESS, 1.25)
    _, answer = await node.raw("gettransaction", txid)
    _compare(answer, _fixture("gettransaction_unconfirmed")["response"], "gettransaction_unconfirmed")
    raw = answer["result"]["hex"]
    assert await node("sendrawtransaction", raw) == txid  # again: as sendrawtransaction_again
    await node.mine(1)
    _, answer = await node.raw("gettransaction", txid)
    _compare(answer, _fixture("gettransaction_confirmed")["response"], "gettransaction_confirmed")
    assert answer["result"]["confirmations"] == 1
    status, answer = await node.raw("sendrawtransaction", raw)
    recorded = _fixture("sendrawtransaction_already_in_chain")
    assert (status, answer) == (recorded["http_status"], recorded["response"])
    await node("invalidateblock", await node("getbestblockhash"))
    _, answer = await node.raw("gettransaction", txid)
    recorded_after = _fixture("gettransaction_after_reorg")["response"]
    _compare(answer, recorded_after, "gettransaction_after_reorg")
    assert answer["result"]["confirmations"] == recorded_after["result"]["confirmations"] == 0
