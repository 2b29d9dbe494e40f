"""Buying shares: the reserve is watched, credits come at the turn of an interval, nothing that fails stays failed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from pool.accounting.books_away import BooksAwayError
from pool.accounting.reserve import ReserveGuard
from pool.services.share_buying import BuyingChain, ShareBuying


class FakeBooks:
    """What the books would answer; `credits` is what was credited, by period."""

    def __init__(self) -> None:
        self.money = 1000
        self.debts: dict[int, int] = {}
        self.credits: list[tuple[int, dict[int, int]]] = []
        self.folds = 0
        self.error: Exception | None = None

    def reserve(self, chain: str) -> int:
        if self.error is not None:
            raise self.error
        return self.money - sum(self.debts.values())

    def owed(self, chain: str) -> dict[int, int]:
        return dict(self.debts)

    def spendable(self, chain: str) -> int:
        return self.money

    def credit(self, chain: str, amounts: Mapping[int, int], period: int, now_ms: int) -> dict[int, int]:
        self.credits.append((period, dict(amounts)))
        self.money -= sum(amounts.values())
        for account_id, amount in amounts.items():
            self.debts[account_id] -= amount
        return dict(amounts)

    def fold(self, chain: str, now_ms: int) -> int:
        self.folds += 1
        return self.folds % 2


class World:
    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self.books = FakeBooks()
        self.guard = ReserveGuard(100, 200)
        self.told: list[tuple[str, str]] = []
        self.now_ms = 7_200_000
        self.buying = ShareBuying(
            self.books, {"alpha": BuyingChain(self.guard)}, executor,
            lambda chain, change: self.told.append((chain, change)), now_ms=lambda: self.now_ms, look_s=0.001,
        )  # fmt: skip


@pytest.fixture
def world() -> Iterator[World]:
    with ThreadPoolExecutor(1) as executor:
        yield World(executor)


async def test_share_buying_credits_once_in_each_interval(world: World) -> None:
    world.books.debts = {1: 30, 2: 0, 3: 12}
    await world.buying.step("alpha")
    assert world.books.credits == [(7200, {1: 30, 3: 12})]
    world.books.debts = {1: 5}
    await world.buying.step("alpha")
    assert len(world.books.credits) == 1
    world.now_ms += 3_599_999
    await world.buying.step("alpha")
    assert len(world.books.credits) == 1
    world.now_ms += 1
    await world.buying.step("alpha")
    assert world.books.credits[1:] == [(10_800, {1: 5})]
    assert world.books.folds == 4


async def test_share_buying_credits_what_a_chain_owes_that_buys_no_more() -> None:
    with ThreadPoolExecutor(1) as executor:
        books = FakeBooks()
        books.debts = {7: 3}
        told: list[str] = []
        chains = {"alpha": BuyingChain()}
        buying = ShareBuying(
            books, chains, executor, lambda chain, change: told.append(chain), now_ms=lambda: 3_600_000
        )
        buying.learn_reserves()
        await buying.step("alpha")
        assert books.credits == [(3600, {7: 3})]
        assert told == []


async def test_share_buying_divides_what_there_is_when_it_is_not_enough(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.books.debts, world.books.money = {1: 600, 2: 200}, 40
    await world.buying.step("alpha")
    assert world.books.credits == [(7200, {1: 30, 2: 10})]
    assert world.books.debts == {1: 570, 2: 190}
    assert "does not cover what shares have earned chain=alpha short=760" in caplog.text
    assert world.guard.suspended


async def test_share_buying_asks_for_many_accounts_in_parts(world: World) -> None:
    world.books.debts = dict.fromkeys(range(600), 1)
    await world.buying.step("alpha")
    assert [len(part) for _, part in world.books.credits] == [250, 250, 100]


async def test_share_buying_tells_a_low_reserve_and_its_return(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.buying.learn_reserves()
    assert world.told == [("alpha", "restored")]
    world.books.money = 99
    await world.buying.step("alpha")
    await world.buying.step("alpha")
    assert world.told[1:] == [("alpha", "low")]
    assert "reserve is low, new jobs count for PPLNS chain=alpha reserve=99 minimum=100" in caplog.text
    world.books.money = 150
    await world.buying.step("alpha")
    assert world.told[2:] == []
    world.books.money = 200
    await world.buying.step("alpha")
    assert world.told[2:] == [("alpha", "restored")]


async def test_share_buying_goes_on_after_an_outage_and_tells_other_trouble_once(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "parapool.pps")
    monkeypatch.setattr("pool.services.share_buying.RETRY_S", 0.001)
    task = asyncio.create_task(world.buying.run())

    async def until(condition) -> None:  # type: ignore[no-untyped-def]
        for _ in range(2000):
            if condition():
                return
            await asyncio.sleep(0.005)
        raise AssertionError("never came")

    await until(lambda: world.guard.reserve == 1000)
    world.books.error = BooksAwayError("gone")
    await until(lambda: world.buying.faults)
    assert "cannot be credited" not in caplog.text
    world.books.error = ValueError("nonsense")
    await until(lambda: world.buying.faults == {"alpha": "nonsense"})
    await asyncio.sleep(0.05)
    world.books.error, world.books.money = None, 500
    await until(lambda: not world.buying.faults and world.guard.reserve == 500)
    assert caplog.text.count("shares cannot be credited, trying again chain=alpha: nonsense") == 1
    assert caplog.text.count("shares are credited again chain=alpha") == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_share_buying_without_chains_has_nothing_to_do(world: World) -> None:
    with ThreadPoolExecutor(1) as executor:
        await ShareBuying(world.books, {}, executor, lambda chain, change: None, now_ms=lambda: 0).run()
