"""A database from yesterday, and several transactions since: all of them come back, in their order."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.payout_world import CHAIN, PayoutWorld, address_of, script_of

from pool.payouts.batch import BatchKind, BatchState, Payout
from pool.storage import payout_orders

AMOUNTS = {1: 500_000, 2: 300_000, 3: 200_000}
ORDERS = {10: 1_000_000, 11: 2_000_000}
S = BatchState


@pytest.fixture
def world(tmp_path: Path, new_sqlite_url: Callable[[], str]) -> Iterator[PayoutWorld]:
    world = PayoutWorld(tmp_path, new_sqlite_url())
    yield world
    world.close()


def keep(world: PayoutWorld) -> None:
    world.close()
    shutil.copy(world.url.removeprefix("sqlite:///"), world.folder / "yesterday")
    world.open()


def restore(world: PayoutWorld) -> None:
    world.close()
    path = Path(world.url.removeprefix("sqlite:///"))
    for file in path.parent.glob(path.name + "-*"):
        file.unlink()
    shutil.copy(world.folder / "yesterday", path)
    world.open()


def order(world: PayoutWorld, number: int) -> None:
    """A withdrawal to the script of that number."""
    out = (Payout(f"out{number}", None, address_of(number), script_of(number), ORDERS[number]),)
    with world.database.write() as connection:
        payout_orders.order(connection, CHAIN, BatchKind.WITHDRAW, str(number), out, world.now_ms)


async def withdraw_all(world: PayoutWorld) -> None:
    """One after the other; each spends the change of the transaction before it."""
    for number in ORDERS:
        order(world, number)
        await world.settle()


async def check_all_is_back(world: PayoutWorld, settled: list[str], balances: dict[str, int]) -> None:
    signed = len(world.wallet.signed)
    await world.settle()
    assert world.holds() == []
    assert sorted(batch.id for batch in world.batches() if batch.state is S.SETTLED) == sorted(settled)
    assert world.balances() == balances
    assert len(world.wallet.signed) == signed
    world.check_exact(AMOUNTS, AMOUNTS)
    assert [world.wallet.paid(script_of(number)) for number in ORDERS] == [[amount] for amount in ORDERS.values()]


def all_settled(world: PayoutWorld) -> list[str]:
    return [batch.id for batch in world.batches() if batch.state is S.SETTLED]


async def test_storage_restore_many_each_spends_the_change_of_the_one_before(world: PayoutWorld) -> None:
    world.owe(AMOUNTS, fee=9_000_000)
    keep(world)
    await world.settle()
    await withdraw_all(world)
    settled, balances = all_settled(world), world.balances()
    assert len(settled) == 3
    restore(world)
    assert world.batches() == []
    await check_all_is_back(world, settled, balances)


async def test_storage_restore_many_behind_an_order_that_was_given_up_since(world: PayoutWorld) -> None:
    """In the backup it stands where a transaction waits for its signature."""
    world.owe(AMOUNTS, fee=9_000_000)
    with world.database.write() as connection:
        given_up = payout_orders.order(connection, CHAIN, BatchKind.CONSOLIDATE, "one", (), world.now_ms)
    keep(world)
    await world.passes(1)  # one coin is nothing to consolidate
    assert world.batches()[0].state is S.VOID
    world.now_ms += 600_000
    await world.settle()
    await withdraw_all(world)
    settled, balances = all_settled(world), world.balances()
    restore(world)
    assert [batch.id for batch in world.batches()] == [given_up.id]
    await check_all_is_back(world, settled, balances)


@pytest.mark.parametrize("held", [False, True])
async def test_storage_restore_many_behind_one_that_was_signed_and_sent_since(world: PayoutWorld, held: bool) -> None:
    """In the backup it is signed and no node had taken it yet, or the operator had it on hold."""
    world.owe(AMOUNTS, fee=9_000_000)
    world.wallet.fee_too_low = True
    await world.passes(1, mining=False)
    (first,) = world.batches()
    assert first.state is S.SIGNED
    if held:
        with world.database.write() as connection:
            payout_orders.hold_batch(connection, first.id, "look", world.now_ms)
    keep(world)
    if held:
        with world.database.write() as connection:
            payout_orders.release_batch(connection, first.id, "looked", world.now_ms)
    world.wallet.fee_too_low = False
    world.now_ms += 600_000
    await world.settle()
    await withdraw_all(world)
    settled, balances = all_settled(world), world.balances()
    restore(world)
    await check_all_is_back(world, settled, balances)
