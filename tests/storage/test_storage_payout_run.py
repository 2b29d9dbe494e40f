"""The payer over real books and a wallet that can be made to fail: what each incident of the field became here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.payout_world import PayoutWorld, script_of

AMOUNTS = {1: 500_000, 2: 300_000, 3: 200_000}


@pytest.fixture
def world(tmp_path: Path, url: str) -> Iterator[PayoutWorld]:
    world = PayoutWorld(tmp_path, url)
    yield world
    world.close()


async def test_storage_payouts_are_planned_signed_sent_and_settled(world: PayoutWorld) -> None:
    world.owe(AMOUNTS)
    await world.settle()
    world.check_exact(AMOUNTS, AMOUNTS)
    assert [world.wallet.paid(script_of(number)) for number in AMOUNTS] == [[500_000], [300_000], [200_000]]
    (batch,) = world.batches()
    assert batch.state == "settled"
    assert batch.built is not None
    balances = world.balances()
    assert balances["expense.txfee"] == batch.built.fee
    assert world.holds() == []
    assert world.payer.check.difference == 0
