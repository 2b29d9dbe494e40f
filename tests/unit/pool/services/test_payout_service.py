"""The payer as a service: it stands by, waits out outages, lets go of what it lost, and never ends by itself."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.fake_wallet import FakeWallet
from support.payout_world import make_terms

from chains.node_rpc import NodeUnavailableError
from pool.payouts.batch import Batch, BatchKind, BatchState, FeePolicy
from pool.payouts.standing import FencedError, Hold, OtherPayerError
from pool.services import payout_service
from pool.services.payout_service import PayoutService


class Books:
    """Books with nothing to do; `error` is what the first question of a pass meets."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.lock = True
        self.closed = 0
        self.found: list[Batch] = []
        self.held: list[Hold] = []

    def holds_lock(self) -> bool:
        return self.lock

    def unknown_records(self) -> list[str]:
        if self.error is not None:
            raise self.error
        return []

    def batches(self) -> list[Batch]:
        return self.found

    def holds(self) -> list[Hold]:
        return self.held

    def close(self) -> None:
        self.closed += 1

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"nothing asks for {name} while the node is away")


class Desk:
    """Gives the right to pay, or does not."""

    def __init__(self) -> None:
        self.given: list[Books] = []
        self.taken = False
        self.slow = threading.Event()
        self.slow.set()

    def open(self) -> Any:
        if self.taken:
            raise OtherPayerError("another process pays on alpha")
        self.given.append(Books())
        assert self.slow.wait(30)
        return self.given[-1]


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def wallet() -> FakeWallet:
    """A wallet whose node is away."""

    def away(_name: str) -> None:
        raise NodeUnavailableError("no connection")

    return FakeWallet(point=away)


@pytest.fixture
def service(desk: Desk, wallet: FakeWallet) -> Iterator[PayoutService]:
    with ThreadPoolExecutor(1) as executor:
        yield PayoutService(
            wallet, desk.open, make_terms(), executor, now_ms=lambda: 90_000, new_id=lambda: "id", interval_s=0.01
        )


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [f"{record.levelname} {record.getMessage()}" for record in caplog.records]


async def test_payout_service_stands_by_while_another_pays(
    service: PayoutService, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    desk.taken = True
    assert not await service.step()
    assert not await service.step()
    assert told(caplog) == ["INFO payer stands by chain=alpha: another process pays on alpha"]
    desk.taken = False
    assert not await service.step()  # its turn, but the node is away
    assert len(desk.given) == 1
    assert service.fault == "no connection"


async def test_payout_service_tells_an_outage_once_and_its_end(
    service: PayoutService, wallet: FakeWallet, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(3):
        assert not await service.step()
    assert told(caplog) == ["WARNING payouts wait chain=alpha: no connection"]


async def test_payout_service_lets_go_when_it_was_fenced(service: PayoutService, desk: Desk) -> None:
    await service.step()
    desk.given[0].error = FencedError("another payer took alpha")
    await service.step()
    assert desk.given[0].closed == 1
    await service.step()
    assert len(desk.given) == 2


async def test_payout_service_asks_again_for_a_lock_that_broke(service: PayoutService, desk: Desk) -> None:
    await service.step()
    desk.given[0].lock = False
    await service.step()
    assert [books.closed for books in desk.given] == [1, 0]


async def test_payout_service_a_fault_is_told_with_its_trace_and_ends_nothing(
    service: PayoutService, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    await service.step()
    desk.given[0].error = ValueError("a fault")
    for _ in range(2):
        assert not await service.step()
    faults = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [record.getMessage() for record in faults] == ["payouts cannot go on, trying again chain=alpha: a fault"]
    assert faults[0].exc_info is not None


async def test_payout_service_tells_metrics_what_is_on_its_way(service: PayoutService, desk: Desk) -> None:
    assert (service.batches_by_state, service.oldest_open_s, service.wallet_difference) == ({}, 0.0, None)
    await service.step()
    states = (BatchState.BROADCAST, BatchState.SETTLED, BatchState.BROADCAST)
    desk.given[0].found = [
        Batch(f"b{n}", "alpha", BatchKind.PAYOUT, state, FeePolicy.POOL, (), n * 10_000, 0)
        for n, state in enumerate(states, 1)
    ]
    desk.given[0].held = [Hold("alpha", "operator", "why", 0)]
    await service.step()
    assert service.batches_by_state == {"broadcast": 2, "settled": 1}
    assert service.oldest_open_s == 80.0
    assert service.on_hold


async def test_payout_service_stopped_while_it_takes_the_right_to_pay_gives_it_back(
    service: PayoutService, desk: Desk
) -> None:
    desk.slow.clear()
    task = asyncio.get_running_loop().create_task(service.run())
    async with asyncio.timeout(30):
        while not desk.given:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.sleep(0.05)
        desk.slow.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert desk.given[0].closed == 1


async def test_payout_service_keeps_the_right_that_a_pass_took_too_long_to_take(
    service: PayoutService, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payout_service, "PASS_TIMEOUT_S", 0.05)
    desk.slow.clear()
    assert not await service.step()
    desk.slow.set()
    monkeypatch.setattr(payout_service, "PASS_TIMEOUT_S", 30.0)
    await service.step()
    assert len(desk.given) == 1 and service.fault == "no connection"


async def test_payout_service_closes_its_books_when_it_is_stopped(service: PayoutService, desk: Desk) -> None:
    task = asyncio.get_running_loop().create_task(service.run())
    async with asyncio.timeout(30):
        while not desk.given:
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert desk.given[0].closed == 1


async def test_payout_service_a_full_disk_is_told_in_a_sentence(
    desk: Desk, wallet: FakeWallet, caplog: pytest.LogCaptureFixture
) -> None:
    with ThreadPoolExecutor(1) as executor:
        service = PayoutService(wallet, desk.open, make_terms(), executor, now_ms=lambda: 0, new_id=lambda: "id")
        assert not await service.step()
        desk.given[-1].error = OSError(28, "No space left on device")
        assert not await service.step()
        await service.close()
    (told,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert told.getMessage().endswith("chain=alpha: [Errno 28] No space left on device")
    assert told.exc_info is None
