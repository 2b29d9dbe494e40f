"""Payouts of real coins by real wallets: planned, signed, sent, settled, the block lost, the daemon killed between any
two calls. In the end everybody has what he was owed, once, and ledger and wallet agree to the unit.

litecoind shows what is; the reference nodes (a parent, an MM1 chain of Dogecoin's age, an MM2 chain) play the same.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from payout_nodes import NodePayouts
from wallet_worlds import WalletWorld, litecoin_wallet, payment, reference_wallet

from chains.wallet import SendResult
from pool.payouts.batch import BatchKind, FeePolicy

AMOUNTS = {1: 1_500_000, 2: 1_000_000, 3: 500_001}
steps = logging.getLogger("steps")


@pytest_asyncio.fixture(loop_scope="session", params=["litecoind", "bitcoin", "dogecoin", "mm2"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[WalletWorld]:
    which = request.param
    if which == "litecoind":
        made = litecoin_wallet(tmp_path, "pays", funded=False)
    else:
        made = reference_wallet(which, tmp_path, funded=False)
    async with made as world:
        yield world


@pytest_asyncio.fixture(loop_scope="session")
async def pays(world: WalletWorld, tmp_path: Path) -> AsyncIterator[NodePayouts]:
    pays = NodePayouts(tmp_path, world)
    yield pays
    pays.close()


async def test_nodes_payouts_reach_everybody(pays: NodePayouts) -> None:
    pays.fund(2)
    pays.owe(AMOUNTS)
    await pays.settle()
    await pays.check_exact(AMOUNTS)
    (batch,) = pays.batches()
    assert batch.state == "settled" and batch.built is not None
    assert pays.balances()["expense.txfee"] == batch.built.fee
    assert pays.books.holds() == [] and pays.payer.check.difference == 0

    more = {1: 700_000, 9: 200_000}
    pays.owe(more)
    await pays.settle()
    await pays.check_exact({1: 2_200_000, 2: 1_000_000, 3: 500_001, 9: 200_000})
    await pays.passes(4)
    assert len(pays.batches()) == 2 and pays.books.holds() == []


async def test_nodes_payouts_the_miner_bears_the_fee(world: WalletWorld, tmp_path: Path) -> None:
    pays = NodePayouts(tmp_path, world, fee_policy=FeePolicy.MINER)
    pays.fund(1)
    pays.owe(AMOUNTS)
    await pays.settle()
    (batch,) = pays.batches()
    assert batch.built is not None
    got = {number: pays.paid(number) for number in AMOUNTS}
    assert all(0 < got[number] < AMOUNTS[number] for number in AMOUNTS)
    assert sum(got.values()) == sum(AMOUNTS.values()) - batch.built.fee
    assert "expense.txfee" not in {name for name, amount in pays.balances().items() if amount}
    await pays.check_exact({})
    pays.close()


async def test_nodes_payouts_same_bytes_when_their_block_is_lost(pays: NodePayouts) -> None:
    pays.fund(1)
    pays.owe(AMOUNTS)
    pays.now_ms += 3_600_000
    await pays.passes(1)  # sent, and in a block
    (sent,) = pays.batches()
    lost = pays.block_of(sent)
    await pays.step()
    assert [batch.state for batch in pays.batches()] == ["confirming"]
    for _ in range(2):
        pays.node.call("invalidateblock", pays.block_of(sent))
        assert pays.waits(sent)
        await pays.passes(1)
    await pays.settle()
    (batch,) = pays.batches()
    assert (batch.state, batch.raw) == ("settled", sent.raw)
    found = pays.block_of(batch)
    assert found != lost and batch.block_hash_hex == found
    await pays.check_exact(AMOUNTS)

    # A reorg deeper than the payout's confirmations: reopened, sent again, settled again, and the ledger moves once.
    before = pays.balances()
    pays.node.call("invalidateblock", found)
    await pays.step()
    assert [batch.state for batch in pays.batches()] != ["settled"]
    await pays.settle()
    assert [(batch.state, batch.raw) for batch in pays.batches()] == [("settled", sent.raw)]
    assert {name: amount for name, amount in pays.balances().items() if amount} == {
        name: amount for name, amount in before.items() if amount
    }
    await pays.check_exact(AMOUNTS)


async def test_nodes_payouts_another_spender_of_the_coin_is_never_outpaid(pays: NodePayouts) -> None:
    """Somebody with the same keys spends the coin of a payout whose block was lost: the chain's payouts stop until an
    operator looks, and nobody is paid a second time in between."""
    pays.fund(2)
    pays.owe(AMOUNTS)
    coins = await pays.wallet.coins()
    script = await pays.wallet.change_script()
    pays.now_ms += 3_600_000
    await pays.passes(1)
    (sent,) = pays.batches()
    assert sent.built is not None
    spent = [coin for coin in coins if coin.outpoint in sent.built.inputs]
    pays.node.call("invalidateblock", pays.block_of(sent))
    pays.world.mine_only(await pays.wallet.sign(payment(spent, 400_000, script), spent))
    assert (await pays.wallet.broadcast(sent.raw or b"")).result is SendResult.MISSING_INPUTS
    await pays.step()
    assert [batch.state for batch in pays.batches()] == ["conflicted"]
    await pays.passes(3)
    assert [batch.state for batch in pays.batches()] == ["conflicted"]
    pays.world.mine(pays.terms.maturity + 1)
    await pays.passes(6)
    assert pays.batches()[-1].state == "void"
    assert [hold.cause for hold in pays.books.holds()] == ["wallet"]
    assert all(pays.paid(number) == 0 for number in AMOUNTS)
    balances = pays.balances()
    assert sum(amount for name, amount in balances.items() if name.startswith("liab.")) == sum(AMOUNTS.values())


@pytest.mark.parametrize(
    "world", ["litecoind", pytest.param("dogecoin", marks=pytest.mark.nightly)], indirect=True
)
async def test_nodes_payouts_daemon_killed_between_any_two_calls(pays: NodePayouts) -> None:
    """The points are those that a run without faults passes: each call to the wallet in each state of the batch. The
    daemon dies in front of the call, or after it with the answer lost."""
    pays.fund(1)
    pays.owe(AMOUNTS)
    await pays.settle()
    asked_once = "has_sent"  # as long as the books know of no payment
    points = [point for point in dict.fromkeys(pays.points) if point[1] != asked_once]
    assert {call for _, call in points} >= {
        "tip", "coins", "transaction", "fee_rate", "change_script", "sign", "accepts", "broadcast"
    }  # fmt: skip
    kills = [("after", *point) for point in points]
    kills += [("before", *point) for point in points if point[1] in ("sign", "accepts", "broadcast")]
    pays.fund(len(kills))
    owed = dict(AMOUNTS)
    for number, (side, state, call) in enumerate(kills, start=10):
        pays.kill_at = (side, "settled" if state == "none" else state, call)
        steps.info("kill -9 %s %s, the newest batch %s", side, call, state)
        owed[number] = 500_000 + number
        pays.owe({number: owed[number]})
        await pays.settle()
        assert pays.kill_at is None, f"never came to {call} {side} in {state}"
        assert pays.books.holds() == []
        newest = pays.batches()[0]
        assert (newest.state, [payout.gross for payout in newest.payouts]) == ("settled", [owed[number]])
    await pays.check_exact(owed)
    signed = [batch.txid for batch in pays.batches() if batch.txid is not None]
    assert len(signed) == len(kills) + 1


async def test_nodes_payouts_many_coins_become_one(world: WalletWorld, tmp_path: Path) -> None:
    """More coins than a transaction may have (P14): payouts stay within the limit, and what is left is made one."""
    pays = NodePayouts(tmp_path, world, max_inputs=8, consolidate_above=6, max_fee_ppm=50_000)
    pays.fund(20)
    per_block = {number: 300_000 + number for number in range(20)}
    for number, amount in per_block.items():
        pays.owe({number: amount})
    for _ in range(4):
        await pays.settle()
        pays.now_ms += 3_600_000
        await pays.passes(4)
    await pays.check_exact(per_block)
    batches = pays.batches()
    assert {batch.kind for batch in batches} == {BatchKind.PAYOUT, BatchKind.CONSOLIDATE}
    assert all(len(batch.built.inputs) <= 8 for batch in batches if batch.built is not None)
    assert len(await pays.wallet.coins()) <= 8 and pays.books.holds() == []
    since = {t.txid for t in await pays.wallet.transactions_since(0)}
    assert {batch.txid for batch in batches if batch.txid is not None} <= since
    pays.close()


async def test_nodes_payouts_out_of_an_encrypted_wallet(tmp_path: Path) -> None:
    async with litecoin_wallet(tmp_path, "locked", funded=False) as world:
        world.node.call("encryptwallet", "a secret")
        pays = NodePayouts(tmp_path, world, wallet=world.wallet(passphrase=lambda: "a secret"))
        pays.fund(1)
        pays.owe(AMOUNTS)
        await pays.settle()
        await pays.check_exact(AMOUNTS)
        assert world.node.call("getwalletinfo")["unlocked_until"] == 0
        pays.close()
