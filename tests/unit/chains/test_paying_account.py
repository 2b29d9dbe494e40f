"""The account's wallet over a node that is slow, behind, on another chain, or lies; and what its answers mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from coincurve import PrivateKey
from support.fake_account import CHAIN_ID, SCRIPT, SECRET, FakeAccountWallet, FakeRpc

from chains import account_node, account_wallet
from chains.account_node import AccountNode
from chains.account_wallet import AccountWallet
from chains.accounts.coins import Spend
from chains.accounts.transfer import Payment, Transfer, is_signed, read_transfer, sign
from chains.node_rpc import NodeUnavailableError, RpcError
from chains.primitives.address import address_to_script, script_to_address
from chains.primitives.hashes import displayed
from chains.wallet import ForeignSpendError, Outpoint, SendResult, Tip, Turn, WalletRefusedError

KINDS = [None, "beta"]
MINER = b"\x00\x14" + bytes(19) + b"\x01"
KEY = PrivateKey(SECRET).public_key.format()


class Bent:
    """A node whose answers a test changes: `answers` by method, a value, an exception, or a function of the answer."""

    def __init__(self, chain: FakeAccountWallet, chain_name: str | None, **answers: Any) -> None:
        self.name = "bent"
        self.asked: list[tuple[Any, ...]] = []
        self.answers = answers
        self._rpc = FakeRpc(chain, lambda name: None, chain_name)

    async def call(self, method: str, *params: Any, timeout_s: float | None = None) -> Any:
        self.asked.append((method, *params))
        bent = self.answers.get(method)
        if isinstance(bent, Exception):
            raise bent
        if bent is None:
            return await self._rpc.call(method, *params)
        return bent(await self._rpc.call(method, *params)) if callable(bent) else bent

    async def close(self) -> None:
        pass


def world(chain_name: str | None = None, **answers: Any) -> tuple[FakeAccountWallet, AccountWallet, Bent]:
    """A chain on which the account got 1000 and then 500, and a wallet over a node that tells it."""
    chain = FakeAccountWallet(maturity=3, chain_name=chain_name)
    for reward in (1000, 500):
        chain.mine(1, reward=reward)
    chain.mine(4)
    rpc = Bent(chain, chain_name, **answers)
    node = AccountNode(rpc, chain_name)
    wallet = AccountWallet("alpha", chain.real.address, chain.addresses, SECRET, (node,), maturity=3)
    wallet.spends = no_spends
    return chain, wallet, rpc


async def no_spends() -> Mapping[bytes, Spend]:
    return {}


def payment(nonce: int = 0, amount: int = 300, fee: int = 200) -> bytes:
    return CHAIN_ID + Transfer(SCRIPT, KEY, nonce, fee, (Payment(MINER, amount),)).unsigned()


def with_beta(view: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return view | {"chains": [view["chains"][1] | changes]}


def error(word: str, code: int = -26) -> RpcError:
    return RpcError(code, word)


@pytest.mark.parametrize("chain_name", KINDS)
async def test_paying_account_shows_coins_by_what_the_pool_calls_their_blocks(chain_name: str | None) -> None:
    chain, wallet, _ = world(chain_name)
    assert await wallet.tip() == Tip(chain.height, chain.hash_at(chain.height))
    coins = await wallet.coins()
    names = {bytes.fromhex(chain.hash_at(chain.height - back))[::-1]: amount for back, amount in ((5, 1000), (4, 500))}
    assert {coin.outpoint.txid: coin.amount for coin in coins} == names
    for coin in coins:
        found = await wallet.transaction(coin.outpoint.txid)
        assert found is not None and found.block_hash_hex == displayed(coin.outpoint.txid)
        assert found.confirmations == coin.confirmations
    assert await wallet.transaction(b"\x01" * 32) is None
    assert await wallet.is_ours(SCRIPT) and not await wallet.is_ours(MINER)
    assert not await wallet.has_sent()
    assert await wallet.is_unspent(coins[0].outpoint) and not await wallet.is_unspent(Outpoint(b"\x01" * 32, 0))
    assert await wallet.change_script() == SCRIPT
    assert await wallet.turn() == Turn(CHAIN_ID, SCRIPT, wallet.public_key, 0)
    assert await wallet.fee_rate(6) == 1000


@pytest.mark.parametrize("chain_name", KINDS)
async def test_paying_account_signs_sends_and_finds_a_transfer(chain_name: str | None) -> None:
    chain, wallet, _ = world(chain_name)
    coins = await wallet.coins()
    raw = await wallet.sign(payment(), coins)
    assert raw == await wallet.sign(payment(), coins), "no chance is involved"
    transfer = read_transfer(raw[32:])
    txid = transfer.id_on(CHAIN_ID)
    assert await wallet.accepts(raw) is None
    assert await wallet.transaction(txid) is None
    assert (await wallet.broadcast(raw)).result is SendResult.SENT
    again = (await wallet.broadcast(raw)).result
    assert again is (SendResult.SENT if chain_name is None else SendResult.KNOWN), "kind bk tells its id and no more"
    waiting = await wallet.transaction(txid)
    assert waiting is not None and (waiting.confirmations, waiting.block_hash_hex) == (0, None)
    assert await wallet.has_sent()
    chain.mine(2)
    found = await wallet.transaction(txid)
    assert found is not None and (found.confirmations, found.height) == (2, chain.height - 1)
    assert found.block_hash_hex == chain.hash_at(chain.height - 1)
    (left,) = await wallet.transactions_since(chain.height - 2)
    assert (left.txid, left.raw) == (txid, raw)
    assert await wallet.transactions_since(chain.height - 1) == []
    assert (await wallet.broadcast(raw)).result is (SendResult.SENT if chain_name is None else SendResult.CONFIRMED)
    with pytest.raises(ForeignSpendError, match=f"transfer {displayed(txid)} of height .* took 500 from the account"):
        await wallet.coins()
    change = Outpoint(txid, 1)

    async def spends() -> Mapping[bytes, Spend]:
        return {txid: Spend(tuple((coin.outpoint, coin.amount) for coin in coins), (change, 1000))}

    wallet.spends = spends
    assert [(coin.outpoint, coin.amount) for coin in await wallet.coins()] == [(change, 1000)]


async def test_paying_account_signs_nothing_that_is_not_its_own() -> None:
    _, wallet, _ = world()
    other = Transfer(MINER, b"\x02" * 33, 0, 1, (Payment(MINER, 1),))
    for unsigned, words in (
        (CHAIN_ID + other.unsigned(), "not of this account"),
        (b"\x01" * 32 + payment()[32:], "another chain"),
        (b"\x01" * 40, "no transfer"),
        (payment() + b"\x00", "no transfer"),
    ):
        with pytest.raises(WalletRefusedError, match=words):
            await wallet.sign(unsigned, ())


def test_paying_account_takes_only_the_key_of_its_address() -> None:
    chain = FakeAccountWallet()
    nodes = chain.real._nodes
    with pytest.raises(WalletRefusedError, match="not that of the chain's address"):
        AccountWallet("alpha", chain.real.address, chain.addresses, bytes(31) + b"\x09", nodes, maturity=1)
    address = script_to_address(b"\x51\x20" + KEY[1:], chain.addresses)
    assert address is not None
    wallet = AccountWallet("alpha", address, chain.addresses, SECRET, nodes, maturity=1)
    assert wallet.script == address_to_script(address, chain.addresses)
    signed = sign(Transfer(wallet.script, wallet.public_key, 0, 0, (Payment(MINER, 1),)), CHAIN_ID, SECRET)
    assert is_signed(signed, CHAIN_ID)


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (error("known"), SendResult.KNOWN),
        (error("nonce-used"), SendResult.MISSING_INPUTS),
        (error("fee-too-low"), SendResult.FEE_TOO_LOW),
        (error("replacement-fee-too-low"), SendResult.FEE_TOO_LOW),
        (error("mempool-full"), SendResult.FEE_TOO_LOW),
        (error("nonce-gap"), SendResult.REJECTED),
        (error("insufficient-balance"), SendResult.REJECTED),
    ],
    ids=str,
)
async def test_paying_account_knows_what_a_refusal_means(answer: RpcError, result: SendResult) -> None:
    _, wallet, _ = world(sendtransfer=answer)
    raw = await wallet.sign(payment(), ())
    found = await wallet.broadcast(raw)
    assert found.result is result and found.reason == f"{answer.message} (-26)"


async def test_paying_account_outages_are_no_answers() -> None:
    for trouble in (error("in warmup", -28), error("internal", -32603), NodeUnavailableError("away")):
        _, wallet, rpc = world()
        raw = await wallet.sign(payment(), ())
        rpc.answers = dict.fromkeys(("sendtransfer", "getblockchaininfo", "getbalance", "gettransfer"), trouble)
        for asked in (wallet.broadcast(raw), wallet.tip(), wallet.turn(), wallet.transaction(b"\x01" * 32)):
            with pytest.raises(NodeUnavailableError):
                await asked
    _, wallet, rpc = world(sendtransfer="00" * 32)
    with pytest.raises(NodeUnavailableError, match="not the transfer's id"):
        await wallet.broadcast(await wallet.sign(payment(), ()))


async def test_paying_account_hears_all_its_nodes() -> None:
    chain, wallet, _ = world()
    away, ahead = Bent(chain, None), Bent(chain, None)
    nodes = [AccountNode(one) for one in (Bent(chain, None), away, ahead)]
    both = AccountWallet("alpha", wallet.address, chain.addresses, SECRET, nodes, maturity=3)
    away.answers = dict.fromkeys(("sendtransfer", "getblockchaininfo"), NodeUnavailableError("away"))
    assert (await both.tip()).height == chain.height
    ahead.answers = {"getblockchaininfo": lambda info: info | {"blocks": info["blocks"] + 3}}
    with pytest.raises(WalletRefusedError, match="3 blocks behind bent"):
        await both.tip()
    raw = await both.sign(payment(), ())
    assert (await both.broadcast(raw)).result is SendResult.SENT
    await both.close()


@pytest.mark.parametrize(
    ("chain_name", "answers", "words"),
    [
        (None, {"getblockchaininfo": {}}, "genesis"),
        (None, {"getblockchaininfo": lambda info: info | {"initialblockdownload": True}}, "not synced"),
        (None, {"getblockchaininfo": lambda info: info | {"maturity_blocks": 9}}, "after 9 blocks, the pool"),
        (None, {"getblockchaininfo": lambda info: info | {"connections": 0}}, "no peers"),
        ("beta", {"getchainview": lambda view: view | {"peers": 0}}, "no peers"),
        ("beta", {"getchainview": {"chains": []}}, "does not follow the chain beta"),
        ("beta", {"getchainview": lambda view: with_beta(view, chain_id="00")}, "chain_id"),
        ("beta", {"getchainview": lambda view: with_beta(view, unresolved=2)}, "2 bodies"),
        (None, {"getblockchaininfo": error("no", -8)}, "getblockchaininfo: no"),
    ],
)  # fmt: skip
async def test_paying_account_decides_nothing_by_a_node_that_cannot_know(
    chain_name: str | None, answers: dict[str, Any], words: str
) -> None:
    _, wallet, _ = world(chain_name, **answers)
    with pytest.raises(WalletRefusedError, match=words):
        await wallet.tip()


async def test_paying_account_refuses_the_node_of_another_network() -> None:
    chain, wallet, rpc = world()
    context = b"\x05" * 32
    node = AccountNode(rpc, None, context)
    own = AccountWallet("alpha", wallet.address, chain.addresses, SECRET, (node,), maturity=3)
    with pytest.raises(WalletRefusedError, match="bent's chain is another one"):
        await own.tip()
    rpc.answers = {"getblockchaininfo": lambda info: info | {"context": context.hex()}}
    assert (await own.tip()).height == chain.height


async def test_paying_account_waits_for_no_bodies_where_it_is_told_so() -> None:
    chain, wallet, rpc = world("beta")
    chain.holes = 1
    node = AccountNode(rpc, "beta")
    chain.peers = 0
    hasty = AccountWallet(
        "alpha", wallet.address, chain.addresses, SECRET, (node,), maturity=3, waits_for_bodies=False, alone=True
    )
    assert (await hasty.tip()).height == chain.height


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"listtransfers": 5}, "expected a list"),
        ({"listtransfers": lambda lines: [lines[0] | {"amount": 1.5}]}, "amount: expected a whole number"),
        ({"listtransfers": lambda lines: [lines[0] | {"block": "00"}]}, "block"),
        ({"listtransfers": lambda lines: lines[1:]}, "history gives .*, and the node says that it holds 1500"),
        ({"getbalance": lambda found: found | {"spendable": 1499}}, "history gives 1500, .* holds 1499"),
        ({"getbalance": lambda found: found | {"spendable": -1}}, "spendable"),
    ],
)
async def test_paying_account_believes_no_history_that_the_balance_does_not_bear_out(
    answers: dict[str, Any], words: str
) -> None:
    _, wallet, _ = world(**answers)
    with pytest.raises(WalletRefusedError, match=words):
        await wallet.coins()


async def test_paying_account_reads_a_long_history_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_node, "PAGE_LINES", 2)
    monkeypatch.setattr(account_wallet, "DEEP", 4)
    chain, wallet, rpc = world()
    for _ in range(5):
        chain.mine(1, reward=30)
    chain.mine(4)
    assert sum(coin.amount for coin in await wallet.coins()) == 1650
    rpc.asked.clear()
    assert sum(coin.amount for coin in await wallet.coins()) == 1650
    (since,) = [asked[2] for asked in rpc.asked if asked[0] == "listtransfers"]
    assert since == chain.height - 4, "only what is new"
    chain.reorganise(7)
    assert sum(coin.amount for coin in await wallet.coins()) == 1500 + 2 * 30, "deep ones may be gone as well"
    chain.mine(1, reward=30)
    chain.mine(4)
    assert sum(coin.amount for coin in await wallet.coins()) == 1500 + 3 * 30


async def test_paying_account_reads_again_when_a_block_comes_in_between() -> None:
    chain, wallet, rpc = world()
    moves = iter([1, 0, 0])

    def moving(found: Any) -> Any:
        chain.mine(next(moves, 0))
        return found

    rpc.answers = {"listtransfers": moving}
    assert len(await wallet.coins()) == 2
    rpc.answers = {"listtransfers": lambda found: (chain.mine(1), found)[1]}
    with pytest.raises(NodeUnavailableError, match="moves faster"):
        await wallet.coins()


async def test_paying_account_proves_what_left_the_account() -> None:
    chain, wallet, rpc = world()
    await wallet.broadcast(await wallet.sign(payment(), ()))
    chain.mine(1)
    other = sign(Transfer(SCRIPT, wallet.public_key, 5, 0, (Payment(MINER, 1),)), CHAIN_ID, SECRET)
    for answer, words in (
        ({"transfer": other.serialize().hex()}, "answers with another one"),
        ({"transfer": "xx"}, "expected a transfer in hex"),
        ({"transfer": "00"}, "no transfer"),
    ):
        rpc.answers = {"gettransferproof": answer}
        with pytest.raises(WalletRefusedError, match=words):
            await wallet.transactions_since(0)
