"""Tells miners who asked for it, by a message of their key, that workers of theirs are silent, and when they are back.

Every minute the new shares are looked at; what is said and what is not: pool/miners/worker_outages.py. A notice is sent
once, whether it arrives or not, and mining and books wait for none of it. The place is a secret: no line of the log has
it, nor what the sending library says of it. What names in a notice look like is a stranger's choice, as anybody may log
in under any address; so they are cut short, and only letters, digits, - and _ are left of them.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from pool.miners.notice_target import NoticeTarget
from pool.miners.worker_outages import MINUTE_MS, Changes, NewShares, SeenPool, SeenWorker, WorkerOutages
from pool.services.recurring import again_and_again

log = logging.getLogger("parapool.notices")

PASS_S = 60.0
PIECE_S = 0.2
"""Between two pieces others have the database."""

BEHIND_MS = 2 * MINUTE_MS
"""Books that are further behind say nothing about who is silent."""

HOUR_MS = 60 * MINUTE_MS
MOST_A_PASS = 40
"""Notices of one pass; what is over waits for the next one."""

SENDING = 4
SEND_S = 20.0
MOST_NAMES = 8
MOST_LETTERS = 24

_STRANGE = re.compile(r"[^A-Za-z0-9_-]", re.ASCII)

Send = Callable[[str, str, str], bool]
"""URL, title and text; False when it did not arrive. May block, in a thread."""

Reading = Callable[[int], Awaitable[NewShares]]
"""What is new in the books, given the time; the first one begins some hours before."""


class Notice(NamedTuple):
    """What is sent to one miner."""

    address: str
    target: NoticeTarget
    text: str


class _Watch:
    """What is known since this process follows the pool's blocks."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.outages = WorkerOutages()
        self.settled = False
        self.workers: list[SeenWorker] = []
        self.pool: list[SeenPool] = []


class OfflineNotices:
    """The service. `begin` makes a reading from the beginning; `leads` tells whether this process keeps the pool's
    books; `per_hour` is how many outages, and how many returns, are told at one place.
    """

    def __init__(
        self, begin: Callable[[], Reading], send: Send, leads: Callable[[], bool], now_ms: Callable[[], int],
        *, pool: str, per_hour: int,
    ) -> None:  # fmt: skip
        self._begin = begin
        self._send = send
        self._leads = leads
        self._now_ms = now_ms
        self._title = f"parapool {pool}"
        self._per_hour = per_hour
        self._watch: _Watch | None = None
        self._began_ms = now_ms()
        self._sent: dict[tuple[str, str], deque[int]] = {}
        self._failed: set[str] = set()
        self._threads = ThreadPoolExecutor(SENDING, thread_name_prefix="offline-notices")
        self._turns = asyncio.Semaphore(SENDING)  # a place that hangs takes no time of those behind it

    async def run(self) -> None:
        """Until cancelled."""
        try:
            await again_and_again(self.once, PASS_S, _tell)
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def once(self) -> None:
        """One pass. Raises what a database that is away causes."""
        if not self._leads():
            self._watch, self._began_ms = None, self._now_ms()
            return
        watch = self._watch = self._watch or _Watch(self._begin())
        read = await watch.reading(self._now_ms())
        self._collect(watch, read)
        while not read.whole:
            await asyncio.sleep(PIECE_S)
            read = await watch.reading(self._now_ms())
            self._collect(watch, read)
        after_min = {wish.address: wish.after_min for wish in read.watched}
        watch.outages.take(watch.workers, watch.pool, after_min)
        watch.workers, watch.pool = [], []
        if not watch.settled:
            watch.outages.settle(after_min, self._began_ms)
            watch.settled = True
        now_ms = self._now_ms()
        self._failed &= after_min.keys()
        if now_ms - read.stored_to_ms > BEHIND_MS:
            return
        targets = {wish.address: wish.target for wish in read.watched}
        changes = watch.outages.changes(after_min, read.stored_to_ms)
        notices = list(self._notices(watch.outages, changes, targets, after_min, now_ms))
        await asyncio.gather(*(self._tell(notice) for notice in notices))

    @staticmethod
    def _collect(watch: _Watch, read: NewShares) -> None:
        watch.workers += read.workers
        watch.pool += read.pool

    def _notices(
        self, outages: WorkerOutages, changes: Mapping[str, Changes], targets: Mapping[str, NoticeTarget],
        after_min: Mapping[str, int], now_ms: int,
    ) -> Iterable[Notice]:  # fmt: skip
        """What is sent now; the outages hear of it."""
        self._sent = {key: times for key, times in self._sent.items() if times and times[-1] > now_ms - HOUR_MS}
        count = 0
        for address, change in changes.items():
            if count >= MOST_A_PASS:
                return
            target, lines = targets[address], []
            if change.offline:
                if self._may_tell(target, "offline", now_ms):
                    outages.said_offline(address, change.offline)
                    lines.append(f"silent for {after_min[address]} min: {_names(change.offline)}")
                else:
                    outages.passed_over(address, change.offline)
            # Who was told of an outage is told of its end: it waits while the hour has had enough of them.
            if change.back and self._may_tell(target, "back", now_ms):
                outages.said_back(address, change.back)
                longest_min = max(change.back.values()) // MINUTE_MS
                lines.append(f"back after {longest_min} min: {_names(change.back)}")
            if lines:
                count += 1
                yield Notice(address, target, "\n".join([f"Workers of {_short(address)}", *lines]))

    def _may_tell(self, target: NoticeTarget, what: str, now_ms: int) -> bool:
        """Counts by place: several addresses may name one."""
        times = self._sent.setdefault((target.url, what), deque(maxlen=self._per_hour))
        if len(times) == self._per_hour and times[0] > now_ms - HOUR_MS:
            return False
        times.append(now_ms)
        return True

    async def _tell(self, notice: Notice) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with self._turns, asyncio.timeout(SEND_S):
                arrived = await loop.run_in_executor(
                    self._threads, self._send, notice.target.url, self._title, notice.text
                )
        except Exception:  # its words may hold the place: that it did not arrive is all that may be said
            arrived = False
        if arrived:
            self._failed.discard(notice.address)
        elif notice.address not in self._failed:
            self._failed.add(notice.address)
            log.warning("an offline notice did not arrive miner=%s service=%s", notice.address, notice.target.service)


def _names(workers: Iterable[str]) -> str:
    names = sorted(_STRANGE.sub("·", name)[:MOST_LETTERS] or "(no name)" for name in workers)
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _short(address: str) -> str:
    return address if len(address) <= 16 else f"{address[:8]}…{address[-6:]}"


def _tell(error: Exception) -> None:
    log.error("offline notices are not sent, trying again: %s", error, exc_info=error)
