"""The edge to a daemon's wallet over scripted answers: which calls it makes, and which answers it does not believe."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from chains.families import network
from chains.node_rpc import NodeUnavailableError, RpcError
from chains.node_wallet import NodeWallet, wallet_url
from chains.primitives.address import script_to_address
from chains.primitives.hashes import displayed, hash160
from chains.primitives.transaction import NULL_HASH, NULL_INDEX, Transaction, TxIn, TxOut
from chains.wallet import Coin, Outpoint, SendAnswer, SendResult, Tip, WalletRefusedError, WalletTransaction
from chains.wallet_signer import Signing, passphrase_in_environment, passphrase_in_file

KEY = b"\x02" + bytes(range(32))
SCRIPT = b"\x00\x14" + hash160(KEY)
SIGNATURE = b"\x30\x44" + bytes(68) + b"\x01"
BLOCK_HEX = "ab" * 32
COINBASE = Transaction(1, (TxIn(NULL_HASH, NULL_INDEX, b"\x01\x07"),), (TxOut(5_000, SCRIPT), TxOut(3, SCRIPT)))
PLAIN = Transaction(2, (TxIn(b"\x07" * 32, 0, b"\x51"),), (TxOut(900, SCRIPT),))
METHOD_NOT_FOUND = RpcError(-32601, "Method not found")
UNLOCKED = ["walletpassphrase", "walletlock"]

Answers = Mapping[str, Any]


class Scripted:
    """A node whose answer to each method is given: a value, an exception, or a function of the parameters."""

    def __init__(self, answers: Answers, name: str = "n") -> None:
        self.name = name
        self.answers = dict(answers)
        self.calls: list[tuple[Any, ...]] = []

    async def call(self, method: str, *params: Any, timeout_s: float | None = None) -> Any:
        self.calls.append((method, *params))
        answer = self.answers.get(method, METHOD_NOT_FOUND)
        if callable(answer):
            answer = answer(*params)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def close(self) -> None:
        self.calls.append(("close",))

    @property
    def methods(self) -> list[str]:
        return [call[0] for call in self.calls]


def record_of(transaction: Transaction, **changes: Any) -> dict[str, Any]:
    record: dict[str, Any] = {"txid": displayed(transaction.txid), "hex": transaction.serialize().hex()}
    record |= {"confirmations": 3, "blockhash": BLOCK_HEX, "blockheight": 8, "walletconflicts": []} | changes
    return {key: value for key, value in record.items() if value is not ...}


def gettransaction(*known: dict[str, Any]) -> Callable[..., Any]:
    by_txid = {record["txid"]: record for record in known}
    return lambda txid_hex: by_txid.get(txid_hex, RpcError(-5, "Invalid or non-wallet transaction id"))


def unspent(transaction: Transaction, vout: int, **changes: Any) -> dict[str, Any]:
    output = transaction.outputs[vout]
    record = {"txid": displayed(transaction.txid), "vout": vout, "scriptPubKey": output.script.hex()}
    record |= {"amount": Decimal(output.amount_sat).scaleb(-8), "confirmations": 3, "spendable": True}
    return record | changes


READY: dict[str, Any] = {
    "getblockchaininfo": {"chain": "main", "blocks": 10, "headers": 10, "bestblockhash": BLOCK_HEX},
    "getconnectioncount": 1,
    "getwalletinfo": {"scanning": False},
    "listunspent": [unspent(PLAIN, 0), unspent(COINBASE, 1), unspent(COINBASE, 0)],
    "gettransaction": gettransaction(record_of(PLAIN), record_of(COINBASE)),
}


def wallet(
    changes: Answers | None = None, *others: Scripted, name: str = "main", **options: Any
) -> tuple[NodeWallet, Scripted]:
    rpc = Scripted(READY | dict(changes or {}))
    return NodeWallet("chain", network("bitcoin", name), rpc, others, **options), rpc


# What the wallet has


async def test_node_wallet_coins_are_proven_and_remembered() -> None:
    edge, rpc = wallet()
    coins = await edge.coins()
    assert coins == sorted(
        [
            Coin(Outpoint(PLAIN.txid, 0), 900, SCRIPT, 3, False),
            Coin(Outpoint(COINBASE.txid, 0), 5_000, SCRIPT, 3, True),
            Coin(Outpoint(COINBASE.txid, 1), 3, SCRIPT, 3, True),
        ],
        key=lambda coin: coin.outpoint,
    )
    assert rpc.methods == ["listunspent", "gettransaction", "gettransaction"]
    assert await edge.coins() == coins
    assert rpc.methods[3:] == ["listunspent"]  # what a transaction says never changes
    rpc.answers["listunspent"] = []
    assert await edge.coins() == []
    rpc.answers["listunspent"] = [unspent(PLAIN, 0)]
    await edge.coins()
    assert rpc.methods[-1] == "gettransaction"  # only what there is is remembered


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        (None, "expected a list"),
        ({}, "expected a list"),
        ([5], "expected an object"),
        ([unspent(PLAIN, 0, amount=Decimal("-1"))], "amount"),
        ([unspent(PLAIN, 0, amount=Decimal("0.00000901"))], "the wallet says 901 units, the chain 900"),
        ([unspent(PLAIN, 0, scriptPubKey="0014" + "00" * 20)], "another script"),
        ([unspent(PLAIN, 0) | {"vout": 1}], "only 1 outputs"),
        ([unspent(PLAIN, 0), unspent(PLAIN, 0)], "twice"),
        ([unspent(PLAIN, 0, txid="00" * 32)], "unknown"),
    ],
    ids=str,
)
async def test_node_wallet_coins_that_make_no_sense(listed: Any, words: str) -> None:
    edge, _ = wallet({"listunspent": listed})
    with pytest.raises(WalletRefusedError, match=words):
        await edge.coins()


async def test_node_wallet_coins_of_another_transaction() -> None:
    edge, _ = wallet({"gettransaction": lambda txid_hex: record_of(COINBASE)})
    with pytest.raises(WalletRefusedError, match="another one"):
        await edge.coins()


async def test_node_wallet_ours() -> None:
    address = script_to_address(SCRIPT, network("bitcoin", "main").addresses)
    edge, rpc = wallet({"getaddressinfo": {"ismine": True}})
    assert await edge.is_ours(SCRIPT)
    assert rpc.calls == [("getaddressinfo", address)]
    assert not await edge.is_ours(b"\x6a\x01\x01") and len(rpc.calls) == 1
    rpc.answers["getaddressinfo"] = {"ismine": False}
    assert not await edge.is_ours(SCRIPT)
    old, rpc = wallet({"validateaddress": {"isvalid": True, "ismine": True}})
    assert await old.is_ours(SCRIPT)
    assert rpc.methods == ["getaddressinfo", "validateaddress"]
    rpc.answers["validateaddress"] = {"isvalid": True}
    assert not await old.is_ours(SCRIPT)
    rpc.answers["getaddressinfo"] = RpcError(-18, "not loaded")
    with pytest.raises(WalletRefusedError, match=r"getaddressinfo: not loaded \(-18\)"):
        await old.is_ours(SCRIPT)


async def test_node_wallet_has_sent_what_it_paid_to_others() -> None:
    received = {"category": "receive", "confirmations": 5, "txid": "ab" * 32}
    edge, rpc = wallet({"listsinceblock": {"transactions": [received, received | {"category": "immature"}]}})
    assert not await edge.has_sent()
    assert rpc.calls == [("listsinceblock",)]
    for confirmations, sent in ((3, True), (0, True), (-2, False)):  # below zero: another one took its place
        entry = {"category": "send", "confirmations": confirmations, "abandoned": False}
        rpc.answers["listsinceblock"] = {"transactions": [received, entry]}
        assert await edge.has_sent() is sent
        rpc.answers["listsinceblock"] = {"transactions": [entry | {"abandoned": True}]}
        assert not await edge.has_sent()
    for nonsense in (None, {"transactions": None}, {"transactions": [7]}, {"transactions": [{"category": "send"}]}):
        rpc.answers["listsinceblock"] = nonsense
        with pytest.raises(WalletRefusedError, match="listsinceblock"):
            await edge.has_sent()


async def test_node_wallet_unspent() -> None:
    edge, rpc = wallet({"gettxout": {"value": Decimal("0.1")}})
    assert await edge.is_unspent(Outpoint(PLAIN.txid, 4))
    assert rpc.calls == [("gettxout", displayed(PLAIN.txid), 4, True)]
    rpc.answers["gettxout"] = None
    assert not await edge.is_unspent(Outpoint(PLAIN.txid, 4))
    for nonsense in (True, [], "yes"):
        rpc.answers["gettxout"] = nonsense
        with pytest.raises(WalletRefusedError, match="gettxout"):
            await edge.is_unspent(Outpoint(PLAIN.txid, 4))


async def test_node_wallet_change_script() -> None:
    address = script_to_address(SCRIPT, network("bitcoin", "main").addresses)
    edge, rpc = wallet({"getrawchangeaddress": address})
    assert await edge.change_script() == SCRIPT
    foreign = script_to_address(SCRIPT, network("litecoin", "main").addresses)
    for nonsense in (None, 7, "", "a\nb", foreign):
        rpc.answers["getrawchangeaddress"] = nonsense
        with pytest.raises(WalletRefusedError, match="getrawchangeaddress") as refused:
            await edge.change_script()
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("answer", "rate"),
    [
        ({"feerate": Decimal("0.00012345"), "blocks": 2}, 12_345),
        ({"feerate": 1, "blocks": 2}, 100_000_000),
        ({"errors": ["Insufficient data or no feerate found"], "blocks": 0}, None),
        ({"feerate": -1, "blocks": 25}, None),
        ({"feerate": Decimal("-1.00000000"), "blocks": 25}, None),
        ({"feerate": 0, "blocks": 2}, None),
    ],
    ids=str,
)
async def test_node_wallet_fee_rate(answer: Any, rate: int | None) -> None:
    edge, rpc = wallet({"estimatesmartfee": answer})
    assert await edge.fee_rate(6) == rate
    assert rpc.calls == [("estimatesmartfee", 6)]


async def test_node_wallet_fee_rate_of_old_daemons_and_nonsense() -> None:
    edge, rpc = wallet({"estimatefee": Decimal("0.01")})
    assert await edge.fee_rate(6) == 1_000_000
    rpc.answers["estimatefee"] = -1
    assert await edge.fee_rate(6) is None
    for nonsense in ({"feerate": "1"}, {"feerate": Decimal("0.123456789")}, {"feerate": -2}, 7, None):
        rpc.answers["estimatesmartfee"] = nonsense
        with pytest.raises(WalletRefusedError, match="estimatesmartfee"):
            await edge.fee_rate(6)


# Whether to decide anything now


async def test_node_wallet_tip() -> None:
    edge, _ = wallet()
    assert await edge.tip() == Tip(10, BLOCK_HEX)


@pytest.mark.parametrize(
    ("method", "changes", "words"),
    [
        ("getblockchaininfo", {"headers": 11}, "1 blocks behind"),
        ("getblockchaininfo", {"initialblockdownload": True}, "initial block download"),
        ("getblockchaininfo", {"chain": "te\nst"}, "'te st', not 'main'"),
        ("getblockchaininfo", {"blocks": -1}, "blocks"),
        ("getblockchaininfo", {"blocks": True}, "blocks"),
        ("getblockchaininfo", {"headers": None}, "headers"),
        ("getblockchaininfo", {"bestblockhash": "ab"}, "bestblockhash"),
        ("getwalletinfo", {"scanning": {"duration": 3, "progress": Decimal("0.4")}}, "scanning"),
    ],
    ids=str,
)
async def test_node_wallet_tip_is_no_tip_while_something_is_missing(
    method: str, changes: dict[str, Any], words: str
) -> None:
    edge, _ = wallet({method: READY[method] | changes})
    with pytest.raises(WalletRefusedError, match=words):
        await edge.tip()


async def test_node_wallet_tip_that_another_node_has_left_behind() -> None:
    """A node that is stuck, or comes out of a crash, shows less than there is; another that is away proves nothing."""
    cases: list[tuple[Any, bool]] = [(12, False), (13, True), (9, False), (AWAY, False), (HANGS, False), ("99", False)]
    for told, behind in cases:
        other = Scripted({"getblockcount": told}, "other")
        edge, _ = wallet({}, Scripted({"getblockcount": AWAY}), other)
        if behind:
            with pytest.raises(WalletRefusedError, match="the wallet's node is 3 blocks behind other"):
                await edge.tip()
        else:
            assert (await edge.tip()).height == 10
        assert other.calls == [("getblockcount",)]


async def test_node_wallet_tip_of_a_node_that_was_just_started() -> None:
    """It has not heard of the blocks yet that it lost in a crash."""
    edge, rpc = wallet({"uptime": 119})
    with pytest.raises(WalletRefusedError, match="started just now"):
        await edge.tip()
    rpc.answers["uptime"] = 120
    assert (await edge.tip()).height == 10
    for nonsense in (None, -1, "5", True, Decimal("9.5"), RpcError(-1, "no")):
        rpc.answers["uptime"] = nonsense
        with pytest.raises(WalletRefusedError, match="uptime"):
            await edge.tip()


async def test_node_wallet_tip_needs_a_peer_but_on_regtest() -> None:
    edge, _ = wallet({"getconnectioncount": 0})
    with pytest.raises(WalletRefusedError, match="no peers"):
        await edge.tip()
    alone = READY["getblockchaininfo"] | {"chain": "regtest", "initialblockdownload": True}
    edge, rpc = wallet({"getblockchaininfo": alone, "getconnectioncount": 0, "uptime": 0}, name="regtest")
    assert (await edge.tip()).height == 10
    rpc.answers["getblockchaininfo"] = alone | {"headers": 12}
    with pytest.raises(WalletRefusedError, match="2 blocks behind"):
        await edge.tip()


@pytest.mark.parametrize("code", [-7, -9, -10, -20, -32603])
async def test_node_wallet_trouble_of_the_node_is_an_outage(code: int) -> None:
    trouble = RpcError(code, "trouble")
    edge, _ = wallet({method: trouble for method in (*READY, "getrawchangeaddress", "sendrawtransaction")})
    for call in (edge.tip, edge.coins, edge.change_script, lambda: edge.broadcast(PLAIN.serialize())):
        with pytest.raises(NodeUnavailableError, match="trouble"):
            await call()


async def test_node_wallet_other_refusals_name_the_method() -> None:
    edge, _ = wallet({"listunspent": RpcError(-18, "Requested wallet does not exist or is not loaded")})
    with pytest.raises(WalletRefusedError, match=r"listunspent: Requested wallet .* \(-18\)"):
        await edge.coins()


# Transactions


async def test_node_wallet_transaction() -> None:
    edge, rpc = wallet()
    expected = WalletTransaction(PLAIN.txid, PLAIN.serialize(), 3, BLOCK_HEX, 8)
    assert await edge.transaction(PLAIN.txid) == expected
    assert await edge.transaction(bytes(32)) is None
    rpc.answers["gettransaction"] = gettransaction(record_of(PLAIN, blockheight=...))
    rpc.answers["getblockheader"] = {"height": 8}
    assert await edge.transaction(PLAIN.txid) == expected
    assert rpc.calls[-1] == ("getblockheader", BLOCK_HEX)
    rpc.answers["gettransaction"] = gettransaction(record_of(PLAIN, confirmations=0, blockhash=..., blockheight=...))
    assert await edge.transaction(PLAIN.txid) == replace(expected, confirmations=0, block_hash_hex=None, height=None)
    rpc.answers["gettransaction"] = gettransaction(record_of(PLAIN, confirmations=-7))
    assert await edge.transaction(PLAIN.txid) == replace(expected, confirmations=-7, block_hash_hex=None, height=None)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hex": ...}, "hex digits"),
        ({"hex": COINBASE.serialize().hex()}, "another one"),
        ({"confirmations": ...}, "confirmations"),
        ({"confirmations": Decimal("1.5")}, "confirmations"),
        ({"confirmations": True}, "confirmations"),
        ({"blockhash": ...}, "blockhash"),
        ({"blockhash": 5}, "blockhash"),
        ({"blockheight": -1}, "blockheight"),
        ({"blockheight": ...}, "getblockheader"),
    ],
    ids=str,
)
async def test_node_wallet_transaction_that_makes_no_sense(changes: dict[str, Any], words: str) -> None:
    edge, _ = wallet({"gettransaction": gettransaction(record_of(PLAIN, **changes))})
    with pytest.raises(WalletRefusedError, match=words):
        await edge.transaction(PLAIN.txid)


async def test_node_wallet_transactions_since() -> None:
    """Confirmed above the height, and waiting; each once, in the wallet's order."""
    waiting = replace(PLAIN, version=3)
    conflicted = replace(PLAIN, version=4)
    orphaned = replace(COINBASE, version=5)
    below = replace(PLAIN, version=6)
    known = [
        record_of(COINBASE, blockheight=9),
        record_of(PLAIN, blockheight=8),
        record_of(waiting, confirmations=0, blockhash=...),
        record_of(conflicted, confirmations=-1, blockhash=...),
        record_of(orphaned, confirmations=0, blockhash=...),
        record_of(below, blockheight=7),
    ]
    entries = [{"txid": record["txid"], "vout": vout} for record in known for vout in (0, 1)]
    edge, rpc = wallet(
        {
            "getblockhash": "cd" * 32,
            "getblockcount": 10,
            "listunspent": [],
            "listsinceblock": {"transactions": entries, "lastblock": BLOCK_HEX},
            "gettransaction": gettransaction(*known),
        }
    )
    found = await edge.transactions_since(7)
    assert [t.txid for t in found] == [COINBASE.txid, PLAIN.txid, waiting.txid]
    assert rpc.calls[:2] == [("getblockhash", 7), ("listsinceblock", "cd" * 32, 1)]
    assert rpc.methods.count("gettransaction") == len(known)


async def test_node_wallet_transactions_since_finds_what_only_paid_change() -> None:
    """A chain of consolidations: listsinceblock tells none of them, the last one's coin leads to the others; those
    below the height end the way, and so do coins that others paid in."""

    def spending(*sources: Transaction, lock_time: int) -> Transaction:
        inputs = tuple(TxIn(source.txid, 0, b"\x51") for source in sources)
        return Transaction(2, inputs, (TxOut(800, SCRIPT),), lock_time)

    foreign = replace(PLAIN, lock_time=50)
    old = spending(PLAIN, lock_time=1)
    first = spending(old, foreign, lock_time=2)
    second = spending(first, lock_time=3)
    last = spending(second, lock_time=4)
    deposit = replace(PLAIN, lock_time=51)  # pays us; its inputs are none of ours
    known = [
        record_of(old, blockheight=7, fee=Decimal("-0.1")),
        record_of(first, blockheight=8, fee=Decimal("-0.1")),
        record_of(second, blockheight=9, fee=Decimal("-0.1")),
        record_of(last, confirmations=0, blockhash=..., fee=Decimal("-0.1")),
        record_of(deposit, blockheight=9),
    ]
    asked: list[str] = []
    answer = gettransaction(*known)

    def told(txid_hex: str) -> Any:
        asked.append(txid_hex)
        return answer(txid_hex)

    edge, _ = wallet(
        {
            "getblockhash": "cd" * 32,
            "getblockcount": 10,
            "listsinceblock": {"transactions": []},
            "listunspent": [
                unspent(last, 0, confirmations=0),
                unspent(deposit, 0, confirmations=2),
                unspent(COINBASE, 0, confirmations=4),  # too old to be asked about
            ],
            "gettransaction": told,
        }
    )
    found = await edge.transactions_since(7)
    assert [t.txid for t in found] == [last.txid, deposit.txid, second.txid, first.txid]
    assert sorted(asked) == sorted(displayed(t.txid) for t in (last, deposit, second, first, old, foreign))


async def test_node_wallet_transactions_since_a_height_that_is_gone() -> None:
    edge, rpc = wallet(
        {
            "getblockhash": RpcError(-8, "Block height out of range"),
            "getbestblockhash": BLOCK_HEX,
            "getblockcount": 10,
            "listsinceblock": {"transactions": []},
        }
    )
    assert await edge.transactions_since(99) == []
    assert ("listsinceblock", BLOCK_HEX, 1) in rpc.calls and "gettransaction" not in rpc.methods
    rpc.answers["getblockhash"] = RpcError(-1, "no")
    with pytest.raises(WalletRefusedError, match="getblockhash"):
        await edge.transactions_since(9)
    rpc.answers["getblockhash"] = BLOCK_HEX
    for nonsense in (None, {}, {"transactions": {}}, {"transactions": [5]}, {"transactions": [{"txid": 5}]}):
        rpc.answers["listsinceblock"] = nonsense
        with pytest.raises(WalletRefusedError, match="listsinceblock"):
            await edge.transactions_since(9)


# Signing

COIN = Coin(Outpoint(PLAIN.txid, 0), 900, SCRIPT, 3, False)
UNSIGNED = Transaction(2, (TxIn(PLAIN.txid, 0, b"", 0xFFFFFFFD),), (TxOut(800, b"\x51"),))
SIGNED = replace(UNSIGNED, inputs=(replace(UNSIGNED.inputs[0], witness=(SIGNATURE, KEY)),))
SIGNED_HEX = SIGNED.serialize().hex()
COMPLETE = {"hex": SIGNED_HEX, "complete": True}
PSBT = {"converttopsbt": "psbt1", "walletprocesspsbt": {"psbt": "psbt2", "complete": True}, "finalizepsbt": COMPLETE}
RAW = {"signrawtransactionwithwallet": COMPLETE}
OLD = {"signrawtransaction": COMPLETE}


@pytest.mark.parametrize(
    ("answers", "signing", "methods"),
    [
        (PSBT | RAW, Signing.AUTO, ["converttopsbt", "walletprocesspsbt", "finalizepsbt"]),
        (PSBT | RAW, Signing.PSBT, ["converttopsbt", "walletprocesspsbt", "finalizepsbt"]),
        (PSBT | RAW, Signing.RAW, ["signrawtransactionwithwallet"]),
        (RAW, Signing.AUTO, ["converttopsbt", "signrawtransactionwithwallet"]),
        (OLD, Signing.AUTO, ["converttopsbt", "signrawtransactionwithwallet", "signrawtransaction"]),
        (OLD, Signing.RAW, ["signrawtransactionwithwallet", "signrawtransaction"]),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_node_wallet_signs_the_way_the_daemon_has(answers: Answers, signing: Signing, methods: list[str]) -> None:
    edge, rpc = wallet(answers, signing=signing)
    assert await edge.sign(UNSIGNED.serialize(), [COIN]) == SIGNED.serialize()
    assert rpc.methods == ["gettransaction", *methods]
    rpc.calls.clear()
    await edge.sign(UNSIGNED.serialize(), [COIN])
    assert rpc.calls[1][1] == UNSIGNED.serialize().hex()
    assert rpc.methods[1:] == [method for method in methods if method in answers]  # what it lacks is not asked again


async def test_node_wallet_signs_no_other_way_than_configured() -> None:
    edge, rpc = wallet(RAW, signing=Signing.PSBT)
    with pytest.raises(WalletRefusedError, match="signing: Method not found"):
        await edge.sign(UNSIGNED.serialize(), [COIN])
    edge, rpc = wallet(PSBT, signing=Signing.RAW)
    for _ in range(2):
        with pytest.raises(WalletRefusedError, match="signing: Method not found"):
            await edge.sign(UNSIGNED.serialize(), [COIN])
    assert "walletprocesspsbt" not in rpc.methods


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "expected an object"),
        ({"hex": SIGNED_HEX}, "cannot sign every input"),
        ({"hex": SIGNED_HEX, "complete": 1}, "cannot sign every input"),
        ({"psbt": "x", "complete": False}, "cannot sign every input: no reason given"),
        ({"complete": False, "errors": [{"error": "Input not\nfound"}]}, "cannot sign every input: Input not found"),
        ({"complete": False, "errors": [7]}, "cannot sign every input"),
        ({"complete": True}, "hex: missing"),
        ({"complete": True, "hex": "zz"}, "hex: expected hex digits"),
        ({"complete": True, "hex": "00"}, "unreadable"),
        ({"complete": True, "hex": UNSIGNED.serialize().hex()}, "without a signature"),
        ({"complete": True, "hex": replace(SIGNED, lock_time=1).serialize().hex()}, "another transaction"),
        (RpcError(-22, "TX decode failed"), "signing: TX decode failed"),
    ],
    ids=lambda value: str(value)[:50],
)
async def test_node_wallet_signatures_that_are_not_believed(answer: Any, words: str) -> None:
    edge, _ = wallet({"signrawtransactionwithwallet": answer}, signing=Signing.RAW)
    with pytest.raises(WalletRefusedError, match=words):
        await edge.sign(UNSIGNED.serialize(), [COIN])


async def test_node_wallet_signs_no_coin_that_it_does_not_know() -> None:
    edge, rpc = wallet(PSBT)
    for coin, words in (
        (replace(COIN, amount=901), "the wallet says 901 units, the chain 900"),
        (replace(COIN, script=b"\x51"), "another script"),
    ):
        with pytest.raises(WalletRefusedError, match=words):
            await edge.sign(UNSIGNED.serialize(), [coin])
    elsewhere = replace(UNSIGNED, inputs=(replace(UNSIGNED.inputs[0], previous_txid=b"\x01" * 32),))
    with pytest.raises(WalletRefusedError, match="does not know"):
        await edge.sign(elsewhere.serialize(), [replace(COIN, outpoint=Outpoint(b"\x01" * 32, 0))])
    assert set(rpc.methods) == {"gettransaction"}


SECRET = "open sesame"
LOCKED_AGAIN = {"walletpassphrase": None, "walletlock": None}


async def test_node_wallet_is_open_while_it_signs_and_no_longer(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    edge, rpc = wallet(RAW | LOCKED_AGAIN, signing=Signing.RAW, passphrase=lambda: SECRET)
    await edge.sign(UNSIGNED.serialize(), [COIN])
    assert rpc.methods[1:] == ["walletpassphrase", "signrawtransactionwithwallet", "walletlock"]
    assert rpc.calls[1] == ("walletpassphrase", SECRET, 30)
    assert SECRET not in repr(vars(edge)) and SECRET not in caplog.text


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (RpcError(-22, "TX decode failed"), WalletRefusedError),
        (NodeUnavailableError("away"), NodeUnavailableError),
        ({"complete": False}, WalletRefusedError),
    ],
    ids=str,
)
async def test_node_wallet_is_locked_whatever_happens(answer: Any, error: type[Exception]) -> None:
    answers = {"signrawtransactionwithwallet": answer} | LOCKED_AGAIN
    edge, rpc = wallet(answers, signing=Signing.RAW, passphrase=lambda: SECRET)
    with pytest.raises(error):
        await edge.sign(UNSIGNED.serialize(), [COIN])
    assert rpc.methods[-1] == "walletlock"


async def test_node_wallet_is_locked_when_signing_is_broken_off() -> None:
    begun = asyncio.Event()

    class Slow(Scripted):
        async def call(self, method: str, *params: Any, timeout_s: float | None = None) -> Any:
            if method == "signrawtransactionwithwallet":
                begun.set()
                await asyncio.Event().wait()
            return await super().call(method, *params)

    rpc = Slow(READY | LOCKED_AGAIN)
    edge = NodeWallet("c", network("bitcoin", "main"), rpc, signing=Signing.RAW, passphrase=lambda: SECRET)
    signing = asyncio.create_task(edge.sign(UNSIGNED.serialize(), [COIN]))
    await begun.wait()
    signing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await signing
    assert rpc.methods[-1] == "walletlock"


async def test_node_wallet_lock_that_fails_is_told_and_costs_no_signature(caplog: pytest.LogCaptureFixture) -> None:
    for failure in (RpcError(-4, "no"), NodeUnavailableError("away")):
        caplog.clear()
        answers = RAW | LOCKED_AGAIN | {"walletlock": failure}
        edge, _ = wallet(answers, signing=Signing.RAW, passphrase=lambda: SECRET)
        assert await edge.sign(UNSIGNED.serialize(), [COIN]) == SIGNED.serialize()
        assert "wallet not locked, it locks itself within 30 s chain=chain" in caplog.text


async def test_node_wallet_wrong_passphrase_and_unencrypted_wallet(caplog: pytest.LogCaptureFixture) -> None:
    wrong = RpcError(-14, "Error: The wallet passphrase entered was incorrect.")
    edge, rpc = wallet(RAW | {"walletpassphrase": wrong, "walletlock": None}, passphrase=lambda: SECRET)
    with pytest.raises(WalletRefusedError, match="incorrect"):
        await edge.sign(UNSIGNED.serialize(), [COIN])
    assert rpc.methods[-2:] == ["walletpassphrase", "walletlock"]
    rpc.answers["walletpassphrase"] = RpcError(-1, f"walletpassphrase {SECRET} what?")
    with pytest.raises(WalletRefusedError, match="walletpassphrase … what") as refused:
        await edge.sign(UNSIGNED.serialize(), [COIN])
    assert SECRET not in "".join(traceback.format_exception(refused.value))
    plain = RpcError(-15, "Error: running with an unencrypted wallet")
    caplog.clear()
    edge, rpc = wallet(RAW | dict.fromkeys(UNLOCKED, plain), passphrase=lambda: SECRET)
    assert await edge.sign(UNSIGNED.serialize(), [COIN]) == SIGNED.serialize()
    assert [r.getMessage() for r in caplog.records] == [
        "wallet is not encrypted, though a passphrase is configured chain=chain"
    ]


async def test_node_wallet_passphrase_from_file_or_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "passphrase"
    for read in (passphrase_in_file(file), passphrase_in_environment("PARAPOOL_TEST_PASSPHRASE")):
        edge, rpc = wallet(RAW | LOCKED_AGAIN, signing=Signing.RAW, passphrase=read)
        monkeypatch.delenv("PARAPOOL_TEST_PASSPHRASE", raising=False)
        for broken in (None, "", "\nsecond line"):
            if broken is not None:
                file.write_text(broken)
                monkeypatch.setenv("PARAPOOL_TEST_PASSPHRASE", "")
            with pytest.raises(WalletRefusedError, match="passphrase cannot be read"):
                await edge.sign(UNSIGNED.serialize(), [COIN])
        assert "signrawtransactionwithwallet" not in rpc.methods
        file.write_text(f" {SECRET} \r\nsecond line")
        monkeypatch.setenv("PARAPOOL_TEST_PASSPHRASE", f" {SECRET} ")
        assert await edge.sign(UNSIGNED.serialize(), [COIN])
        assert ("walletpassphrase", f" {SECRET} ", 30) in rpc.calls
        file.unlink()


# Sending


async def test_node_wallet_asks_whether_a_payment_would_be_taken() -> None:
    raw = SIGNED.serialize()
    edge, rpc = wallet()
    assert await edge.accepts(raw) is None  # a daemon that cannot tell
    assert rpc.calls == [("testmempoolaccept", [SIGNED_HEX])]
    for verdict, reason in (
        ({"allowed": True}, None),
        ({"allowed": False, "reject-reason": "txn-already-in-mempool"}, None),
        ({"allowed": False, "reject-reason": "txn-already-known"}, None),
        ({"allowed": False, "reject-reason": "missing-inputs"}, "missing-inputs"),
        ({"allowed": False, "reject-reason": "a", "reject-details": "a, b\n"}, "a, b"),
        ({"allowed": False}, "no reason given"),
        ({}, "no reason given"),
        ({"allowed": 1}, "no reason given"),
    ):
        rpc.answers["testmempoolaccept"] = [verdict]
        assert await edge.accepts(raw) == reason
    for nonsense in (None, [], [5], {}):
        rpc.answers["testmempoolaccept"] = nonsense
        with pytest.raises(WalletRefusedError, match="testmempoolaccept"):
            await edge.accepts(raw)
    rpc.answers["testmempoolaccept"] = RpcError(-22, "TX decode failed")
    assert await edge.accepts(raw) == "TX decode failed (-22)"


SENT_HEX = displayed(SIGNED.txid)
FEE = RpcError(-26, "min relay fee not met, 0 < 110")
MISSING = RpcError(-25, "bad-txns-inputs-missingorspent")
CONFIRMED = RpcError(-27, "Transaction already in block chain")
AWAY = NodeUnavailableError("away")
HANGS = RpcError(-28, "Loading block index")
CASES: list[tuple[list[Any], SendResult | None]] = [
    ([SENT_HEX], SendResult.SENT),
    ([SENT_HEX, AWAY], SendResult.SENT),
    ([AWAY, SENT_HEX], SendResult.SENT),
    ([MISSING, SENT_HEX], SendResult.SENT),
    ([SENT_HEX, CONFIRMED], SendResult.CONFIRMED),
    ([FEE, MISSING], SendResult.FEE_TOO_LOW),
    ([FEE, AWAY, HANGS], SendResult.FEE_TOO_LOW),
    ([MISSING, AWAY], SendResult.MISSING_INPUTS),
    ([AWAY, HANGS], None),
    ([HANGS], None),
    ([None], None),
    (["00" * 32], None),
]


@pytest.mark.parametrize(("answers", "result"), CASES, ids=str)
async def test_node_wallet_sends_the_same_bytes_to_every_node(answers: list[Any], result: SendResult | None) -> None:
    others = [Scripted({"sendrawtransaction": answer}, f"n{number}") for number, answer in enumerate(answers[1:])]
    edge, rpc = wallet({"sendrawtransaction": answers[0]}, *others)
    if result is None:
        with pytest.raises(NodeUnavailableError):
            await edge.broadcast(SIGNED.serialize())
    else:
        assert (await edge.broadcast(SIGNED.serialize())).result is result
    for node in (rpc, *others):
        assert node.calls == [("sendrawtransaction", SIGNED_HEX)]


async def test_node_wallet_unknown_words_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    words = RpcError(-26, "the moon is full")
    edge, rpc = wallet({"sendrawtransaction": words})
    for _ in range(3):
        assert await edge.broadcast(SIGNED.serialize()) == SendAnswer(
            SendResult.REJECTED, "the moon is full (-26)"
        )
    line = "unknown answer to a payment chain=chain node=n answer=the moon is full (-26)"
    assert [record.getMessage() for record in caplog.records] == [line]
    rpc.answers["sendrawtransaction"] = RpcError(-26, "bad-txns-in-belowout")
    assert (await edge.broadcast(SIGNED.serialize())).result is SendResult.REJECTED
    assert len(caplog.records) == 1


async def test_node_wallet_a_fault_of_ours_is_no_outage() -> None:
    edge, _ = wallet({"sendrawtransaction": ZeroDivisionError()})
    with pytest.raises(ZeroDivisionError):
        await edge.broadcast(SIGNED.serialize())


async def test_node_wallet_closes_every_node() -> None:
    other = Scripted({})
    edge, rpc = wallet({}, other)
    await edge.close()
    assert rpc.methods == other.methods == ["close"]


def test_node_wallet_url_takes_any_name() -> None:
    assert wallet_url("http://127.0.0.1:9332/", "pay") == "http://127.0.0.1:9332/wallet/pay"
    assert wallet_url("http://h:1", "a/b ?#%ü") == "http://h:1/wallet/a%2Fb%20%3F%23%25%C3%BC"
    assert wallet_url("http://h:1", "") == "http://h:1/wallet/"
