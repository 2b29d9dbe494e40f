"""Somebody is owed more than the hot wallet holds: the others are paid, and he as soon as the coins are there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.payout_world import CHAIN, PayoutWorld, script_of

from pool.payouts.batch import Batch, BatchKind, BatchState, FeePolicy, Payout
from pool.storage import payout_steps

COLD_SCRIPT = b"\x00\x14\xcc" + bytes(19)
DOMINANT, SMALL = 5_000_000, {2: 300_000, 3: 200_000}


@pytest.fixture
def world(tmp_path: Path, new_sqlite_url: Callable[[], str]) -> Iterator[PayoutWorld]:
    world = PayoutWorld(tmp_path, new_sqlite_url())
    yield world
    world.close()


def sweep(world: PayoutWorld, amount: int) -> None:
    """The operator's order: coins to another wallet of his, where they still count."""
    payout = Payout("sweep1p", None, "cold", COLD_SCRIPT, amount)
    batch = Batch(
        "sweep1", CHAIN, BatchKind.SWEEP, BatchState.PLANNED, FeePolicy.POOL, (payout,), world.now_ms, world.now_ms
    )
    with world.database.write() as connection:
        payout_steps.plan(connection, batch, world.lock.epoch, world.now_ms)


async def test_storage_payouts_a_claim_larger_than_the_coins_keeps_nobody_else_waiting(world: PayoutWorld) -> None:
    world.owe({1: DOMINANT} | SMALL)
    sweep(world, 3_000_000)
    for _ in range(3):
        await world.passes(6)
        world.now_ms += world.terms.interval_ms
    assert [world.wallet.paid(script_of(number)) for number in SMALL] == [[300_000], [200_000]]
    assert world.wallet.paid(script_of(1)) == []
    assert world.owed(1) == (DOMINANT, 0)
    assert world.holds() == []

    world.owe({4: 50_000}, fee=4_000_000)
    for _ in range(2):
        world.now_ms += world.terms.interval_ms
        await world.passes(6)
    assert world.wallet.paid(script_of(1)) == [DOMINANT]
    assert world.wallet.paid(script_of(4)) == [50_000]
    assert world.holds() == []
