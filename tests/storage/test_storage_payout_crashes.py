"""Every point of the payout path, one after the other: each commit, fsync and call to the wallet, and what can happen
there. Whatever it is, nobody is paid twice, nobody loses anything, and ledger and wallet agree to the unit.

The points are those that a run without faults passes, so a new one is enumerated by itself. The books are SQLite's:
what is tried is the order of things, which is the same on PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.payout_world import WRITES, Fault, Faults, PayoutWorld, script_of
from support.points import some

from pool.payouts.batch import FeePolicy

AMOUNTS = {1: 500_000, 2: 300_000}


async def run(folder: Path, url: str, faults: Faults, policy: FeePolicy, account: bool) -> PayoutWorld:
    world = PayoutWorld(folder, url, faults=faults, account=account, fee_policy=policy, max_fee_ppm=20_000)
    world.wallet.deposit(5_000)
    world.owe(AMOUNTS)
    await world.settle()
    return world


async def points(folder: Path, url: str, account: bool) -> list[str]:
    faults = Faults()
    world = await run(folder, url, faults, FeePolicy.POOL, account)
    world.close()
    return faults.names


def is_operators(world: PayoutWorld, faults: Faults) -> bool:
    """A wallet that says no to signing puts the batch on hold, for an operator to look at."""
    return faults.fault is Fault.ERROR and any(batch.state == "hold" for batch in world.batches())


def worth_trying(names: list[str], at: int, fault: Fault) -> bool:
    """A question changes nothing: before or after it is the same, and the first two and the last of a kind stand for
    all. A late duplicate is one of a broadcast, the only thing that the world could do again by itself."""
    name = names[at]
    if fault is Fault.LATE_DUPLICATE:
        return name == "broadcast"
    if name in WRITES:
        return fault is not Fault.ERROR  # for a commit it is what a lost request is
    if name in ("broadcast", "sign"):
        return True
    alike = [place for place, other in enumerate(names) if other == name]
    return at in (*alike[:2], alike[-1]) and fault not in (Fault.CRASH_AFTER, Fault.LOST_AFTER)


@pytest.mark.parametrize("account", [False, True], ids=["coins", "account"])
@pytest.mark.parametrize("fault", Fault)
async def test_storage_payouts_survive_every_point(
    fault: Fault, account: bool, tmp_path: Path, new_sqlite_url: Callable[[], str]
) -> None:
    names = await points(tmp_path / "count", new_sqlite_url(), account)
    assert {"plan", "build", "sign", "file", "broadcast", "accepts", "attempt", "move", "enter", "coins"} <= set(names)
    tried = [at for at in range(len(names)) if worth_trying(names, at, fault)]
    for at in some(tried, 2):
        where = f"{fault} at point {at}, {names[at]}"
        faults = Faults(at, fault)
        policy = FeePolicy.MINER if at % 2 else FeePolicy.POOL
        world = await run(tmp_path / f"{at}", new_sqlite_url(), faults, policy, account)
        try:
            assert faults.happened, where
            assert world.crashes == (fault in (Fault.CRASH_BEFORE, Fault.CRASH_AFTER)), where
            if is_operators(world, faults):
                assert world.wallet.sent == [], where
                assert all(world.wallet.paid(script_of(number)) == [] for number in AMOUNTS), where
                continue
            world.check_exact(AMOUNTS, AMOUNTS)
            assert all(world.owed(number) == (0, 0) for number in AMOUNTS), where
            assert len(set(world.wallet.sent)) == 1, where
            assert all(batch.state in ("settled", "void") for batch in world.batches()), where
            assert world.holds() == [], where
        finally:
            world.close()
    assert len(tried) >= (1 if fault is Fault.LATE_DUPLICATE else 12)
