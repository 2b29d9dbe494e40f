"""Swept coins on their way back: seen on the chain, exact in the books, and stopped when nobody accounts for them."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.payout_world import CHAIN, PayoutWorld, address_of, script_of

from chains.primitives.transaction import parse_transaction
from chains.wallet import Outpoint
from pool.ledger.account import ASSET_WALLET, EXPENSE_TXFEE, OPERATOR_AVAILABLE
from pool.payouts.batch import BatchKind, BatchState, Payout
from pool.payouts.cold import cold_return
from pool.payouts.reconcile import Reconciliation
from pool.storage import payout_coins, payout_orders

EMPTY = Reconciliation((), (), (), (), 0)


@pytest.fixture
async def world(tmp_path: Path, url: str) -> AsyncIterator[PayoutWorld]:
    world = PayoutWorld(tmp_path, url)
    world.owe({1: 9_000}, fee=500_000)
    await world.passes(1)
    yield world
    world.close()


async def swept(world: PayoutWorld, amount: int = 300_000, name: str = "cold") -> Outpoint:
    """A sweep that is settled: the coin that it made."""
    output = Payout(payout_orders.payout_id(CHAIN, BatchKind.SWEEP, name), None, address_of(88), script_of(88), amount)
    with world.database.write() as connection:
        payout_orders.order(connection, CHAIN, BatchKind.SWEEP, name, (output,), world.now_ms)
    await world.passes(6)
    (batch, *_) = world.batches()
    assert batch.state is BatchState.SETTLED and batch.txid is not None and batch.built is not None
    return Outpoint(batch.txid, batch.built.outputs[0].vout)


async def look(world: PayoutWorld) -> bool:
    """Whether books and wallet agree."""
    return await world.payer.check.look(world.now_ms) is not None


def cold(world: PayoutWorld) -> dict[Outpoint, int]:
    return {coin.outpoint: coin.amount for coin in world.books.cold_coins()}


async def test_storage_cold_coins_come_back_by_themselves_and_pay_again(world: PayoutWorld) -> None:
    coin = await swept(world)
    fees = world.balances()[EXPENSE_TXFEE]
    txid = world.wallet.bring_back([coin], fee=250)
    for _ in range(world.terms.confirmations):
        assert await look(world)  # on its way: still cold as far as the books go
        assert cold(world) == {coin: 300_000}
        assert world.holds() == []
        world.wallet.mine(1)
    assert await look(world)
    assert cold(world) == {}
    assert world.balances()[EXPENSE_TXFEE] == fees + 250
    assert world.balances()[ASSET_WALLET] == world.wallet.holds()
    assert world.books.spendable() >= {Outpoint(txid, 0)}
    world.owe({2: 400_000}, fee=0)
    world.now_ms += world.terms.interval_ms
    await world.passes(6)
    assert world.wallet.paid(script_of(2)) == [400_000]
    assert world.balances()[ASSET_WALLET] == world.wallet.holds()
    assert world.holds() == []


async def test_storage_cold_coins_that_come_with_others_bring_the_operators_money(world: PayoutWorld) -> None:
    coins = [await swept(world), await swept(world, 20_000, "more")]
    world.wallet.bring_back(coins, fee=300, add=80_000)
    world.wallet.mine(world.terms.confirmations)
    before = world.balances()
    assert await look(world)
    after = world.balances()
    assert after[OPERATOR_AVAILABLE] - before.get(OPERATOR_AVAILABLE, 0) == 79_700
    assert after[EXPENSE_TXFEE] == before[EXPENSE_TXFEE]
    assert after[ASSET_WALLET] == world.wallet.holds()


async def test_storage_cold_coins_that_somebody_takes_stop_the_chain(world: PayoutWorld) -> None:
    coin = await swept(world)
    world.wallet.bring_back([coin], fee=250, keep=299_750)
    assert not await look(world)
    (hold,) = world.holds()
    name = f"{coin.txid[::-1].hex()}:{coin.vout}"
    assert (hold.cause, hold.reason) == ("wallet", f"the swept coin {name} of 300000 is spent")
    assert cold(world) == {coin: 300_000}


async def test_storage_cold_coins_of_which_some_went_elsewhere_wait_for_the_operators_word(world: PayoutWorld) -> None:
    """A thief who sends a little of it here is not believed; the operator names the change of his cold wallet."""
    coin = await swept(world)
    txid = world.wallet.bring_back([coin], fee=250, keep=200_000)
    world.wallet.mine(world.terms.confirmations)
    assert not await look(world)
    (hold,) = world.holds()
    assert hold.reason.endswith(
        f"of 300000 is spent by {txid[::-1].hex()}, and its output 1 of 200000 is not the wallet's; "
        "`pool payouts return` settles it"
    )
    shown = await world.wallet.transaction(txid)
    assert shown is not None
    swept_coins = {one.outpoint: one for one in world.books.cold_coins()}
    found = cold_return(parse_transaction(shown.raw), swept_coins, {0}, {1})
    fees = world.balances()[EXPENSE_TXFEE]
    assert [world.books.come_back(found, world.now_ms) for _ in range(2)] == [True, False]
    world.books.release("wallet", "change", world.now_ms)
    assert await look(world)
    assert cold(world) == {Outpoint(txid, 1): 200_000}
    assert world.balances()[EXPENSE_TXFEE] == fees + 250
    assert world.balances()[ASSET_WALLET] == world.wallet.holds() + 200_000


@pytest.mark.parametrize("claimed", [False, True])
async def test_storage_cold_coins_that_were_taken_for_a_deposit_are_none(world: PayoutWorld, claimed: bool) -> None:
    """It was deep enough between two looks, before the swept coins were looked at."""
    coin = await swept(world)
    txid = world.wallet.bring_back([coin], fee=250)
    world.wallet.mine(world.terms.confirmations)
    (back,) = [one for one in await world.wallet.coins() if one.outpoint.txid == txid]
    with world.database.write() as connection:
        reconciliation = dataclasses.replace(EMPTY, deposits=(back,))
        payout_coins.enter(connection, CHAIN, reconciliation, world.now_ms)
        if claimed:
            payout_coins.claim_deposit(connection, CHAIN, back.outpoint, world.now_ms)
    assert await look(world)
    assert world.balances()[ASSET_WALLET] == world.wallet.holds()
    assert world.balances().get("suspense.deposit", 0) == 0
    assert world.balances().get(OPERATOR_AVAILABLE, 0) == 0
    assert world.books.spendable() >= {back.outpoint}


async def test_storage_cold_coins_whose_sweep_settles_again_are_not_back_in_the_books(world: PayoutWorld) -> None:
    """A reorganisation takes sweep and return out of the chain, and they are mined again."""
    coin = await swept(world)
    world.wallet.bring_back([coin], fee=250)
    world.wallet.mine(world.terms.confirmations)
    assert await look(world)
    world.wallet.reorganise(world.terms.maturity - 1)
    await world.passes(1, mining=False)
    assert world.batches()[0].state in (BatchState.CONFIRMING, BatchState.BROADCAST)
    await world.passes(6)
    assert world.batches()[0].state is BatchState.SETTLED
    assert cold(world) == {}
    if world.holds():  # the coin was gone for a moment
        world.books.release("wallet", "a reorg", world.now_ms)
    assert await look(world)
    assert world.balances()[ASSET_WALLET] == world.wallet.holds()


async def test_storage_cold_coins_cost_what_they_cost_also_without_a_surplus(world: PayoutWorld) -> None:
    world.owe({number: 9_000 for number in range(2, 40)}, fee=0)
    await world.passes(1)
    coin = await swept(world, 520_000)
    surplus = world.books.funds().cover.surplus
    world.wallet.bring_back([coin], fee=surplus + 1)
    world.wallet.mine(world.terms.confirmations)
    assert await look(world)
    assert world.books.funds().cover.surplus == -1
    assert world.balances()[ASSET_WALLET] == world.wallet.holds()
