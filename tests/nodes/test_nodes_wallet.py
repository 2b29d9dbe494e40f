"""Paying through a real daemon's wallet: sign, send, send again, confirm, lose the block, be overtaken by another
payment of the same coin; the daemon killed between any two steps; a wallet that is encrypted.

The reference nodes of devnet play the same scenarios: where they differ from litecoind, litecoind is right.
"""

from __future__ import annotations

import base64
import hmac
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from node_daemons import RealNode
from wallet_worlds import (
    FEE,
    MINER_SCRIPT,
    REFERENCE,
    WalletWorld,
    litecoin_wallet,
    own_script,
    payment,
    reference_wallet,
)

from chains.node_rpc import NodeUnavailableError
from chains.node_wallet import NodeWallet
from chains.primitives.hashes import displayed
from chains.primitives.transaction import parse_transaction
from chains.wallet import Coin, SendResult, WalletRefusedError
from chains.wallet_signer import Signing

PAID = 1_234_567_891
steps = logging.getLogger("steps")


@pytest_asyncio.fixture(loop_scope="session")
async def litecoin(tmp_path: Path) -> AsyncIterator[WalletWorld]:
    async with litecoin_wallet(tmp_path, "pool pays/§") as world:
        yield world


@pytest_asyncio.fixture(loop_scope="session", params=["litecoind", *REFERENCE])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[WalletWorld]:
    which = request.param
    made = litecoin_wallet(tmp_path, "w") if which == "litecoind" else reference_wallet(which, tmp_path)
    async with made as world:
        yield world


async def is_refused_beforehand(world: WalletWorld, raw: bytes) -> bool:
    """Whether the daemon says in advance that it would not take the payment; an old one never does."""
    return world.old or await world.wallet().accepts(raw) is not None


async def total(wallet: NodeWallet) -> int:
    return sum(coin.amount for coin in await wallet.coins())


async def test_nodes_wallet_pays_to_the_unit(world: WalletWorld) -> None:
    wallet = world.wallet()
    before = await wallet.tip()
    coins = await wallet.coins()
    assert len(coins) == 6
    assert coins == sorted(coins, key=lambda coin: coin.outpoint)
    assert all(coin.coinbase and coin.confirmations > world.maturity for coin in coins)
    assert all([await wallet.is_ours(coin.script) for coin in coins])
    assert not await wallet.is_ours(MINER_SCRIPT) and not await wallet.is_ours(b"\x6a\x01\x02")
    assert await wallet.fee_rate(6) is None  # regtest has nothing to learn from

    spent, change_script = coins[:5], await wallet.change_script()
    assert await wallet.is_ours(change_script) and change_script != await wallet.change_script()
    unsigned = payment(spent, PAID, change_script)
    raw = await wallet.sign(unsigned, spent)
    txid = parse_transaction(raw).txid
    assert await wallet.transaction(txid) is None
    assert await wallet.accepts(raw) is None
    assert all([await wallet.is_unspent(coin.outpoint) for coin in spent])

    for _ in range(2):
        assert (await wallet.broadcast(raw)).result is SendResult.SENT
    assert await wallet.accepts(raw) is None  # has it already
    waiting = await wallet.transaction(txid)
    assert waiting is not None and (waiting.confirmations, waiting.block_hash_hex, waiting.height) == (0, None, None)
    assert waiting.raw == raw
    assert [t.txid for t in await wallet.transactions_since(before.height)] == [txid]
    assert not any([await wallet.is_unspent(coin.outpoint) for coin in spent])
    rest = await wallet.coins()
    assert [coin.confirmations for coin in rest if coin.outpoint.txid == txid] == [0]
    assert sum(coin.amount for coin in rest) == sum(coin.amount for coin in coins) - PAID - FEE

    (hash_hex,) = world.mine()
    confirmed = await wallet.transaction(txid)
    tip = await wallet.tip()
    assert confirmed == replace(waiting, confirmations=1, block_hash_hex=hash_hex, height=tip.height)
    assert (tip.hash_hex, tip.height) == (hash_hex, before.height + 1)
    assert (await wallet.broadcast(raw)).result is SendResult.CONFIRMED
    assert await wallet.accepts(raw) is None
    assert await wallet.transactions_since(before.height) == [confirmed]
    assert await wallet.transactions_since(tip.height) == [] == await wallet.transactions_since(tip.height + 10)
    change = next(coin for coin in await wallet.coins() if coin.outpoint.txid == txid)
    assert (change.confirmations, change.coinbase, change.script) == (1, False, change_script)
    assert await total(wallet) == sum(coin.amount for coin in coins) - PAID - FEE


async def test_nodes_wallet_same_bytes_after_the_block_is_lost(world: WalletWorld) -> None:
    wallet = world.wallet()
    coins = (await wallet.coins())[:2]
    raw = await wallet.sign(payment(coins, PAID, await wallet.change_script()), coins)
    txid = parse_transaction(raw).txid
    await wallet.broadcast(raw)
    (lost,) = world.mine()
    world.node.call("invalidateblock", lost)
    waiting = await wallet.transaction(txid)
    assert waiting is not None and (waiting.confirmations, waiting.height) == (0, None)
    assert (await wallet.broadcast(raw)).result is SendResult.SENT
    (found,) = world.mine()
    again = await wallet.transaction(txid)
    assert again is not None and (again.confirmations, again.block_hash_hex) == (1, found) and found != lost


async def test_nodes_wallet_another_payment_of_the_coin_wins_and_loses_again(world: WalletWorld) -> None:
    wallet = world.wallet()
    height = (await wallet.tip()).height
    coins = (await wallet.coins())[:2]
    script = await wallet.change_script()
    raw = await wallet.sign(payment(coins, PAID, script), coins)
    txid = parse_transaction(raw).txid
    other = await wallet.sign(payment(coins[1:], 700_000, script), coins[1:])
    await wallet.broadcast(raw)
    assert (await wallet.broadcast(other)).result in (SendResult.MISSING_INPUTS, SendResult.FEE_TOO_LOW)
    assert await is_refused_beforehand(world, other)

    overtaken = world.mine_only(other)
    found = await wallet.transaction(txid)
    assert found is not None and (found.confirmations, found.block_hash_hex, found.height) == (-1, None, None)
    world.mine(2)
    found = await wallet.transaction(txid)
    assert found is not None and found.confirmations == -3
    assert (await wallet.broadcast(raw)).result is SendResult.MISSING_INPUTS
    assert await is_refused_beforehand(world, raw)
    assert [t.txid for t in await wallet.transactions_since(height)] == [parse_transaction(other).txid]
    assert (await wallet.broadcast(other)).result is SendResult.CONFIRMED

    world.node.call("invalidateblock", overtaken)
    world.mine_only(raw)
    found = await wallet.transaction(txid)
    assert found is not None and found.confirmations == 1
    found = await wallet.transaction(parse_transaction(other).txid)
    assert found is not None and found.confirmations == -1


async def test_nodes_wallet_signs_only_what_it_can(world: WalletWorld) -> None:
    """A coin of somebody else, one that tells another amount, a fee too low, one far too high."""
    wallet = world.wallet()
    coins = await wallet.coins()
    script = await wallet.change_script()
    lie = replace(coins[0], amount=coins[0].amount + 1)
    with pytest.raises(WalletRefusedError, match="the wallet says"):
        await wallet.sign(payment([lie], PAID, script), [lie])
    foreign = replace(coins[0], outpoint=coins[0].outpoint._replace(txid=bytes(32)))
    with pytest.raises(WalletRefusedError, match="does not know"):
        await wallet.sign(payment([foreign], PAID, script), [foreign])
    with pytest.raises(ValueError, match="not its coins"):
        await wallet.sign(payment(coins[:2], PAID, script), coins[:1])

    cheap = await wallet.sign(payment(coins[:1], PAID, script, fee=1), coins[:1])
    assert (await wallet.broadcast(cheap)).result is SendResult.FEE_TOO_LOW
    assert await is_refused_beforehand(world, cheap)
    dear = await wallet.sign(payment(coins[:1], PAID, script, fee=coins[0].amount // 2), coins[:1])
    assert (await wallet.broadcast(dear)).result is SendResult.REJECTED
    assert await is_refused_beforehand(world, dear)
    world.mine_only(cheap)
    assert (await wallet.broadcast(dear)).result is SendResult.MISSING_INPUTS


async def test_nodes_wallet_sees_payments_to_its_own_change(world: WalletWorld) -> None:
    """Consolidations: the daemon's own list leaves them out."""
    wallet = world.wallet()
    tip = await wallet.tip()
    txids = []
    coins = await wallet.coins()
    for _ in range(2):
        script = await wallet.change_script()
        raw = await wallet.sign(payment(coins, PAID, script, to=await wallet.change_script()), coins)
        txids.append(parse_transaction(raw).txid)
        await wallet.broadcast(raw)
        world.mine()
        coins = [coin for coin in await wallet.coins() if coin.outpoint.txid == txids[-1]]
        assert len(coins) == 2
    listed = world.node.call("listsinceblock", tip.hash_hex)["transactions"]
    assert not {displayed(txid) for txid in txids} & {entry["txid"] for entry in listed}
    assert [t.txid for t in await wallet.transactions_since(tip.height)] == txids[::-1]
    assert [t.txid for t in await wallet.transactions_since(tip.height + 1)] == txids[1:]


@pytest.mark.parametrize("signing", [Signing.PSBT, Signing.RAW])
async def test_nodes_wallet_both_ways_of_signing(world: WalletWorld, signing: Signing) -> None:
    wallet = world.wallet(signing=signing)
    coins = await wallet.coins()
    unsigned = payment(coins, PAID, await wallet.change_script())
    if world.old and signing is Signing.PSBT:
        with pytest.raises(WalletRefusedError, match="Method not found"):
            await wallet.sign(unsigned, coins)
        return
    raw = await wallet.sign(unsigned, coins)
    assert (await wallet.broadcast(raw)).result is SendResult.SENT
    world.mine()
    found = await wallet.transaction(parse_transaction(raw).txid)
    assert found is not None and found.confirmations == 1


async def test_nodes_wallet_encrypted_is_open_only_while_it_signs(
    litecoin: WalletWorld, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "correct horse battery staple"
    plain = litecoin.wallet(passphrase=lambda: secret)
    coins = await plain.coins()
    unsigned = payment(coins[:2], PAID, await plain.change_script())
    assert await plain.sign(unsigned, coins[:2])
    assert "not encrypted" in caplog.text

    litecoin.node.call("encryptwallet", secret)
    opened = litecoin.wallet(passphrase=lambda: secret)
    for signing in (Signing.PSBT, Signing.RAW):
        signer = litecoin.wallet(passphrase=lambda: secret, signing=signing)
        raw = await signer.sign(unsigned, coins[:2])
        assert litecoin.node.call("getwalletinfo")["unlocked_until"] == 0
        assert await opened.accepts(raw) is None
    with pytest.raises(WalletRefusedError, match="passphrase entered was incorrect"):
        await litecoin.wallet(passphrase=lambda: secret.upper()).sign(unsigned, coins[:2])
    with pytest.raises(WalletRefusedError, match=r"cannot sign|walletpassphrase first"):
        await litecoin.wallet().sign(unsigned, coins[:2])
    foreign = replace(coins[0], outpoint=coins[0].outpoint._replace(txid=bytes(32)))
    with pytest.raises(WalletRefusedError):
        await opened.sign(payment([foreign], PAID, MINER_SCRIPT), [foreign])
    assert litecoin.node.call("getwalletinfo")["unlocked_until"] == 0
    assert secret not in caplog.text and secret.upper() not in caplog.text


async def test_nodes_wallet_daemon_killed_between_any_two_steps(world: WalletWorld) -> None:
    """What the pool keeps is only the unsigned plan, then the signed bytes: with them the payment ends up in the chain
    once, whatever the daemon forgot."""
    wallet = world.wallet()
    kept: dict[str, Any] = {}

    async def plan() -> None:
        kept["coins"] = (await wallet.coins())[:1]
        kept["total"] = await total(wallet)
        kept["unsigned"] = payment(kept["coins"], PAID, await wallet.change_script())

    async def sign() -> None:
        kept["raw"] = await wallet.sign(kept["unsigned"], kept["coins"])

    async def send() -> None:
        assert (await wallet.broadcast(kept["raw"])).result is SendResult.SENT

    async def mine() -> None:
        if "killed after send" in kept:  # a mempool may be lost; the pool sends again until it sees the payment
            await wallet.broadcast(kept["raw"])
        world.mine()

    async def follow() -> None:
        found = await wallet.transaction(parse_transaction(kept["raw"]).txid)
        assert found is not None and found.confirmations == 1 and found.raw == kept["raw"]
        assert (await wallet.broadcast(kept["raw"])).result is SendResult.CONFIRMED
        assert await total(wallet) == kept["total"] - PAID - FEE

    way = (plan, sign, send, mine, follow)
    for killed_after in way[:-1]:
        kept.clear()
        for step in way:
            await step()
            if step is killed_after:
                steps.info("kill -9 after %s", step.__name__)
                kept[f"killed after {step.__name__}"] = True
                world.kill()
                with pytest.raises(NodeUnavailableError):
                    await wallet.tip()
                world.start_again()


async def test_nodes_wallet_outage_is_no_refusal(world: WalletWorld) -> None:
    wallet = world.wallet()
    coins = (await wallet.coins())[:1]
    unsigned = payment(coins, PAID, await wallet.change_script())
    raw = await wallet.sign(unsigned, coins)
    world.kill()
    calls: list[Callable[[], Awaitable[Any]]] = [
        wallet.tip,
        wallet.coins,
        wallet.change_script,
        lambda: wallet.is_ours(coins[0].script),
        lambda: wallet.is_unspent(coins[0].outpoint),
        lambda: wallet.sign(unsigned, coins),
        lambda: wallet.accepts(raw),
        lambda: wallet.broadcast(raw),
        lambda: wallet.transaction(coins[0].outpoint.txid),
        lambda: wallet.transactions_since(0),
        lambda: wallet.fee_rate(6),
    ]
    for call in calls:
        with pytest.raises(NodeUnavailableError):
            await call()


async def test_nodes_wallet_not_loaded_is_a_refusal(litecoin: WalletWorld) -> None:
    wallet = litecoin.wallet()
    await wallet.tip()
    litecoin.node.call("unloadwallet", litecoin.wallet_name)
    for call in (wallet.tip, wallet.coins):
        with pytest.raises(WalletRefusedError, match="-18"):
            await call()


def whitelist() -> list[str]:
    """The calls that docs/operating/paying-out.md tells an operator to allow."""
    page = (Path(__file__).parents[2] / "docs" / "operating" / "paying-out.md").read_text()
    step = page.partition("2. **The login.**")[2].partition("3. **")[0]
    return re.findall(r"`([a-z]+)`", step)


async def test_nodes_wallet_needs_no_more_than_the_page_allows(litecoin: WalletWorld) -> None:
    """A login that may call what the page lists, and nothing else: enough to pay, and nothing pays by itself."""
    allowed = whitelist()
    assert {"listunspent", "walletprocesspsbt", "sendrawtransaction"} <= set(allowed)
    digest = hmac.new(b"salt", b"payer's word", "sha256").hexdigest()
    command, directory = litecoin.node.launches[0]
    command = [*command, f"-rpcauth=payer:salt${digest}", f"-rpcwhitelist=payer:{','.join(allowed)}"]
    litecoin.node.launches[0] = ([*command, "-rpcwhitelistdefault=0"], directory)
    litecoin.kill()
    litecoin.start_again()
    litecoin.node.call("encryptwallet", "secret")
    wallet = litecoin.wallet(user="payer", password="payer's word", passphrase=lambda: "secret")
    for signing in (Signing.PSBT, Signing.RAW):
        signer = litecoin.wallet(user="payer", password="payer's word", passphrase=lambda: "secret", signing=signing)
        tip = await wallet.tip()
        coins = (await wallet.coins())[:2]
        assert await wallet.is_ours(coins[0].script) and await wallet.is_unspent(coins[0].outpoint)
        assert await wallet.fee_rate(6) is None
        raw = await signer.sign(payment(coins, PAID, await wallet.change_script()), coins)
        assert await wallet.accepts(raw) is None
        assert (await wallet.broadcast(raw)).result is SendResult.SENT
        litecoin.mine()
        assert await wallet.transaction(parse_transaction(raw).txid) in await wallet.transactions_since(tip.height)
    login = base64.b64encode(b"payer:payer's word").decode()
    async with aiohttp.ClientSession(headers={"Authorization": f"Basic {login}"}) as session:
        for method in ("sendtoaddress", "sendmany", "fundrawtransaction", "dumpprivkey", "stop"):
            assert method not in allowed
            answer = await session.post(litecoin.node.url, json={"id": 1, "method": method, "params": []})
            assert answer.status == 403


async def test_nodes_wallet_finds_its_way_among_mweb(mweb_node: RealNode) -> None:
    """Coins inside Litecoin's extension are not paid with; a block's HogEx that pays the wallet is a deposit like any
    other, and nothing that anybody sends makes the wallet unreadable."""
    world = WalletWorld(mweb_node, "", 100)
    wallet = world.wallet()
    try:
        height = (await wallet.tip()).height
        coins = await wallet.coins()
        inside = [coin for coin in mweb_node.call("listunspent", 0) if "vout" not in coin]
        assert inside and coins
        mweb_node.call("lockunspent", False, [_outpoint(coin) for coin in coins])
        assert await wallet.coins() == []
        script = own_script(world)
        mweb_node.call("sendtoaddress", mweb_node.call("getnewaddress"), "0.75")  # out of the extension
        world.mine(7)  # what leaves it is to wait six blocks
        deposits = [coin for coin in await wallet.coins() if not coin.coinbase]
        assert [coin.amount for coin in deposits] == [75_000_000]
        seen = await wallet.transactions_since(height)
        assert deposits[0].outpoint.txid in [t.txid for t in seen]
        for transaction in seen:
            assert parse_transaction(transaction.raw).txid == transaction.txid
        raw = await wallet.sign(payment(deposits, 1_000_000, script), deposits)
        assert (await wallet.broadcast(raw)).result is SendResult.SENT
    finally:
        mweb_node.call("lockunspent", True)
        await world.close()


def _outpoint(coin: Coin) -> dict[str, Any]:
    return {"txid": displayed(coin.outpoint.txid), "vout": coin.outpoint.vout}


