"""Payouts from an account over real books: the ways that an account is not a set of coins, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, select, update
from support.payout_world import CHAIN, PayoutWorld, _account, script_of

from chains.wallet import Outpoint
from pool.audit.payout_checks import check_payouts
from pool.ledger import income
from pool.payouts.batch import BatchKind, BatchState, FeePolicy
from pool.storage import block_losses, block_store, ledger_store, payout_coins, payout_holds, payout_versions
from pool.storage.payout_tables import payout_batches
from pool.storage.scheme_tables import income_events
from pool.storage.tables import blocks, credits

AMOUNTS = {1: 500_000, 2: 300_000, 3: 200_000}
S = BatchState


@pytest.fixture(params=[None, "beta"], ids=["bk", "parallel"])
def world(request: pytest.FixtureRequest, tmp_path: Path, url: str) -> Iterator[PayoutWorld]:
    world = PayoutWorld(tmp_path, url, account=True, chain_name=request.param)
    yield world
    world.close()


@pytest.fixture
def quick_world(tmp_path: Path, new_sqlite_url: Callable[[], str]) -> Iterator[PayoutWorld]:
    world = PayoutWorld(tmp_path, new_sqlite_url(), account=True)
    yield world
    world.close()


async def until(world: PayoutWorld, state: S, *, mining: bool = False) -> None:
    for _ in range(10):
        await world.passes(1, mining=mining)
        if world.batches() and world.batches()[0].state is state:
            return
    pytest.fail(f"never {state}, but {[batch.state for batch in world.batches()]}")


async def test_storage_account_payouts_are_signed_sent_and_settled(world: PayoutWorld) -> None:
    world.owe(AMOUNTS)
    await world.settle()
    world.check_exact(AMOUNTS, AMOUNTS)
    assert [world.wallet.paid(script_of(number)) for number in AMOUNTS] == [[500_000], [300_000], [200_000]]
    (batch,) = world.batches()
    assert batch.state == "settled" and batch.built is not None
    assert world.balances()["expense.txfee"] == batch.built.fee == batch.built.vsize, "1000 per 1000 bytes"
    assert batch.built.change is not None and batch.built.change.amount == 100_000 - batch.built.fee
    assert world.holds() == [] and world.payer.check.difference == 0


def audited(world: PayoutWorld) -> list[str]:
    with world.database.read() as connection:
        return [str(finding) for finding in check_payouts(connection)]


async def test_storage_account_audit_reads_transfers(quick_world: PayoutWorld) -> None:
    world = quick_world
    world.owe(AMOUNTS)
    await world.settle()
    assert audited(world) == []
    batch = world.batches()[0]
    assert batch.raw is not None and batch.built is not None

    def bend(**values: object) -> list[str]:
        with world.database.engine.begin() as connection:
            wanted = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'payout_batches'"
            for (name,) in connection.exec_driver_sql(wanted).all():
                connection.exec_driver_sql(f"DROP TRIGGER {name}")
        with world.database.write() as connection:
            connection.execute(update(payout_batches).where(payout_batches.c.id == batch.id).values(**values))
        return audited(world)

    assert any("not the transaction of its id" in text for text in bend(raw=batch.raw[:-1] + b"\x00"))
    found = bend(raw=batch.raw, change_amount=1)
    assert any("differ by something else than its fee" in text for text in found), found
    found = bend(change_amount=batch.built.change.amount if batch.built.change else None, fee=batch.built.fee + 1)
    assert any("its transfer's fee is" in text for text in found), found


async def test_storage_account_reward_that_was_paid_out_and_is_lost_for_good(world: PayoutWorld) -> None:
    """The transfer stands, so the account lacks the reward; once the operator bears it the books lack the same."""
    world.owe({1: 500_000}, fee=2_000_000)
    world.wallet.mine(5)
    lost_hex = world.owe({2: 300_000}, fee=400_000)
    lost_height = world.wallet.height - world.terms.maturity - 1
    assert world.wallet.hash_at(lost_height) == lost_hex
    await world.settle()
    assert [batch.state for batch in world.batches()] == ["settled"]
    world.wallet.reorganise(world.wallet.height - lost_height + 1)
    world.wallet.mine(3)
    await world.passes(2, mining=False)
    with world.database.write() as connection:
        block_id = connection.execute(select(blocks.c.id).where(blocks.c.hash_hex == lost_hex)).scalar_one()
        block_losses.lose(connection, block_store.find(connection, block_id), world.now_ms)
        block_losses.absorb(connection, CHAIN, lost_hex, world.now_ms)
    await world.passes(3)
    with world.database.write() as connection:
        for hold in payout_holds.in_force(connection, CHAIN):
            payout_holds.release(connection, CHAIN, hold.cause, "looked", world.now_ms)
    world.owe({3: 70_000})
    for _ in range(2):
        world.now_ms += world.terms.interval_ms
        await world.settle()
        assert world.holds() == []
        assert world.payer.check.difference == 0 and audited(world) == []
        world.owe({4: 80_000})
    world.now_ms += world.terms.interval_ms
    await world.settle()
    assert {batch.state for batch in world.batches()} == {"settled"} and len(world.batches()) == 4
    assert [world.wallet.paid(script_of(number)) for number in (1, 2, 3)] == [[500_000], [300_000], [70_000]]
    assert world.balances()["asset.wallet"] == world.wallet.holds()


async def test_storage_account_payouts_take_turns_and_leave_one_coin(quick_world: PayoutWorld) -> None:
    world = quick_world
    for _ in range(3):
        world.owe({1: 40_000, 2: 50_000}, fee=10_000)
        world.now_ms += world.terms.interval_ms
        await world.settle()
    assert [batch.state for batch in world.batches()] == ["settled"] * 3
    assert world.wallet.paid(script_of(1)) == [40_000] * 3
    with world.database.read() as connection:
        left = payout_coins.spendable(connection, CHAIN)
    assert len(left) == 1, "all that was there went through the last transfer"
    assert world.balances()["asset.wallet"] == world.wallet.holds()


async def test_storage_account_payouts_by_miners_fees_may_empty_the_account(
    tmp_path: Path, new_sqlite_url: Callable[[], str]
) -> None:
    world = PayoutWorld(tmp_path, new_sqlite_url(), account=True, fee_policy=FeePolicy.MINER)
    world.owe({1: 500_000}, fee=0)
    await world.settle()
    (batch,) = world.batches()
    assert batch.built is not None and batch.built.change is None
    assert world.wallet.holds() == 0 and world.balances() == {}
    assert world.wallet.paid(script_of(1)) == [500_000 - batch.built.fee]
    world.owe({2: 500_000}, fee=0)
    world.now_ms += world.terms.interval_ms
    await world.settle()
    assert [batch.state for batch in world.batches()] == ["settled"] * 2 and world.wallet.holds() == 0
    world.close()


async def test_storage_account_income_grows_the_account_while_a_payout_waits(world: PayoutWorld) -> None:
    """No nonce changes, and nothing is wrong."""
    world.owe(AMOUNTS)
    await until(world, S.BROADCAST)
    world.owe({4: 70_000}, fee=5_000, bury=False)
    world.wallet.mine(3, empty=True)
    world.wallet.deposit(777)
    await world.passes(4)
    assert world.holds() == []
    await world.settle()
    world.wallet.mine(world.terms.maturity)
    world.now_ms += world.terms.interval_ms
    await world.settle()
    world.check_exact([1, 2, 3, 4], AMOUNTS | {4: 70_000})
    assert world.balances()["suspense.deposit"] == 777


async def test_storage_account_reorg_takes_a_payout_and_the_same_bytes_bring_it_back(world: PayoutWorld) -> None:
    world.owe(AMOUNTS)
    await until(world, S.CONFIRMING, mining=True)
    world.wallet.reorganise(world.wallet.height - world.batches()[0].height + 1, forget=True)
    world.wallet.forget_mempool()
    await world.passes(1, mining=False)
    assert world.batches()[0].state == "broadcast"
    await world.settle()
    world.check_exact(AMOUNTS, AMOUNTS)
    assert len(set(world.wallet.sent)) == 1 == len(world.wallet.signed)


async def test_storage_account_reorg_of_a_settled_payout_reopens_it(world: PayoutWorld) -> None:
    world.owe(AMOUNTS)
    await world.settle()
    batch = world.batches()[0]
    assert batch.height is not None
    world.wallet.reorganise(world.wallet.height - batch.height + 1, forget=True)
    await world.passes(1, mining=False)
    assert world.batches()[0].state == "confirming"
    await world.settle()
    world.check_exact(AMOUNTS, AMOUNTS)


async def test_storage_account_payout_after_one_that_fell_out_of_its_block_waits_for_its_turn(
    quick_world: PayoutWorld,
) -> None:
    """Two transfers of one nonce would shut each other out, and one of them would pay nobody for ever."""
    world = quick_world
    world.owe(AMOUNTS)
    await until(world, S.CONFIRMING, mining=True)
    first = world.batches()[0]
    world.owe({4: 70_000}, bury=False)
    world.wallet.mine(world.terms.maturity)
    batches = world.books.batches()
    assert first.height is not None
    world.wallet.reorganise(3, forget=True)
    world.now_ms += world.terms.interval_ms
    for _ in range(3):
        await world.passes(1, mining=False)
    await world.settle()
    assert batches and all(batch.state == "settled" for batch in world.batches())
    world.check_exact([1, 2, 3, 4], AMOUNTS | {4: 70_000})


async def test_storage_account_somebody_else_takes_the_turn_of_a_payout(world: PayoutWorld) -> None:
    """The key is stolen: the batch is dead once that is deep, its payouts are owed again, and nothing new is paid."""
    world.owe(AMOUNTS)
    await until(world, S.BROADCAST)
    world.wallet.forget_mempool()
    thief = world.wallet.steal(300_000)
    world.wallet.mine(1)
    await world.passes(2)
    assert world.batches()[0].state == "conflicted"
    assert world.batches()[0].conflict_txid == thief
    await world.passes(world.terms.maturity + 2)
    assert world.batches()[0].state == "void"
    assert all(world.owed(number) == (amount, 0) for number, amount in AMOUNTS.items())
    (hold,) = world.holds()
    assert hold.cause == "wallet"
    assert f"transfer {thief[::-1].hex()} of height" in hold.reason and "took 300000" in hold.reason
    assert "none of the books'" in hold.reason
    with world.database.write() as connection:
        payout_holds.release(connection, CHAIN, "wallet", "looked", world.now_ms)
    world.now_ms += world.terms.interval_ms
    await world.passes(3)
    assert len(world.holds()) == 1, "a hold whose cause is still there comes back"
    assert len(world.batches()) == 1 and all(world.wallet.paid(script_of(number)) == [] for number in AMOUNTS)


async def test_storage_account_thief_whose_transfer_a_reorg_takes_again_changes_nothing(
    quick_world: PayoutWorld,
) -> None:
    world = quick_world
    world.owe(AMOUNTS)
    await until(world, S.BROADCAST)
    world.wallet.forget_mempool()
    world.wallet.steal(300_000)
    world.wallet.mine(1)
    await world.passes(1)
    assert world.batches()[0].state == "conflicted"
    world.wallet.reorganise(2, forget=True)
    world.wallet.forget_mempool()
    await world.settle()
    world.check_exact(AMOUNTS, AMOUNTS)


async def test_storage_account_deposit_is_claimed_spent_and_may_leave_before(world: PayoutWorld) -> None:
    world.owe(AMOUNTS)
    gone = world.wallet.deposit(123)
    world.wallet.mine(1)
    await world.settle()
    world.now_ms += 700_000
    await world.passes(1)
    assert world.balances()["suspense.deposit"] == 123
    world.wallet.reorganise(world.wallet.height - world.wallet.accounts.height_of(gone.txid) + 1, forget=True)
    world.wallet.forget_mempool()
    await world.settle()
    world.now_ms += 700_000
    await world.passes(1)
    assert world.holds() == [] and "suspense.deposit" not in world.balances()
    kept = world.wallet.deposit(1_000)
    world.wallet.mine(3)
    world.now_ms += 700_000
    await world.passes(1)
    with world.database.write() as connection:
        assert payout_coins.claim_deposit(connection, CHAIN, Outpoint(*kept), world.now_ms) == 1_000
    world.owe({4: 70_000})
    world.now_ms += world.terms.interval_ms
    await world.settle()
    assert world.holds() == []
    world.check_exact([1, 2, 3, 4], AMOUNTS | {4: 70_000})


async def test_storage_account_books_that_lost_everything_pay_nobody(world: PayoutWorld) -> None:
    world.wallet.mine(1, reward=10**6)
    world.wallet.mine(world.terms.maturity + 1)
    world.wallet.steal(1_000_000)
    world.wallet.mine(1)
    world.owe(AMOUNTS)
    await world.passes(3)
    assert [hold.cause for hold in world.holds()] == ["history", "wallet"]
    assert world.batches() == []


async def test_storage_account_behind_or_lying_nodes_decide_nothing(quick_world: PayoutWorld) -> None:
    world = quick_world
    world.owe(AMOUNTS)
    world.wallet.synced = False
    await world.passes(2)
    assert world.batches() == []
    world.wallet.synced = True
    lie = world.wallet.accounts._histories
    world.wallet.accounts._histories = {script: lines[:-1] for script, lines in lie.items()}
    await world.passes(2, mining=False)
    assert world.batches() == [] and world.holds() == []
    world.wallet.accounts._histories = lie
    await world.settle()
    world.check_exact(AMOUNTS, AMOUNTS)


async def test_storage_account_fee_of_a_transfer_is_not_raised(quick_world: PayoutWorld) -> None:
    world = quick_world
    world.owe(AMOUNTS)
    await until(world, S.BROADCAST)
    with world.database.write() as connection:
        payout_versions.order_bump(connection, world.batches()[0].id, 5000)
    await world.passes(1, mining=False)
    assert world.batches()[0].bump_rate is None and len(world.batches()[0].versions) == 1
    await world.settle()
    world.check_exact(AMOUNTS, AMOUNTS)
    assert world.batches()[0].kind is BatchKind.PAYOUT


def book_vote(world: PayoutWorld, container_hex: str, height: int, index: int, amount: int, *, mature: bool) -> None:
    """A vote of ours in a block, credited to account 1 and mature or not yet, as the books of votes have it."""
    vote_hex = f"{index + 1:064x}"
    with world.database.write() as connection:
        account_id = _account(connection, 1)
        fee = amount // 10
        owed = {account_id: amount - fee}
        if connection.execute(select(blocks.c.id).where(blocks.c.hash_hex == vote_hex)).first() is None:
            group = income.credit(CHAIN, vote_hex, income=amount, fee=fee, amounts=owed)
            ledger_store.post(connection, group, world.now_ms)
            made = connection.execute(
                insert(blocks).values(
                    chain=CHAIN, hash_hex=vote_hex, vote_hash_hex=vote_hex, container_hash_hex=container_hex,
                    event_index=index, height=height, state="submitted", reward=amount, fee=fee, log_id=1,
                    share_sequence=1, target_hex="ff", found_ms=0, confirmations=0, reason="", orphaned_times=0,
                    watched=0, updated_ms=0,
                )
            ).inserted_primary_key  # fmt: skip
            assert made is not None
            event = {"operator_amount": 0, "unexplained": 0, "scheme": "pplns", "total_weight": "1"}
            event |= {"block_id": made[0], "event_index": 0, "reward": amount, "fee": fee}
            connection.execute(insert(income_events).values(**event))
            credit = {"block_id": made[0], "account_id": account_id, "weight": "1", "amount": amount - fee}
            connection.execute(insert(credits).values(**credit))
            connection.execute(update(blocks).where(blocks.c.id == made[0]).values(state="immature"))
        if mature:
            group = income.mature(CHAIN, vote_hex, income=amount, amounts=owed)
            ledger_store.post(connection, group, world.now_ms)
            connection.execute(update(blocks).where(blocks.c.hash_hex == vote_hex).values(state="mature"))


async def test_storage_account_votes_of_one_block_are_one_coin_once_all_are_final(world: PayoutWorld) -> None:
    """The chain pays them at once, and the books come to them one by one: meanwhile nothing is wrong."""
    container_hex = world.wallet.mine(1, reward=90_000)
    height = world.wallet.height
    world.wallet.mine(world.terms.maturity + 1)
    for seen in ((), ((0, 60_000, False),), ((0, 60_000, True),), ((0, 60_000, True), (1, 30_000, False))):
        for index, amount, mature in seen:
            if not (mature and (index, amount) == (0, 60_000) and len(seen) == 2):
                book_vote(world, container_hex, height, index, amount, mature=mature)
        world.now_ms += 700_000
        await world.passes(1, mining=False)
        assert world.holds() == [] and world.batches() == []
    book_vote(world, container_hex, height, 1, 30_000, mature=True)
    world.now_ms += world.terms.interval_ms
    await world.settle()
    assert world.holds() == []
    (batch,) = [one for one in world.batches() if one.state != "void"]
    assert batch.built is not None and [coin.amount for coin in batch.built.coins] == [90_000]


async def test_storage_account_vote_that_the_books_never_come_to_is_told(quick_world: PayoutWorld) -> None:
    world = quick_world
    container_hex = world.wallet.mine(1, reward=90_000)
    height = world.wallet.height
    world.wallet.mine(world.terms.maturity + 1)
    book_vote(world, container_hex, height, 0, 60_000, mature=True)
    await world.passes(1)
    assert world.holds() == []
    world.wallet.mine(30)
    world.now_ms += 700_000
    await world.passes(1)
    (hold,) = world.holds()
    assert hold.reason == f"the 60000 of block {container_hex} are not in the wallet"
