"""The payer over real books and a wallet that can be made to fail: what each incident of the field became here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from support.fake_wallet import no_faults
from support.payout_world import CHAIN, Fault, Faults, PayoutWorld, script_of

from chains.node_rpc import NodeUnavailableError
from chains.primitives.transaction import Transaction, TxOut
from pool.ledger.account import SUSPENSE_DEPOSIT
from pool.payouts.batch import BatchState
from pool.payouts.standing import FencedError, OtherPayerError
from pool.storage import payout_coins
from pool.storage.payer_lock import PayerLock
from pool.storage.payout_tables import payer_epochs
from pool.storage.tables import accounts

AMOUNTS = {1: 500_000, 2: 300_000, 3: 200_000}
S = BatchState


@pytest.fixture
def world(tmp_path: Path, url: str) -> Iterator[PayoutWorld]:
    world = PayoutWorld(tmp_path, url)
    yield world
    world.close()


@pytest.fixture
def quick_world(tmp_path: Path, new_sqlite_url: Callable[[], str]) -> Iterator[PayoutWorld]:
    world = PayoutWorld(tmp_path, new_sqlite_url())
    yield world
    world.close()


async def until(world: PayoutWorld, state: S, *, mining: bool = False) -> None:
    """Passes until the newest batch is in a state."""
    for _ in range(10):
        await world.passes(1, mining=mining)
        if world.batches() and world.batches()[0].state is state:
            return
    pytest.fail(f"never {state}, but {[batch.state for batch in world.batches()]}")


async def test_storage_payouts_are_planned_signed_sent_and_settled(world: PayoutWorld) -> None:
    world.owe(AMOUNTS)
    await world.settle()
    world.check_exact(AMOUNTS, AMOUNTS)
    assert [world.wallet.paid(script_of(number)) for number in AMOUNTS] == [[500_000], [300_000], [200_000]]
    (batch,) = world.batches()
    assert batch.state == "settled"
    assert batch.built is not None
    assert world.balances()["expense.txfee"] == batch.built.fee
    assert world.holds() == []
    assert world.payer.check.difference == 0


async def test_storage_payouts_are_made_again_when_they_are_due(world: PayoutWorld) -> None:
    world.owe(AMOUNTS)
    await world.settle()
    world.owe({4: 400_000})
    await world.passes(5)
    assert world.wallet.paid(script_of(4)) == []  # not due
    world.now_ms += world.terms.interval_ms
    await world.passes(6)
    assert world.wallet.paid(script_of(4)) == [400_000]
    world.check_exact([*AMOUNTS, 4], AMOUNTS | {4: 400_000})


async def test_incident_p01_a_send_whose_answer_never_comes_is_sent_again_as_the_same_bytes(world: PayoutWorld) -> None:
    world.owe(AMOUNTS)

    def lose(name: str) -> None:
        if name == "after broadcast":
            raise ConnectionError

    world.wallet.point = lose
    for _ in range(3):
        with pytest.raises(ConnectionError):
            await world.payer.step()
        world.now_ms += 700_000
    assert len(world.wallet.sent) == 3
    assert len(set(world.wallet.sent)) == len(set(world.wallet.signed)) == 1
    world.wallet.point = world.faults
    await world.settle()
    world.check_exact(AMOUNTS, AMOUNTS)


@pytest.mark.parametrize("write", ["sign", "file", "attempt", "move"])
async def test_incident_p02_a_payment_whose_bookkeeping_fails_is_not_made_again(
    tmp_path: Path, new_sqlite_url: Callable[[], str], write: str
) -> None:
    """The database refuses again and again, from some step on."""
    world = PayoutWorld(tmp_path, new_sqlite_url())
    world.owe(AMOUNTS)
    broken = True

    def refuse(name: str) -> None:
        if broken and name == f"before {write}":
            raise OSError("disk full")

    world.payer._books._point = refuse  # type: ignore[attr-defined]
    await world.passes(5)
    assert len(set(world.wallet.sent)) <= 1
    if write in ("sign", "file"):
        assert world.wallet.sent == []  # nothing leaves before it is durable
    broken = False
    await world.settle()
    world.check_exact(AMOUNTS, AMOUNTS)
    assert len(set(world.wallet.sent)) == 1
    world.close()


async def test_incident_p03_a_restart_between_sending_and_writing_it_down_pays_once(
    tmp_path: Path, new_sqlite_url: Callable[[], str]
) -> None:
    faults = Faults()
    world = PayoutWorld(tmp_path, new_sqlite_url(), faults=faults)
    world.owe(AMOUNTS)
    counted = PayoutWorld(tmp_path / "count", new_sqlite_url())
    counted.owe(AMOUNTS)
    await counted.step()
    faults.at, faults.fault = counted.faults.names.index("broadcast"), Fault.CRASH_AFTER
    await world.settle()
    assert world.crashes == 1
    world.check_exact(AMOUNTS, AMOUNTS)
    world.close()
    counted.close()


async def test_incident_p04_two_payers_cannot_pay_at_once(world: PayoutWorld) -> None:
    with pytest.raises(OtherPayerError):
        PayerLock(world.database, CHAIN, "second", 0)
    other = PayerLock(world.database, "beta", "second", 0)
    other.close()


async def test_incident_p04_a_payer_that_lost_its_chain_writes_nothing_any_more(world: PayoutWorld) -> None:
    """Its lock is gone without its knowing, another payer has the chain."""
    world.owe(AMOUNTS)
    with world.database.write() as connection:
        connection.execute(update(payer_epochs).values(epoch=payer_epochs.c.epoch + 1))
    with pytest.raises(FencedError):
        await world.payer.step()
    assert world.batches() == []
    assert world.wallet.signed == []


async def test_incident_p08_a_payout_in_an_orphaned_block_is_sent_again_and_never_replaced(world: PayoutWorld) -> None:
    world.owe(AMOUNTS)
    await until(world, S.CONFIRMING, mining=True)
    world.wallet.reorganise(2, forget=True)
    await until(world, S.BROADCAST)
    await until(world, S.CONFIRMING, mining=True)
    await world.settle()
    world.check_exact(AMOUNTS, AMOUNTS)
    assert len(set(world.wallet.sent)) == 1
    assert len(world.batches()) == 1


async def test_incident_p08_a_reorg_deeper_than_the_confirmations_reopens_and_settles_again(world: PayoutWorld) -> None:
    world.owe(AMOUNTS)
    await until(world, S.SETTLED, mining=True)
    before = world.balances()
    world.wallet.reorganise(4)
    await until(world, S.BROADCAST)
    await world.passes(1, mining=False)
    assert world.holds() == []
    await until(world, S.SETTLED, mining=True)
    assert world.balances() == before
    world.check_exact(AMOUNTS, AMOUNTS)


async def test_incident_p08_a_settled_payment_that_can_never_be_is_owed_again(world: PayoutWorld) -> None:
    """A reorg takes it, and a thief's transaction takes its coin for good."""
    world.owe(AMOUNTS)
    await until(world, S.SETTLED, mining=True)
    (batch,) = world.batches()
    assert batch.built is not None
    world.wallet.reorganise(4, forget=True)
    world.wallet.steal(batch.built.inputs[0])
    world.wallet.mine(1)
    await world.passes(14)
    (batch,) = world.batches()
    assert batch.state is S.VOID
    for number, amount in AMOUNTS.items():
        assert world.owed(number) == (amount, 0)
        assert world.wallet.paid(script_of(number)) == []
    assert [hold.cause for hold in world.holds()] == ["wallet"]
    assert world.balances().get("expense.txfee", 0) == 0


async def test_incident_p13_a_bad_address_waits_alone(world: PayoutWorld) -> None:
    world.owe(AMOUNTS)
    bad = world.account(2)
    with world.database.write() as connection:
        connection.execute(update(accounts).where(accounts.c.id == bad).values(address=" bcrt1qnot"))
    await world.settle()
    assert [world.wallet.paid(script_of(number)) for number in AMOUNTS] == [[500_000], [], [200_000]]
    assert world.owed(2) == (300_000, 0)
    world.check_exact(AMOUNTS, AMOUNTS)


async def test_incident_p14_many_small_coins_are_made_one_by_itself(
    tmp_path: Path, new_sqlite_url: Callable[[], str]
) -> None:
    world = PayoutWorld(tmp_path, new_sqlite_url(), consolidate_above=5, max_inputs=4, minimum_payout=100_000)
    for number in range(1, 8):
        world.owe({number: 50_000}, bury=False)
    world.wallet.mine(12)
    await world.passes(14)
    assert [batch.kind for batch in world.batches()] == ["consolidate"]
    assert world.balances()["asset.wallet"] == world.wallet.holds()
    assert len(await world.wallet.coins()) == 4
    world.close()


async def test_incident_p15_coins_that_are_not_mature_are_not_spent(world: PayoutWorld) -> None:
    world.owe(AMOUNTS, bury=False)
    world.wallet.mine(9)
    await world.step()
    assert world.batches() == []
    await world.settle()
    world.check_exact(AMOUNTS, AMOUNTS)


async def test_incident_p19_a_coin_that_somebody_else_spent_stops_payouts_before_anything_is_signed(
    world: PayoutWorld,
) -> None:
    world.owe(AMOUNTS)
    world.owe({4: 700_000})
    await world.settle()
    world.owe({5: 900_000})
    await world.passes(12)
    signed = len(world.wallet.signed)
    victim = (await world.wallet.coins())[0]
    world.wallet.steal(victim.outpoint)
    world.now_ms += world.terms.interval_ms
    await world.passes(3)
    (hold,) = world.holds()
    assert hold.cause == "wallet"
    assert "is gone" in hold.reason
    assert world.payer.check.difference == -victim.amount
    assert len(world.wallet.signed) == signed
    assert world.wallet.paid(script_of(5)) == []


async def test_incident_p19_a_hot_wallet_over_its_ceiling_is_told_once_each_time(
    tmp_path: Path, new_sqlite_url: Callable[[], str], caplog: pytest.LogCaptureFixture
) -> None:
    world = PayoutWorld(tmp_path, new_sqlite_url(), hot_ceiling=1_000_000, minimum_payout=10_000_000)
    world.owe({1: 900_000})
    await world.passes(3)
    assert world.payer.check.shown == 1_000_000
    assert "too much in the hot wallet" not in caplog.text
    world.owe({2: 1_000})
    world.now_ms += world.terms.interval_ms
    await world.passes(20)
    told = [record.getMessage() for record in caplog.records if "hot wallet" in record.getMessage()]
    assert told == [f"too much in the hot wallet, sweep it chain={world.terms.chain} amount=1101000 ceiling=1000000"]
    assert world.holds() == []
    world.close()


async def test_storage_payouts_a_conflict_is_told_and_void_only_when_it_is_deep(world: PayoutWorld) -> None:
    world.owe(AMOUNTS)
    await until(world, S.BROADCAST)
    (batch,) = world.batches()
    assert batch.built is not None
    world.wallet.steal(batch.built.inputs[0])
    world.wallet.mine(1)
    await until(world, S.CONFLICTED)
    await world.passes(5)
    assert world.batches()[0].state is S.CONFLICTED
    assert world.owed(1) == (0, 500_000)
    await world.passes(6)
    (batch,) = world.batches()
    assert batch.state is S.VOID
    assert batch.conflict_txid is not None
    assert world.owed(1) == (500_000, 0)
    assert [hold.cause for hold in world.holds()] == ["wallet"]


async def test_storage_payouts_a_conflict_that_a_reorg_takes_away_ends(world: PayoutWorld) -> None:
    world.owe(AMOUNTS)
    await until(world, S.BROADCAST)
    (batch,) = world.batches()
    assert batch.built is not None
    world.wallet.steal(batch.built.inputs[0])
    world.wallet.mine(1)
    await until(world, S.CONFLICTED)
    world.wallet.reorganise(1, forget=True)
    world.wallet.forget_mempool()
    world.now_ms += 600_000
    await until(world, S.BROADCAST)
    await until(world, S.SETTLED, mining=True)
    world.check_exact(AMOUNTS, AMOUNTS)


@pytest.mark.parametrize("what", ["amount", "script", "output"])
async def test_storage_payouts_a_wallet_that_changes_a_transaction_gets_nothing_sent(
    quick_world: PayoutWorld, what: str
) -> None:
    world = quick_world
    world.owe(AMOUNTS)

    def tamper(transaction: Transaction) -> Transaction:
        first, *others = transaction.outputs
        changed: dict[str, Any] = {
            "amount": (TxOut(first.amount_sat + 1, first.script), *others),
            "script": (TxOut(first.amount_sat, script_of(66)), *others),
            "output": (*transaction.outputs, TxOut(1, script_of(66))),
        }
        return dataclasses.replace(transaction, outputs=changed[what])

    world.wallet.tampers = tamper
    await world.passes(3)
    (batch,) = world.batches()
    assert (batch.state, batch.raw) == (S.HOLD, None)
    assert world.wallet.sent == []


async def test_storage_payouts_wait_while_the_node_wants_more_fee(quick_world: PayoutWorld) -> None:
    world = quick_world
    world.owe(AMOUNTS)
    world.wallet.rate = 1_000_000
    await world.passes(3)
    assert world.batches() == []
    world.wallet.rate = 1000
    world.now_ms += 600_000
    await world.settle()
    world.check_exact(AMOUNTS, AMOUNTS)


async def test_storage_payouts_a_refusal_for_fees_before_the_signature_counts_gives_the_batch_up(
    quick_world: PayoutWorld,
) -> None:
    world = quick_world
    world.owe(AMOUNTS)
    world.wallet.refuses = "mempool min fee not met"
    await world.passes(2)
    assert [batch.state for batch in world.batches()] == [S.VOID]
    assert world.owed(1) == (500_000, 0)
    world.wallet.refuses = None
    world.now_ms += 600_000
    await world.settle()
    world.check_exact(AMOUNTS, AMOUNTS)


async def test_storage_payouts_a_fee_that_rose_after_the_signature_is_waited_for_with_the_same_bytes(
    quick_world: PayoutWorld,
) -> None:
    world = quick_world
    world.owe(AMOUNTS)
    world.wallet.fee_too_low = True
    for _ in range(4):
        await world.passes(1)
        world.now_ms += 600_000
    assert world.batches()[0].state is S.SIGNED
    world.wallet.fee_too_low = False
    await world.settle()
    assert len(set(world.wallet.sent)) == 1
    world.check_exact(AMOUNTS, AMOUNTS)


async def test_storage_payouts_wait_for_the_operators_money_when_the_pool_bears_the_fee(
    quick_world: PayoutWorld,
) -> None:
    world = quick_world
    world.owe(AMOUNTS, fee=0)
    await world.passes(3)
    assert world.batches() == []
    assert world.owed(1) == (500_000, 0)


async def test_storage_payouts_do_nothing_while_the_node_is_not_synced(quick_world: PayoutWorld) -> None:
    world = quick_world
    world.owe(AMOUNTS)
    world.wallet.synced = False
    await world.passes(3)
    assert world.batches() == []
    world.wallet.synced = True
    await world.settle()
    world.check_exact(AMOUNTS, AMOUNTS)


async def test_storage_payouts_a_hold_stops_what_is_new_and_follows_what_is_signed(quick_world: PayoutWorld) -> None:
    world = quick_world
    world.owe(AMOUNTS)
    await until(world, S.BROADCAST)
    world.books.hold("operator", "moving", world.now_ms)
    world.owe({4: 400_000})
    world.now_ms += world.terms.interval_ms
    await world.passes(8)
    assert [batch.state for batch in world.batches()] == [S.SETTLED]
    world.books.release("operator", "moved", world.now_ms)
    await world.passes(8)
    world.check_exact([*AMOUNTS, 4], AMOUNTS | {4: 400_000})
    assert world.wallet.paid(script_of(4)) == [400_000]


async def test_storage_payouts_a_reorg_takes_a_coin_of_a_batch_that_is_not_signed_yet(world: PayoutWorld) -> None:
    """It is built of other coins. To ask the node would put it on hold for an operator who has nothing to decide."""
    world.owe(AMOUNTS, fee=10_000_000)
    later, height = world.wallet.mine(1, reward=500_000), world.wallet.height
    world.wallet.mine(world.terms.maturity + 1)
    await world.settle()
    (first,) = world.batches()
    world.book(later, height, {4: 400_000})

    def away(name: str) -> None:
        if name == "before sign":
            raise NodeUnavailableError("gone")

    world.wallet.point = away
    world.now_ms += world.terms.interval_ms
    await until(world, S.BUILT)
    built = world.batches()[0].built
    assert built is not None
    (coin,) = built.inputs
    assert coin.txid == first.txid, "the change of the payout before is its coin"
    world.wallet.point = no_faults
    assert first.height is not None
    world.wallet.reorganise(world.wallet.height - first.height + 1, forget=True)
    states = set()
    for _ in range(30):
        await world.passes(1)
        states |= {batch.state for batch in world.batches()}
        world.now_ms += world.terms.interval_ms
    assert S.HOLD not in states
    world.check_exact([1, 2, 3, 4], AMOUNTS | {4: 400_000})
    assert world.wallet.paid(script_of(4)) == [400_000]
    assert world.holds() == []


async def test_storage_payouts_a_deposit_is_booked_left_alone_and_claimed(quick_world: PayoutWorld) -> None:
    world = quick_world
    coin = world.wallet.deposit(77_777)
    world.owe(AMOUNTS)
    await world.settle()
    assert world.balances()[SUSPENSE_DEPOSIT] == 77_777
    assert coin not in world.books.spendable()
    world.check_exact(AMOUNTS, AMOUNTS)


async def test_storage_payouts_a_deposit_that_a_reorg_took_holds_nothing_and_may_come_again(world: PayoutWorld) -> None:
    """Anybody can send a coin, and on a small chain take it back: payouts of others must not stand for that."""
    deep = world.terms.confirmations
    world.owe(AMOUNTS)
    await world.settle()
    coin = world.wallet.deposit(77_777)
    for _ in range(3):
        world.wallet.mine(deep)
        await look(world)
        assert world.balances()[SUSPENSE_DEPOSIT] == 77_777
        world.wallet.reorganise(deep, grow=0)
        await look(world)
        assert world.balances()[SUSPENSE_DEPOSIT] == 77_777, "it waits for a block, and is in the wallet"
        world.wallet.forget_mempool()
        await look(world)
        assert SUSPENSE_DEPOSIT not in world.balances()
        assert (world.holds(), world.payer.check.difference) == ([], 0)
        world.wallet.send_again(coin.txid)
    world.wallet.mine(deep)
    await look(world)
    assert world.balances()[SUSPENSE_DEPOSIT] == 77_777
    assert coin not in world.books.spendable()
    world.check_exact(AMOUNTS, AMOUNTS)


@pytest.mark.parametrize("waiting", [False, True])
async def test_storage_payouts_a_deposit_that_somebody_spent_stops_the_chain(
    quick_world: PayoutWorld, waiting: bool
) -> None:
    """Only the keys can do that, in a block or, with the deposit itself, in none."""
    world = quick_world
    coin = world.wallet.deposit(77_777)
    world.wallet.mine(world.terms.confirmations)
    await look(world)
    world.wallet.steal(coin)
    if waiting:
        world.wallet.reorganise(world.terms.confirmations + 1)
    else:
        world.wallet.mine(1)
    await look(world)
    assert [hold.cause for hold in world.holds()] == ["wallet"]
    assert world.balances()[SUSPENSE_DEPOSIT] == 77_777


async def test_storage_payouts_a_claimed_deposit_that_a_reorg_took_stops_the_chain_until_it_is_back(
    quick_world: PayoutWorld,
) -> None:
    world = quick_world
    coin = world.wallet.deposit(77_777)
    world.wallet.mine(world.terms.confirmations)
    await look(world)
    with world.database.write() as connection:
        payout_coins.claim_deposit(connection, CHAIN, coin, world.now_ms)
    world.wallet.reorganise(world.terms.confirmations + 1, forget=True)
    await look(world)
    (hold,) = world.holds()
    assert (hold.cause, "is gone" in hold.reason) == ("wallet", True)
    world.wallet.send_again(coin.txid)
    world.wallet.mine(1)
    world.books.release("wallet", "sent again", world.now_ms)
    await look(world)
    assert (world.holds(), world.payer.check.difference) == ([], 0)


async def look(world: PayoutWorld) -> None:
    """The wallet compared with the books."""
    world.now_ms += 600_000
    await world.payer.step()


async def test_storage_payouts_are_durable_in_both_places_before_they_are_sent(quick_world: PayoutWorld) -> None:
    world = quick_world
    world.owe(AMOUNTS)
    seen = []

    def look(name: str) -> None:
        if name == "before broadcast":
            (batch,) = world.books.batches()
            recorded = world.file.record(batch.id)
            assert recorded is not None
            assert batch.raw == bytes.fromhex(recorded.raw)
            seen.append(batch.state)

    world.wallet.point = look
    await world.settle()
    assert seen == [S.SIGNED]


async def test_storage_payouts_what_was_signed_is_written_to_a_lost_file_again_before_it_is_sent(
    quick_world: PayoutWorld,
) -> None:
    world = quick_world
    world.owe(AMOUNTS)
    world.wallet.fee_too_low = True
    await world.passes(1)
    world.close()
    world.file.path.unlink()
    world.open()
    world.wallet.fee_too_low = False
    world.now_ms += 600_000
    await world.settle()
    assert world.file.batch_ids == [world.batches()[0].id]
    world.check_exact(AMOUNTS, AMOUNTS)


async def test_storage_payouts_without_a_fee_rate_say_that_there_is_none(
    quick_world: PayoutWorld, caplog: pytest.LogCaptureFixture
) -> None:
    quick_world.wallet.rate = None
    quick_world.owe(AMOUNTS)
    await quick_world.passes(2)
    told = [record.getMessage() for record in caplog.records if "payouts wait" in record.getMessage()]
    words = "no_fee_rate: the node has no fee estimate, and payouts.default_fee_rate is not set"
    assert told == [f"payouts wait chain={CHAIN} {CHAIN}: {words}"]
