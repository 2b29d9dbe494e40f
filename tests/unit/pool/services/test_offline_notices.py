"""Miners are told once of silent workers and once of their return, in virtual time; and of nothing that is the pool's
fault.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

import pytest

from pool.accounting.books_away import BooksAwayError
from pool.miners.notice_target import Watched, parse_target
from pool.miners.worker_outages import MINUTE_MS, MOST_EACH, NewShares, SeenPool, SeenWorker
from pool.services import offline_notices
from pool.services.offline_notices import MOST_A_PASS, OfflineNotices, Reading

START_MS = 1_795_000_000_000 // MINUTE_MS * MINUTE_MS
ADA, BOB = "bcrt1qwxup4klqyjprc95xf3fj3jqjs94tcxtkku9up6", "bcrt1qbob"
SECRET = "secret-topic-7"
TARGET = parse_target(f"ntfy://ntfy.sh/{SECRET}")
SHORT = "bcrt1qwx…ku9up6"


@dataclass
class World:
    """A pool's clock, books and miners. Every minute all who work send a share."""

    now_min: int = 0
    working: set[tuple[str, str]] = field(default_factory=lambda: {(BOB, "b")})
    watched: list[Watched] = field(default_factory=lambda: [Watched(ADA, TARGET, 10)])
    rows: list[tuple[SeenWorker, SeenPool]] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    urls: set[str] = field(default_factory=set)
    arrives: bool = True
    error: Exception | None = None
    lag_min: int = 0
    leads: bool = True
    per_hour: int = 4
    piece: int = 10**9

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Another process with the same books."""
        self.service = OfflineNotices(
            self.begin, self.send, lambda: self.leads, lambda: self.now_ms, pool="main", per_hour=self.per_hour
        )

    @property
    def now_ms(self) -> int:
        return START_MS + self.now_min * MINUTE_MS

    def begin(self) -> Reading:
        read = 0

        async def reading(now_ms: int) -> NewShares:
            nonlocal read
            if self.error is not None:
                raise self.error
            stored_to_ms = now_ms - self.lag_min * MINUTE_MS
            rows = [row for row in self.rows if row[1].last_ms < stored_to_ms][read:]
            taken = rows[: self.piece]
            read += len(taken)
            workers, pool = [worker for worker, _ in taken], [minute for _, minute in taken]
            return NewShares(list(self.watched), workers, pool, stored_to_ms, len(taken) == len(rows))

        return reading

    def send(self, url: str, title: str, text: str) -> bool:
        assert title == "parapool main"
        self.urls.add(url)
        if self.error is not None:
            raise self.error
        self.sent.append(text)
        return self.arrives

    async def minutes(self, count: int, *, passes: bool = True) -> list[str]:
        """Lets time pass; what was sent meanwhile."""
        before = len(self.sent)
        for _ in range(count):
            time_ms = self.now_ms + 1000
            for address, worker in sorted(self.working):
                self.rows.append((SeenWorker(address, worker, time_ms, time_ms), SeenPool(time_ms, time_ms)))
            self.now_min += 1
            if passes:
                await self.service.once()
        return self.sent[before:]

    def work(self, *workers: str, address: str = ADA) -> None:
        self.working |= {(address, worker) for worker in workers}

    def fall_silent(self, *workers: str, address: str = ADA) -> None:
        self.working -= {(address, worker) for worker in workers}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(offline_notices, "PIECE_S", 0.0)
    return World()


async def test_offline_notice_is_sent_once_and_once_when_back(world: World) -> None:
    world.work("rig1", "rig2")
    assert await world.minutes(30) == []
    world.fall_silent("rig1")
    assert await world.minutes(9) == []
    assert await world.minutes(60) == [f"Workers of {SHORT}\nsilent for 10 min: rig1"]
    world.work("rig1")
    assert await world.minutes(30) == [f"Workers of {SHORT}\nback after 70 min: rig1"]
    assert world.urls == {TARGET.url}


async def test_offline_notice_tells_workers_together(world: World) -> None:
    names = [f"rig{number}" for number in range(12)]
    world.work(*names)
    await world.minutes(15)
    world.fall_silent(*names)
    [text] = await world.minutes(15)
    assert text == f"Workers of {SHORT}\nsilent for 10 min: {', '.join(sorted(names)[:8])} and 4 more"


async def test_offline_notice_is_for_workers_that_had_worked(world: World) -> None:
    world.work("passing")
    await world.minutes(9)
    world.fall_silent("passing")
    assert await world.minutes(40) == []


async def test_offline_notice_is_not_for_others_and_ends_with_the_wish(world: World) -> None:
    world.work("rig", "rig2")
    await world.minutes(15)
    world.fall_silent("rig")
    world.fall_silent("b", address=BOB)
    assert len(await world.minutes(20)) == 1
    world.watched = []
    world.fall_silent("rig2")
    world.work("b", address=BOB)
    assert await world.minutes(30) == []


@pytest.mark.parametrize("down_min", [5, 9, 10, 30, 200])
async def test_offline_notice_never_tells_of_the_pool_being_down(world: World, down_min: int) -> None:
    world.work("rig1", "rig2", "rig3")
    await world.minutes(30)
    everybody, world.working = world.working, {(BOB, "b")}
    assert await world.minutes(0) == []
    world.working = set()
    assert await world.minutes(down_min) == []
    world.working = {(BOB, "b")}  # he is back at once, the others take their time
    assert await world.minutes(9) == []
    world.working = everybody - {(ADA, "rig3")}
    assert await world.minutes(30) == [f"Workers of {SHORT}\nsilent for 10 min: rig3"]


async def test_offline_notice_never_tells_of_books_that_lag(world: World) -> None:
    world.work("rig")
    await world.minutes(30)
    world.lag_min = 30
    assert await world.minutes(40) == []
    world.lag_min = 0
    assert await world.minutes(20) == []


async def test_offline_notice_of_a_pool_of_one_worker_is_not_sent(world: World) -> None:
    world.working = {(ADA, "rig")}
    await world.minutes(30)
    world.working = set()
    assert await world.minutes(60) == []


async def test_offline_notices_go_on_after_a_restart(world: World) -> None:
    world.work("rig1", "rig2")
    await world.minutes(30)
    world.fall_silent("rig1")
    assert len(await world.minutes(15)) == 1
    world.restart()
    assert await world.minutes(15) == [], "it was told"
    world.work("rig1")
    assert await world.minutes(15) == [f"Workers of {SHORT}\nback after 31 min: rig1"]
    world.fall_silent("rig2")
    await world.minutes(5)
    world.restart()
    assert await world.minutes(15) == [f"Workers of {SHORT}\nsilent for 10 min: rig2"]


async def test_offline_notice_that_was_due_while_the_pool_was_stopped_follows(world: World) -> None:
    world.work("rig")
    await world.minutes(30)
    world.fall_silent("rig")
    await world.minutes(8)
    everybody, world.working = world.working, set()
    await world.minutes(3, passes=False)
    world.working = everybody
    world.restart()
    assert await world.minutes(15) == [f"Workers of {SHORT}\nsilent for 10 min: rig"]


async def test_offline_notices_are_for_the_process_that_follows_blocks(world: World) -> None:
    world.leads = False
    world.work("rig")
    await world.minutes(30)
    world.fall_silent("rig")
    assert await world.minutes(12) == []
    world.leads = True
    assert await world.minutes(5) == [], "the other process told it"
    world.work("rig")
    assert len(await world.minutes(5)) == 1


async def test_offline_notices_read_in_pieces(world: World) -> None:
    world.work("rig")
    await world.minutes(30, passes=False)
    world.piece = 7
    world.fall_silent("rig")
    assert len(await world.minutes(15)) == 1


async def test_offline_notices_have_a_rate(world: World) -> None:
    """What is over is left out; who was told of an outage is told of its end, a little later if need be."""
    world.watched = [Watched(ADA, TARGET, 3)]
    world.per_hour = 2
    world.restart()
    for _ in range(6):
        world.work("rig")
        await world.minutes(4)
        world.fall_silent("rig")
        await world.minutes(5)
    told = [text.splitlines()[1].split()[0] for text in world.sent]
    assert told == ["silent", "back", "silent", "back"]
    world.work("rig")
    assert await world.minutes(10) == []
    await world.minutes(60)
    world.fall_silent("rig")
    assert len(await world.minutes(10)) == 1


async def test_offline_notices_of_one_place_share_its_rate(world: World) -> None:
    addresses = [f"address{number}" for number in range(6)]
    world.watched = [Watched(address, TARGET, 10) for address in addresses]
    for address in addresses:
        world.work("rig", address=address)
    await world.minutes(15)
    for address in addresses:
        world.fall_silent("rig", address=address)
    assert len(await world.minutes(30)) == 4


async def test_offline_notices_of_a_pass_are_limited(world: World) -> None:
    targets = [parse_target(f"ntfy://ntfy.sh/topic{number}") for number in range(MOST_A_PASS + 5)]
    world.watched = [Watched(f"address{number}", target, 10) for number, target in enumerate(targets)]
    for wish in world.watched:
        world.work("rig", address=wish.address)
    await world.minutes(15)
    for wish in world.watched:
        world.fall_silent("rig", address=wish.address)
    await world.minutes(9)
    assert [len(await world.minutes(1)) for _ in range(4)] == [MOST_A_PASS, 5, 0, 0]


async def test_offline_notices_watch_so_many_workers_of_an_address(world: World) -> None:
    world.work(*(f"rig{number:05}" for number in range(MOST_EACH + 50)))
    await world.minutes(12)
    outages = world.service._watch.outages  # type: ignore[union-attr]
    assert len(outages._workers[ADA]) == MOST_EACH


async def test_offline_notice_shows_harmless_names(world: World) -> None:
    world.work("@everyone", "https://evil.example/<b>", "a\nb\u202e", "x" * 100, "")
    await world.minutes(15)
    world.working = {(BOB, "b")}
    [text] = await world.minutes(15)
    assert text.splitlines()[1:] == [
        "silent for 10 min: (no name), a·b·, https···evil·example··b·, " + "x" * 24 + ", ·everyone"
    ]


async def test_offline_notice_that_does_not_arrive_is_told_once_without_the_place(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    world.arrives = False
    world.work("rig1", "rig2")
    await world.minutes(15)
    for worker in ("rig1", "rig2"):
        world.fall_silent(worker)
        assert len(await world.minutes(15)) == 1, "it is not sent again"
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO] == [
        f"an offline notice did not arrive miner={ADA} service=ntfy"
    ]
    world.arrives = True
    world.work("rig1")
    await world.minutes(15)
    world.arrives = False
    world.fall_silent("rig1")
    await world.minutes(15)
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 2
    assert SECRET not in caplog.text


async def test_offline_notice_whose_sending_breaks_or_hangs_says_nothing_of_it(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(offline_notices, "SEND_S", 0.05)
    release = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hang(url: str, title: str, text: str) -> bool:
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result(30)
        return True

    def break_off(url: str, title: str, text: str) -> bool:
        raise RuntimeError(f"cannot reach {url}")

    for send in (hang, break_off):
        world.sent.clear()
        world.service._send = send
        world.service._failed.clear()
        caplog.clear()
        world.work("rig")
        await world.minutes(15)
        world.fall_silent("rig")
        await world.minutes(15)
        warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert warnings == [f"an offline notice did not arrive miner={ADA} service=ntfy"]
        assert SECRET not in caplog.text
    release.set()


async def test_offline_notices_outlive_errors_and_tell_each_once(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offline_notices, "PASS_S", 0.001)
    errors = iter([OSError(28, "disk full"), OSError(28, "disk full"), BooksAwayError("down")])
    seen = 0

    def leads() -> bool:
        nonlocal seen
        seen += 1
        error = next(errors, None)
        if error is not None:
            raise error
        return False

    world.service._leads = leads
    task = asyncio.create_task(world.service.run())
    async with asyncio.timeout(30):
        while seen < 6:
            await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [record.getMessage() for record in caplog.records] == [
        "offline notices are not sent, trying again: [Errno 28] disk full"
    ]
