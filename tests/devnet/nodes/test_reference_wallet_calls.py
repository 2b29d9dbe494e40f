"""The calls that a payment needs, as a real Namecoin Core answered them; and what a daemon of Dogecoin's age lacks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from reference_client import ADDRESS, LEGACY_ADDRESS, SEED, Refused, Rpc, StartNode
from test_reference_fixtures import _compare

from chains.primitives.hashes import from_displayed
from chains.primitives.transaction import Transaction, TxIn, TxOut, parse_transaction
from chains.reference.wallet import address, script

FIXTURES = Path(__file__).parents[2] / "fixtures" / "namecoin-regtest"
FEE = 10_000


def _fixture(name: str) -> dict[str, Any]:
    recorded: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text())
    return recorded


async def payment(node: Rpc, *, fee: int = FEE, coin: int = 0, witness: bool = True, locked: int = 0) -> str:
    """An unsigned payment of one coin to a key of nobody's, as hex."""
    unspent = (await node("listunspent", 0))[coin]
    amount = round(unspent["amount"] * 10**8) - fee
    inputs = (TxIn(from_displayed(unspent["txid"]), unspent["vout"], b"", 0xFFFFFFFD),)
    return Transaction(2, inputs, (TxOut(amount, script("nobody", 0, witness=witness)),), locked).serialize().hex()


async def signed(node: Rpc, unsigned: str) -> str:
    answer = await node("signrawtransactionwithwallet", unsigned)
    assert answer["complete"] and "errors" not in answer
    return str(answer["hex"])


async def test_reference_wallet_psbt_as_recorded(start_node: StartNode) -> None:
    node = await start_node("auxpow")
    await node.mine(12, ADDRESS)
    unsigned = await payment(node)
    psbt = await node("converttopsbt", unsigned, False, False)
    _, answer = await node.raw("walletprocesspsbt", psbt, True, "ALL", False)
    _compare(answer, _fixture("walletprocesspsbt")["response"], "walletprocesspsbt")
    processed = answer["result"]
    _, answer = await node.raw("finalizepsbt", processed["psbt"])
    _compare(answer, _fixture("finalizepsbt")["response"], "finalizepsbt")
    assert answer["result"] == {"hex": processed["hex"], "complete": True}
    found, wanted = parse_transaction(bytes.fromhex(processed["hex"])), parse_transaction(bytes.fromhex(unsigned))
    assert replace(found, inputs=tuple(replace(i, witness=()) for i in found.inputs)) == wanted
    assert await node("finalizepsbt", processed["psbt"], False) == {"psbt": processed["psbt"], "complete": True}

    unprocessed = await node("walletprocesspsbt", psbt, False)
    assert unprocessed == {"psbt": psbt, "complete": False}
    assert await node("finalizepsbt", psbt) == {"psbt": psbt, "complete": False}
    foreign = Transaction(2, (TxIn(bytes(32), 1, b""),), (TxOut(5, b"\x51"),)).serialize().hex()
    lost = await node("walletprocesspsbt", await node("converttopsbt", foreign))
    assert lost["complete"] is False
    refused = await node("signrawtransactionwithwallet", foreign)
    assert refused["complete"] is False and refused["errors"][0]["error"] == "Input not found or already spent"
    for method, params in (
        ("converttopsbt", ("zz",)),
        ("converttopsbt", (processed["hex"],)),
        ("walletprocesspsbt", ("zz",)),
        ("finalizepsbt", ("cHNidP8=",)),
        ("signrawtransactionwithwallet", ("00",)),
    ):
        with pytest.raises(Refused) as failure:
            await node(method, *params)
        assert failure.value.code == -22, method


async def test_reference_wallet_finalizes_what_namecoin_signed(start_node: StartNode) -> None:
    node = await start_node("auxpow")
    recorded = _fixture("finalizepsbt")
    answer = await node("finalizepsbt", *recorded["request"]["params"])
    assert answer == recorded["response"]["result"]


async def test_reference_wallet_mempool_as_recorded(start_node: StartNode) -> None:
    node = await start_node("auxpow")
    await node.mine(13, ADDRESS)
    raw = await signed(node, await payment(node))
    status, answer = await node.raw("testmempoolaccept", [raw])
    _compare(answer, _fixture("testmempoolaccept")["response"], "testmempoolaccept")
    cheap = await signed(node, await payment(node, fee=10))
    status, answer = await node.raw("testmempoolaccept", [cheap])
    _compare(answer, _fixture("testmempoolaccept_rejected")["response"], "testmempoolaccept_rejected")
    assert answer["result"][0]["reject-reason"] == "min relay fee not met"
    recorded = _fixture("sendrawtransaction_min_relay_fee_not_met")
    status, answer = await node.raw("sendrawtransaction", cheap)
    assert status == recorded["http_status"]
    assert answer["error"] == {"code": -26, "message": "min relay fee not met, 10 < 110"}
    assert recorded["response"]["error"]["code"] == -26

    dear = await signed(node, await payment(node, fee=10**8))
    with pytest.raises(Refused, match="Fee exceeds maximum") as refused:
        await node("sendrawtransaction", dear)
    assert refused.value.code == -25
    assert (await node("testmempoolaccept", [dear]))[0]["reject-reason"] == "max-fee-exceeded"

    txid = await node("sendrawtransaction", raw)
    assert await node("sendrawtransaction", raw) == txid  # as recorded in sendrawtransaction_again
    assert (await node("testmempoolaccept", [raw]))[0]["reject-reason"] == "txn-already-in-mempool"
    await node.mine(1)
    assert (await node("testmempoolaccept", [raw]))[0]["reject-reason"] == "txn-already-known"
    assert (await node("testmempoolaccept", [dear]))[0]["reject-reason"] == "missing-inputs"
    with pytest.raises(Refused, match="bad-txns-inputs-missingorspent") as refused:
        await node("sendrawtransaction", dear)
    assert refused.value.code == -25


async def test_reference_wallet_list_since_block_as_recorded(start_node: StartNode) -> None:
    node = await start_node("auxpow")
    await node.mine(12, ADDRESS)
    tip = await node("getbestblockhash")
    txid = await node("sendtoaddress", address(SEED, 1), 1.25)
    await node.mine(1, ADDRESS)
    _, answer = await node.raw("listsinceblock", tip, 1)
    _compare(answer, _fixture("listsinceblock")["response"], "listsinceblock")
    entries = answer["result"]["transactions"]
    assert [(entry["category"], entry["amount"]) for entry in entries if entry["txid"] == txid] == [
        ("send", -1.25),
        ("receive", 1.25),
    ]
    assert [entry["category"] for entry in entries if entry["txid"] != txid] == ["immature"]
    assert answer["result"]["lastblock"] == await node("getbestblockhash")
    sent = next(entry for entry in entries if entry["category"] == "send")
    recorded = next(e for e in _fixture("listsinceblock")["response"]["result"]["transactions"] if "fee" in e)
    _compare(sent, recorded, "listsinceblock send")


async def test_reference_wallet_replacement_pays_more(start_node: StartNode) -> None:
    """BIP125: the payment that is replaced is remembered, as a wallet does, and conflicted once the other is mined."""
    node = await start_node()
    await node.mine(12)
    first, second, third = [
        await signed(node, await payment(node, fee=fee, locked=0)) for fee in (FEE, FEE + 10, 2 * FEE)
    ]
    txid = await node("sendrawtransaction", first)
    with pytest.raises(Refused, match="insufficient fee, rejecting replacement"):
        await node("sendrawtransaction", second)
    other = await node("sendrawtransaction", third)
    assert await node("getrawmempool") == [other]
    assert (await node("gettransaction", txid))["confirmations"] == 0
    await node.mine(2)
    lost = await node("gettransaction", txid)
    assert (lost["confirmations"], lost["walletconflicts"]) == (-2, [other])


async def test_reference_wallet_coins_and_change(start_node: StartNode) -> None:
    node = await start_node()
    await node.mine(12)
    change = await node("getrawchangeaddress")
    assert (await node("getaddressinfo", change))["ischange"] and (await node("getaddressinfo", change))["ismine"]
    assert not (await node("getaddressinfo", address("nobody", 0)))["ismine"]
    coin = (await node("listunspent"))[0]
    txout = await node("gettxout", coin["txid"], coin["vout"])
    assert (txout["value"], txout["coinbase"], txout["confirmations"]) == (50, True, coin["confirmations"])
    txid = await node("sendtoaddress", change, 1)
    assert await node("gettxout", coin["txid"], coin["vout"]) is None
    assert (await node("gettxout", coin["txid"], coin["vout"], False))["value"] == 50
    waiting = await node("gettxout", txid, 0)
    assert (waiting["value"], waiting["confirmations"]) == (1, 0)
    assert [c["vout"] for c in await node("listunspent", 0) if c["txid"] == txid] == [0, 1]
    assert not [c for c in await node("listunspent") if c["txid"] == txid]
    assert (await node("gettransaction", txid))["details"] == []  # change only
    assert await node("gettxout", "00" * 32, 0) is None
    assert await node("estimatesmartfee", 6) == {"errors": ["Insufficient data or no feerate found"], "blocks": 6}
    with pytest.raises(Refused, match="conf_target"):
        await node("estimatesmartfee", 0)


async def test_reference_wallet_dust_is_not_taken(start_node: StartNode) -> None:
    node = await start_node()
    await node.mine(12)
    coin = parse_transaction(bytes.fromhex(await payment(node)))
    (paid,) = coin.outputs
    for amount, reason in ((293, "dust"), (294, None)):
        outputs = (replace(paid, amount_sat=paid.amount_sat - amount), TxOut(amount, paid.script))
        raw = await signed(node, replace(coin, outputs=outputs).serialize().hex())
        assert (await node("testmempoolaccept", [raw]))[0].get("reject-reason") == reason


async def test_reference_wallet_block_of_chosen_transactions(start_node: StartNode) -> None:
    node = await start_node()
    await node.mine(13)
    waiting = await node("sendtoaddress", ADDRESS, 1)
    unseen = await signed(node, await payment(node, coin=0))
    answer = await node("generateblock", ADDRESS, [unseen])
    block = await node("getblock", answer["hash"], 2)
    assert block["tx"][1]["hex"] == unseen and len(block["tx"]) == 2
    answer = await node("generateblock", ADDRESS, [waiting])
    assert (await node("getblock", answer["hash"]))["tx"][1] == waiting
    with pytest.raises(Refused, match="TestBlockValidity failed: bad-txns-inputs-missingorspent"):
        await node("generateblock", ADDRESS, [unseen])


async def test_reference_wallet_of_dogecoins_age(start_node: StartNode) -> None:
    node = await start_node("auxpow", dialect="dogecoin")
    await node.mine(13, LEGACY_ADDRESS)
    unsigned = await payment(node, witness=False)
    for method, params in (
        ("converttopsbt", (unsigned,)),
        ("walletprocesspsbt", ("x",)),
        ("finalizepsbt", ("x",)),
        ("signrawtransactionwithwallet", (unsigned,)),
        ("testmempoolaccept", ([unsigned],)),
        ("getaddressinfo", (LEGACY_ADDRESS,)),
    ):
        with pytest.raises(Refused) as refused:
            await node(method, *params)
        assert (refused.value.status, refused.value.code) == (404, -32601), method
    assert (await node("validateaddress", LEGACY_ADDRESS))["ismine"]
    assert await node("estimatesmartfee", 6) == {"feerate": -1, "blocks": 6} and await node("estimatefee", 6) == -1
    raw = (await node("signrawtransaction", unsigned))["hex"]
    cheap = (await node("signrawtransaction", await payment(node, fee=1, witness=False)))["hex"]
    dear = (await node("signrawtransaction", await payment(node, fee=10**8, witness=False)))["hex"]
    other = (await node("signrawtransaction", await payment(node, fee=2 * FEE, witness=False)))["hex"]
    for refusable, message in ((cheap, "66: min relay fee not met"), (dear, "256: absurdly-high-fee")):
        with pytest.raises(Refused) as refused:
            await node("sendrawtransaction", refusable)
        assert (refused.value.code, refused.value.message) == (-26, message)
    txid = await node("sendrawtransaction", raw)
    with pytest.raises(Refused, match="258: txn-mempool-conflict"):
        await node("sendrawtransaction", other)
    await node.mine(1, LEGACY_ADDRESS)
    with pytest.raises(Refused, match="Missing inputs") as refused:
        await node("sendrawtransaction", other)
    assert refused.value.code == -25
    with pytest.raises(Refused, match="transaction already in block chain"):
        await node("sendrawtransaction", raw)
    view = await node("gettransaction", txid)
    assert not {"blockheight", "wtxid", "mempoolconflicts", "lastprocessedblock"} & set(view)
    listed = (await node("listsinceblock"))["transactions"]
    assert listed and not any("blockheight" in entry for entry in listed)
