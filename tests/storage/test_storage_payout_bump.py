"""The fee of a payout is raised: whichever of its transactions the chain takes, everybody is paid once, and the books
have the fee of that one.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from support.payout_world import CHAIN, Fault, Faults, PayoutWorld, script_of
from support.points import some

from pool.audit.payout_checks import check_payouts
from pool.payouts.batch import Batch, BatchState, FeePolicy
from pool.storage import payout_coins, payout_orders, payout_versions

AMOUNTS = {1: 500_000, 2: 300_000}
S = BatchState


@pytest.fixture
def world(tmp_path: Path, url: str) -> Iterator[PayoutWorld]:
    world = PayoutWorld(tmp_path, url, max_fee_ppm=20_000)
    yield world
    world.close()


def bump(world: PayoutWorld, rate: int = 3000) -> None:
    with world.database.write() as connection:
        payout_versions.order_bump(connection, world.batches()[0].id, rate)


async def bumped(world: PayoutWorld, amounts: dict[int, int] = AMOUNTS, **owed: Any) -> tuple[Batch, bytes, bytes]:
    """A payout with two transactions: the batch, the older one's bytes, the newer one's."""
    world.owe(amounts, **owed)
    await world.passes(1, mining=False)
    first = world.batches()[0].raw
    bump(world)
    await world.passes(1, mining=False)
    (batch,) = world.batches()
    assert first is not None and batch.raw is not None and batch.raw != first
    return batch, first, batch.raw


def check(world: PayoutWorld, amounts: dict[int, int] = AMOUNTS) -> None:
    """All paid, the ledger's fee is the one of the transaction in the chain, and an audit finds nothing."""
    world.check_exact(amounts, amounts)
    (batch,) = world.batches()
    assert (batch.state, world.holds()) == (S.SETTLED, [])
    assert batch.built is not None and batch.txid in {t.txid for t in world.wallet.confirmed()}
    assert world.balances().get("expense.txfee", 0) == batch.built.pool_fee
    assert world.balances()["asset.wallet"] == world.wallet.holds()
    with world.database.read() as connection:
        assert check_payouts(connection) == []


@pytest.mark.parametrize("policy", FeePolicy)
async def test_storage_bump_pays_the_same_with_a_higher_fee(tmp_path: Path, url: str, policy: FeePolicy) -> None:
    world = PayoutWorld(tmp_path, url, max_fee_ppm=20_000, fee_policy=policy)
    batch, first, second = await bumped(world)
    (old,) = batch.others
    assert batch.built is not None and old.built is not None and old.raw == first
    assert batch.built.outputs == old.built.outputs and batch.built.inputs == old.built.inputs
    assert batch.built.fee == 3 * old.built.fee
    assert batch.built.pool_fee - old.built.pool_fee == batch.built.fee - old.built.fee  # the pool bears the difference
    assert (batch.state, batch.version, batch.bump_rate) == (S.BROADCAST, 1, None)
    assert list(world.wallet.mempool) == [batch.txid]
    assert [r.raw for r in world.file.records(batch.id)] == [first.hex(), second.hex()]
    await world.settle()
    check(world)
    assert world.batches()[0].version == 1
    world.close()


async def test_storage_bump_the_older_transaction_may_win_all_the_same(world: PayoutWorld) -> None:
    _, first, _ = await bumped(world)
    world.wallet.forget_mempool()
    world.wallet.deliver(first)
    world.wallet.mine(1)
    await world.settle()
    check(world)
    assert world.batches()[0].version == 0


async def test_storage_bump_a_reorg_that_swaps_them_swaps_the_fee_in_the_books(world: PayoutWorld) -> None:
    """Settled, reopened and settled again by the other one, to and fro."""
    batch, first, second = await bumped(world)
    fees = []
    for raw in (second, first, second, first):
        world.wallet.reorganise(8, forget=True)
        world.wallet.forget_mempool()
        world.wallet.deliver(raw)
        world.wallet.mine(1)
        await world.passes(6)
        check(world)
        (batch,) = world.batches()
        assert batch.raw == raw
        fees.append(world.balances()["expense.txfee"])
    assert fees[0] == fees[2] == 3 * fees[1] == 3 * fees[3]


async def test_storage_bump_is_refused_when_a_later_payout_spends_the_change(world: PayoutWorld) -> None:
    """A reorg took both out of their blocks. With another transaction of the first, the coin of the second would never
    be, and it is signed for good."""
    world.owe(AMOUNTS, fee=10_000_000)
    later, height = world.wallet.mine(1, reward=500_000), world.wallet.height
    world.wallet.mine(world.terms.maturity + 1)
    await world.settle()
    (first,) = world.batches()
    world.book(later, height, {4: 400_000})
    world.now_ms += world.terms.interval_ms
    await world.settle()
    second, _ = world.batches()
    assert second.built is not None and [coin.txid for coin in second.built.inputs] == [first.txid]
    assert first.height is not None
    world.wallet.fee_too_low = True
    world.wallet.reorganise(world.wallet.height - first.height + 1, forget=True)
    await world.passes(3, mining=False)
    assert [batch.state for batch in world.batches()] == [S.BROADCAST, S.BROADCAST]
    words = f"batch {second.id} spends the change of"
    with pytest.raises(payout_versions.BumpRefusedError, match=words), world.database.write() as connection:
        payout_versions.order_bump(connection, first.id, 3000)
    with world.database.write() as connection:
        payout_versions.order_bump(connection, second.id, 3000)
    world.wallet.fee_too_low = False
    await world.passes(20)
    world.check_exact([1, 2, 4], AMOUNTS | {4: 400_000})
    assert world.holds() == []


async def test_storage_bump_twice(world: PayoutWorld) -> None:
    await bumped(world)
    bump(world, 8000)
    await world.passes(1, mining=False)
    (batch,) = world.batches()
    assert (batch.version, [old.version for old in batch.others]) == (2, [1, 0])
    await world.settle()
    check(world)


async def test_storage_bump_of_what_no_node_took_is_sent_at_once(world: PayoutWorld) -> None:
    """The node's minimum rose over what was signed: the batch is signed and in no mempool."""
    world.wallet.fee_too_low = True
    world.owe(AMOUNTS)
    await world.passes(2, mining=False)
    assert world.batches()[0].state is S.SIGNED
    bump(world)
    world.wallet.fee_too_low = False
    world.wallet.forget_mempool()
    await world.passes(1, mining=False)
    (batch,) = world.batches()
    assert batch.state is S.BROADCAST
    await world.settle()
    check(world)


async def test_storage_bump_takes_another_coin_when_there_is_no_change(world: PayoutWorld) -> None:
    """The added coin stays reserved until no reorg can bring its transaction back, whichever one was mined."""
    world.owe({7: 4_000}, fee=5_000)  # a coin of 9000
    world.wallet.mine(1)
    batch, first, _ = await bumped(world, fee=400)
    (old,) = batch.others
    assert old.built is not None and old.built.change is None
    assert batch.built is not None and len(batch.built.inputs) == 2
    assert world.books.spendable() == frozenset()
    world.wallet.forget_mempool()
    world.wallet.deliver(first)
    world.wallet.mine(1)
    await world.passes(6)
    (batch,) = world.batches()
    assert (batch.state, batch.raw) == (S.SETTLED, first)
    assert world.books.spendable() == frozenset()
    await world.passes(2 * world.terms.maturity)
    assert len(world.books.spendable()) == 1
    assert world.holds() == []
    with world.database.read() as connection:
        assert check_payouts(connection) == []


async def test_storage_bump_a_coin_that_only_the_newer_one_spends_is_stolen_and_the_older_one_pays(
    world: PayoutWorld,
) -> None:
    world.owe({7: 4_000}, fee=5_000)
    world.wallet.mine(1)
    batch, first, _ = await bumped(world, fee=400)
    assert batch.built is not None
    world.wallet.steal(batch.built.inputs[1])
    world.wallet.mine(1)
    world.now_ms += 600_000
    await world.passes(6)
    (batch,) = world.batches()
    assert (batch.state, batch.raw) == (S.SETTLED, first)
    assert [world.wallet.paid(script_of(number)) for number in AMOUNTS] == [[500_000], [300_000]]


async def test_storage_bump_the_change_waits_until_no_other_transaction_can_take_its_place(world: PayoutWorld) -> None:
    await bumped(world, fee=900_000)
    await world.settle()
    assert world.books.spendable() == frozenset()
    await world.passes(2 * world.terms.maturity)
    assert len(world.books.spendable()) == 1


async def test_storage_bump_both_are_dead_by_a_thief_and_all_is_owed_again_once(world: PayoutWorld) -> None:
    batch, _, _ = await bumped(world)
    assert batch.built is not None
    world.wallet.steal(batch.built.inputs[0])
    world.wallet.mine(1)
    await world.passes(world.terms.maturity + 3)
    assert world.batches()[0].state is S.VOID
    assert [world.owed(number) for number in AMOUNTS] == [(500_000, 0), (300_000, 0)]
    assert world.balances().get("expense.txfee", 0) == 0


async def test_storage_bump_settled_twice_and_then_dead_leaves_no_fee_in_the_books(world: PayoutWorld) -> None:
    batch, first, second = await bumped(world)
    assert batch.built is not None
    for raw in (second, first):
        world.wallet.reorganise(8, forget=True)
        world.wallet.forget_mempool()
        world.wallet.deliver(raw)
        world.wallet.mine(1)
        await world.passes(6)
        check(world)
    world.wallet.reorganise(8, forget=True)
    world.wallet.forget_mempool()
    world.wallet.steal(batch.built.inputs[0])
    world.wallet.mine(1)
    await world.passes(world.terms.maturity + 4)
    assert world.batches()[0].state is S.VOID
    assert [world.owed(number) for number in AMOUNTS] == [(500_000, 0), (300_000, 0)]
    assert world.balances().get("expense.txfee", 0) == 0


@pytest.mark.parametrize(
    ("rate", "options", "refuses", "words"),
    [
        (200_000, {}, None, "over payouts.max_fee_rate"),
        (99_000, {}, None, "too much for a batch"),
        (3_000, {}, "insufficient fee", "the node would not take it: insufficient fee"),
        (3_000, {}, "txn-mempool-conflict", "-mempoolreplacement=1"),
        (3_000, {"incremental_rate": None}, None, "do not replace a transaction that waits"),
    ],
)
async def test_storage_bump_that_cannot_be_is_told_and_changes_nothing(
    tmp_path: Path, new_sqlite_url: Callable[[], str], rate: int, options: dict[str, Any], refuses: str | None,
    words: str, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    world = PayoutWorld(tmp_path, new_sqlite_url(), max_fee_ppm=20_000, **options)
    world.owe(AMOUNTS)
    await world.passes(1, mining=False)
    (before,) = world.batches()
    world.wallet.refuses = refuses
    bump(world, rate)
    await world.passes(1, mining=False)
    (batch,) = world.batches()
    assert (batch.raw, batch.others, batch.state, batch.bump_rate) == (before.raw, (), S.BROADCAST, None)
    assert words in caplog.text
    with world.database.read() as connection:
        told = connection.execute(text("SELECT reason FROM payout_attempts WHERE action = 'replace'")).scalar_one()
    assert words in told
    await world.settle()
    check(world)
    world.close()


async def test_storage_bump_the_operators_money_has_to_bear_it(
    world: PayoutWorld, caplog: pytest.LogCaptureFixture
) -> None:
    coin = world.wallet.deposit(600)
    world.owe(AMOUNTS | {3: 9_000}, fee=0)  # of which the last is not paid yet
    await world.passes(1)
    with world.database.write() as connection:
        payout_coins.claim_deposit(connection, CHAIN, coin, world.now_ms)
    world.now_ms += 700_000
    await world.passes(1, mining=False)
    assert world.batches()[0].state is S.BROADCAST
    bump(world, 9_000)
    await world.passes(1, mining=False)
    assert world.batches()[0].others == ()
    assert "fund the pool first" in caplog.text


async def test_storage_bump_comes_too_late_for_what_is_in_a_block(world: PayoutWorld) -> None:
    world.owe(AMOUNTS)
    await world.passes(1)
    bump(world)
    await world.passes(1)
    assert world.batches()[0].bump_rate is None
    with world.database.write() as connection, pytest.raises(payout_versions.BumpRefusedError, match="is confirming"):
        payout_versions.order_bump(connection, world.batches()[0].id, 5000)
    with world.database.write() as connection, pytest.raises(payout_versions.BumpRefusedError, match="no batch"):
        payout_versions.order_bump(connection, "nobody's", 5000)


async def test_storage_bump_waits_while_the_chain_is_on_hold(world: PayoutWorld) -> None:
    world.owe(AMOUNTS)
    await world.passes(1, mining=False)
    world.books.hold("operator", "look", world.now_ms)
    bump(world)
    await world.passes(2, mining=False)
    assert world.batches()[0].others == ()
    world.books.release("operator", "looked", world.now_ms)
    await world.passes(1, mining=False)
    assert world.batches()[0].version == 1
    await world.settle()
    check(world)


async def test_storage_bump_what_is_signed_stays_in_the_database(world: PayoutWorld) -> None:
    await bumped(world)
    for statement in (
        "UPDATE payout_batches SET raw = unsigned_bytes",
        "UPDATE payout_batches SET fee = fee + 1",
        "UPDATE payout_versions SET fee = fee + 1",
        "DELETE FROM payout_versions",
    ):
        with pytest.raises(IntegrityError), world.database.write() as connection:
            connection.execute(text(statement))
    await world.settle()
    with pytest.raises(IntegrityError), world.database.write() as connection:
        older = "(SELECT {} FROM payout_versions WHERE number = 0)"
        values = ", ".join(f"{name} = {older.format(name)}" for name in ("raw", "txid", "wtxid", "fee", "pool_fee"))
        connection.execute(text(f"UPDATE payout_batches SET {values}"))


async def test_storage_bump_none_of_its_transactions_proves_that_the_others_are_dead(world: PayoutWorld) -> None:
    batch, _, _ = await bumped(world)
    with world.database.write() as connection:
        payout_orders.hold_batch(connection, batch.id, "look", world.now_ms)
    for version in batch.versions:
        with world.database.write() as connection, pytest.raises(payout_orders.OrderRefusedError, match="itself"):
            payout_orders.void_batch(connection, batch.id, "no", world.now_ms, conflict_txid=version.txid)
    with world.database.write() as connection:
        payout_orders.release_batch(connection, batch.id, "looked", world.now_ms)
    await world.settle()
    check(world)


@pytest.mark.parametrize("older_wins", [False, True])
@pytest.mark.parametrize("when", ["nothing", "first"])
async def test_storage_bump_is_taken_over_from_the_file_by_older_books(
    tmp_path: Path, new_sqlite_url: Callable[[], str], older_wins: bool, when: str
) -> None:
    world = PayoutWorld(tmp_path, new_sqlite_url(), max_fee_ppm=20_000)
    path, kept = Path(world.url.removeprefix("sqlite:///")), tmp_path / "yesterday"

    def keep() -> None:
        world.close()
        shutil.copy(path, kept)
        world.open()

    world.owe(AMOUNTS)
    await world.payer.check.look(world.now_ms)
    if when == "nothing":
        keep()
    await world.passes(1, mining=False)
    if when == "first":
        keep()
    first = world.batches()[0].raw
    assert first is not None
    bump(world)
    await world.passes(1, mining=False)
    if older_wins:
        world.wallet.forget_mempool()
        world.wallet.deliver(first)
        world.wallet.mine(1)
    world.close()
    for file in path.parent.glob(path.name + "-*"):
        file.unlink()
    shutil.copy(kept, path)
    world.open()
    signed = len(world.wallet.signed)
    await world.settle()
    check(world)
    assert len(world.wallet.signed) == signed
    assert world.batches()[0].version == (0 if older_wins else 1)
    world.close()


async def run(folder: Path, url: str, faults: Faults, policy: FeePolicy, older_wins: bool) -> PayoutWorld:
    """A payout that is bumped, with one thing going wrong."""
    world = PayoutWorld(folder, url, faults=faults, fee_policy=policy, max_fee_ppm=20_000)
    world.owe(AMOUNTS)
    for _ in range(4):
        await world.passes(1, mining=False)
    bump(world)
    first = world.batches()[0].raw
    assert first is not None
    for _ in range(4):
        await world.passes(1, mining=False)
        world.now_ms += 600_000
    if older_wins:
        world.wallet.forget_mempool()
        world.wallet.deliver(first)
        world.wallet.mine(1)
    await world.settle()
    return world


@pytest.mark.parametrize("fault", Fault)
async def test_storage_bump_survives_every_point(
    fault: Fault, tmp_path: Path, new_sqlite_url: Callable[[], str]
) -> None:
    """Every commit, fsync and call to the wallet from the order on, one after the other."""
    counted = Faults()
    world = await run(tmp_path / "count", new_sqlite_url(), counted, FeePolicy.POOL, False)
    world.close()
    names = counted.names
    begin = names.index("sign", names.index("sign") + 1) - 1
    end = max(at for at, name in enumerate(names) if name == "broadcast")
    wanted = ("sign", "accepts", "replace", "file", "broadcast", "attempt")
    tried = [at for at in range(begin, end + 2) if names[at] in wanted]
    assert {names[at] for at in tried} >= {"sign", "accepts", "replace", "file", "broadcast", "attempt"}
    if fault is Fault.LATE_DUPLICATE:
        tried = [at for at in tried if names[at] == "broadcast"]
    for at in some(tried, 2):
        where = f"{fault} at point {at}, {names[at]}"
        faults = Faults(at, fault)
        policy = FeePolicy.MINER if at % 2 else FeePolicy.POOL
        world = await run(tmp_path / f"{at}", new_sqlite_url(), faults, policy, at % 3 == 0)
        try:
            assert faults.happened, where
            check(world)
        finally:
            world.close()
