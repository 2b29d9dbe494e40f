"""A database from yesterday: what was signed since is taken over out of the payout file, and never made again."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.payout_world import PayoutWorld, script_of

from pool.payouts.batch import Batch, BatchKind, BatchState, FeePolicy

AMOUNTS = {1: 500_000, 2: 300_000, 3: 200_000}


class Backup:
    """The database's file, kept and put back. The share of it that SQLite keeps beside it goes with a clean close."""

    def __init__(self, world: PayoutWorld, folder: Path) -> None:
        self.world = world
        self.path = Path(world.url.removeprefix("sqlite:///"))
        self.kept = folder / "yesterday"
        world.close()
        shutil.copy(self.path, self.kept)
        world.open()

    def restore(self) -> None:
        self.world.close()
        for file in self.path.parent.glob(self.path.name + "-*"):
            file.unlink()
        shutil.copy(self.kept, self.path)


@pytest.fixture
def world(tmp_path: Path, new_sqlite_url: Callable[[], str]) -> Iterator[PayoutWorld]:
    world = PayoutWorld(tmp_path, new_sqlite_url())
    yield world
    world.close()


async def settled(world: PayoutWorld) -> None:
    await world.passes(5)
    world.check_exact(AMOUNTS, AMOUNTS)
    assert len(set(world.wallet.sent)) == 1
    assert world.holds() == []
    assert [batch.state for batch in world.batches()] == [BatchState.SETTLED]


async def test_storage_restore_takes_over_what_was_settled_since(world: PayoutWorld, tmp_path: Path) -> None:
    world.owe(AMOUNTS)
    backup = Backup(world, tmp_path)
    await world.settle()
    backup.restore()
    world.open()
    assert world.batches() == []
    await world.step()
    assert len(world.batches()) == 1
    await settled(world)


@pytest.mark.parametrize("passes", [1, 2])
async def test_storage_restore_takes_over_what_is_on_its_way(
    world: PayoutWorld, tmp_path: Path, passes: int
) -> None:
    world.owe(AMOUNTS)
    await world.payer.check.look(world.now_ms)
    backup = Backup(world, tmp_path)
    await world.passes(passes)
    backup.restore()
    world.open()
    await settled(world)


async def test_storage_restore_of_books_that_had_planned_it_goes_on_with_what_was_signed(
    world: PayoutWorld, tmp_path: Path
) -> None:
    world.owe(AMOUNTS)
    payouts, _ = await world.payer.wanted()
    batch = Batch(
        "planned", world.terms.chain, BatchKind.PAYOUT, BatchState.PLANNED, FeePolicy.POOL, payouts, 1, 1
    )
    world.books.plan(batch, 1)
    backup = Backup(world, tmp_path)
    assert [batch.state for batch in world.batches()] == [BatchState.PLANNED]
    await world.settle()
    backup.restore()
    world.open()
    await settled(world)


async def test_storage_restore_waits_until_the_books_know_who_was_paid(world: PayoutWorld, tmp_path: Path) -> None:
    """The block that was paid out is not booked again yet."""
    backup = Backup(world, tmp_path)
    hash_hex = world.owe(AMOUNTS)
    height = world.wallet.height - world.terms.maturity - 1
    await world.settle()
    backup.restore()
    world.open()
    world.now_ms += world.terms.interval_ms
    await world.passes(3)
    assert [hold.cause for hold in world.holds()] == ["restore"]
    assert world.batches() == []
    world.book(hash_hex, height, AMOUNTS)
    await settled(world)


async def test_storage_restore_without_the_file_stops_payouts_by_the_wallet(
    world: PayoutWorld, tmp_path: Path
) -> None:
    world.owe(AMOUNTS)
    await world.payer.check.look(world.now_ms)
    backup = Backup(world, tmp_path)
    await world.settle()
    backup.restore()
    world.file.path.unlink()
    world.open()
    signed = len(world.wallet.signed)
    world.now_ms += world.terms.interval_ms
    await world.passes(3)
    assert [hold.cause for hold in world.holds()] == ["history", "wallet"]
    assert len(world.wallet.signed) == signed
    assert [world.wallet.paid(script_of(number)) for number in AMOUNTS] == [[500_000], [300_000], [200_000]]
