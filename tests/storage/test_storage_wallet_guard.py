"""Whether the wallet is the one of the books: the key of the address that blocks pay, and payments of lost books."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete
from support.fake_wallet import own_script
from support.payout_world import CHAIN, FORM, PayoutWorld, address_of, script_of

from chains.primitives.address import script_to_address
from pool.storage.payout_tables import chain_holds

AMOUNTS = {1: 500_000, 2: 300_000}


@pytest.fixture
def world(tmp_path: Path, url: str) -> Iterator[PayoutWorld]:
    world = PayoutWorld(tmp_path, url)
    yield world
    world.close()


def reading_again(world: PayoutWorld, reward_address: str | None) -> None:
    """The process is started with another address in its configuration."""
    world.terms = dataclasses.replace(world.terms, reward_address=reward_address)
    world.restart()


async def test_storage_wallet_guard_a_wallet_without_the_chains_key_pays_nobody(world: PayoutWorld) -> None:
    reading_again(world, address_of(66))
    world.owe(AMOUNTS)
    await world.passes(3)
    (hold,) = world.holds()
    assert hold.cause == "address"
    assert hold.reason == (
        f"the wallet does not have the key of {address_of(66)}, which the chain's blocks pay: "
        "correct payouts.wallet_url or wallet_name, or the chain's address"
    )
    assert world.batches() == []
    world.books.release("address", "looked", world.now_ms)
    await world.passes(1)
    assert [hold.cause for hold in world.holds()] == ["address"]  # it is still another wallet
    reading_again(world, script_to_address(own_script(1), FORM))
    world.books.release("address", "corrected", world.now_ms)
    await world.settle()
    world.check_exact(AMOUNTS, AMOUNTS)
    assert world.holds() == []


async def test_storage_wallet_guard_looks_again_before_each_batch(world: PayoutWorld) -> None:
    reading_again(world, script_to_address(own_script(1), FORM))
    world.owe(AMOUNTS)
    await world.settle()
    assert world.holds() == []

    async def never(_script: bytes) -> bool:
        return False

    world.wallet.is_ours = never  # type: ignore[method-assign]
    world.owe({3: 400_000})
    world.now_ms += world.terms.interval_ms
    await world.passes(3)
    assert [hold.cause for hold in world.holds()] == ["address"]
    assert world.wallet.paid(script_of(3)) == []


def lose_everything(world: PayoutWorld, folder: Path, url: str) -> PayoutWorld:
    """Database and payout file are gone; the chain and the wallet are as they were."""
    world.close()
    wallet = world.wallet
    fresh = PayoutWorld(folder, url)
    fresh.wallet.__dict__.update(wallet.__dict__)
    fresh.now_ms = world.now_ms
    return fresh


async def test_storage_wallet_guard_books_that_lost_their_payments_pay_nobody_again(
    tmp_path: Path, new_sqlite_url: Callable[[], str]
) -> None:
    first = PayoutWorld(tmp_path, new_sqlite_url())
    hash_hex = first.owe(AMOUNTS)
    height = first.wallet.height - first.terms.maturity - 1
    await first.settle()
    lost = lose_everything(first, tmp_path / "new", new_sqlite_url())
    lost.book(hash_hex, height, AMOUNTS)  # the blocks are read again, and credited once more
    lost.owe({3: 900_000})
    sent = len(lost.wallet.sent)
    lost.now_ms += lost.terms.interval_ms
    await lost.passes(4)
    assert len(lost.wallet.sent) == sent
    (hold,) = [hold for hold in lost.holds() if hold.cause == "history"]
    assert hold.reason.startswith("the books and the payout file know of no payment, but the wallet has sent coins")
    assert [len(lost.wallet.paid(script_of(number))) for number in (1, 2, 3)] == [1, 1, 0]
    lost.restart()
    await lost.passes(2)
    assert len(lost.wallet.sent) == sent
    lost.close()


async def test_storage_wallet_guard_a_wallet_that_was_used_before_is_released_once(world: PayoutWorld) -> None:
    world.wallet.mine(1, reward=50_000)
    world.wallet.mine(world.terms.maturity + 1)
    (coin,) = await world.wallet.coins()
    world.wallet.steal(coin.outpoint)  # that is, its owner spent it
    world.wallet.mine(1)
    world.owe(AMOUNTS)
    await world.passes(3)
    assert [hold.cause for hold in world.holds()] == ["history"]
    assert world.batches() == []
    world.books.release("history", "it was a wallet of mine", world.now_ms)
    await world.settle()
    world.check_exact(AMOUNTS, AMOUNTS)
    world.restart()
    await world.passes(2)
    assert world.holds() == []


async def test_storage_wallet_guard_does_not_ask_for_what_it_knows(world: PayoutWorld) -> None:
    """Books with a signed payment have a history, whatever their holds say."""
    world.owe(AMOUNTS)
    await world.settle()
    with world.database.write() as connection:
        connection.execute(delete(chain_holds).where(chain_holds.c.chain == CHAIN))
    assert world.books.has_history()

    async def unasked() -> bool:
        raise AssertionError

    world.wallet.has_sent = unasked  # type: ignore[method-assign]
    world.restart()
    await world.passes(2)
    assert world.holds() == []
