"""The maker's end of the line to other machines: its jobs go out sealed and numbered, found blocks come in.

One process of a pool publishes at a time; another one that is told to waits until the first is silent. What a machine
needs that knows nothing (a whole piece) is said again at every new tip of the parent, every so many jobs, and whenever
something may have got lost: so a machine that missed anything reads on from there.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import NoReturn

import msgspec

from chains.kind import ParentTemplate
from pool.blocks.stream_entry import TransportAwayError
from pool.jobs.job import Job
from pool.services.block_messages import BlockAnswered
from pool.services.block_relay import RelayedBlocks, Spawn
from pool.services.block_submission import BlockSubmission
from pool.services.feed_seal import FEED_VERSION, LARGE_BYTES, FeedPiece, Seal, Told
from pool.services.front_end_messages import Announcement, frame_of
from pool.services.job_feed import JobFeed
from pool.services.machine_line import RETRY_S, WAIT_MS, MakerLine
from pool.services.maker_messages import block_found, maker_frame

log = logging.getLogger("parapool.machines")

CLAIM_MS = 15_000
CLAIM_AGAIN_S = 3.0
WHOLE_AFTER = 32
"""Jobs, on one tip: a machine that begins reads no more than these and one whole piece."""

WHOLE_DELAY_S = 1.0
"""After the job that it is due for: megabytes for newcomers, while everybody else waits for the new tip."""

UNHEARD_S = 15.0
"""Twice as long as the other loop may need to notice that Redis is away."""


class JobPublisher:
    """`epoch` is 0 while another process publishes."""

    def __init__(
        self,
        line: MakerLine,
        pool: str,
        key: bytes,
        owner: str,
        blocks: BlockSubmission,
        spawn: Spawn,
        wall_ms: Callable[[], int],
    ) -> None:
        self._line = line
        self._seal = Seal(key, pool, FeedPiece)
        self._told_seal = Seal(key, pool, Told)
        self._wall_ms = wall_ms
        self._feed = JobFeed()
        self._relayed = RelayedBlocks(blocks, self._answer, spawn)
        self._owner = owner
        self._waiting: deque[bytes] = deque()
        self._answers: dict[str, BlockAnswered] = {}
        self._notices: dict[str, list[bytes]] = {}  # where each ticket stands that has no answer
        self._previous_hash = b""
        self._since_whole = 0
        self._whole_at: float | None = None
        self._anew = True  # a whole piece comes first, in the place of all that waits
        self._whole_id: bytes | None = None
        self._claim_at = 0.0
        self._sequence = 0
        self._wake = asyncio.Event()
        self._fault = ""
        self._bad = ""
        self._unheard_at: float | None = None  # no found block can be read since
        self._stands_by = False
        self.epoch = 0

    # -- what goes out -----------------------------------------------------------------------------------------------

    def job(self, job: Job, parent: ParentTemplate, uncapped: frozenset[str]) -> None:
        """A new job for everybody. `parent` is the template as its node gave it."""
        frames = self._feed.publish(job, parent, uncapped)
        self._since_whole += 1
        if parent.previous_hash != self._previous_hash or self._since_whole > WHOLE_AFTER:
            self._previous_hash = parent.previous_hash
            self._whole_at = self._whole_at or time.monotonic() + WHOLE_DELAY_S
        self._say(frames)

    def announce(self, text: str, realms: set[str]) -> None:
        self._say(frame_of(Announcement(text, sorted(realms))))

    def _say(self, frames: bytes) -> None:
        if self.epoch and not self._anew:
            self._waiting.append(frames)
        self._wake.set()

    def _answer(self, answer: BlockAnswered) -> None:
        self._answers[answer.ticket] = answer
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled. Nothing that goes wrong ends it: it is logged once and tried again."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._publish())
            group.create_task(self._listen())

    async def leave(self) -> None:
        """The next maker may begin at once."""
        if self.epoch:
            self.epoch = 0
            await self._line.claim_maker(self._owner, 1)

    async def _publish(self) -> NoReturn:
        while True:
            self._wake.clear()
            try:
                await self._turn()
            except Exception as error:
                self._report(error)
                self._anew = True
                await asyncio.sleep(RETRY_S)
                continue
            if self._fault:
                self._fault = ""
                log.info("jobs are published again")
            await _either(self._wake, self._next_at - time.monotonic())

    @property
    def _next_at(self) -> float:
        """When there is something to do that nobody wakes us for. Who stands by, or has no job yet, owes no piece."""
        if self._whole_at is None or self._anew or not self.epoch:
            return self._claim_at
        return min(self._claim_at, self._whole_at)

    def _report(self, error: Exception) -> None:
        """Once per outage."""
        if not self._fault:
            away = isinstance(error, TransportAwayError)
            log.error("jobs are not published: %s", error, exc_info=None if away else error)
        self._fault = str(error) or repr(error)

    async def _turn(self) -> None:
        if time.monotonic() >= self._claim_at and not await self._claim():
            return
        if not self.epoch:
            return
        if self._anew:
            if self._feed.is_empty:
                return  # nobody could place what is said before the first job
            self._anew = False
            self._waiting.clear()
            self._sequence += 1  # something may be missing: nobody shall take the whole piece for known
            await self._write_whole()
        while self._waiting:
            await self._write(self._waiting.popleft(), whole=False)
        for answer in list(self._answers.values()):
            await self._write(maker_frame(answer), whole=False)
            self._answers.pop(answer.ticket)
            await self._line.forget_found(answer.ticket, self._notices.pop(answer.ticket, []))
        if self._whole_at is not None and time.monotonic() >= self._whole_at:
            await self._write_whole()

    async def _write_whole(self) -> None:
        """All that is known. Jobs that still wait are in it, and known to whoever hears of them again."""
        self._whole_at, self._since_whole = None, 0
        self._whole_id = await self._write(b"".join(self._feed.present()), whole=True)

    async def _claim(self) -> bool:
        """Whether we publish; and that nobody has put anything in the place of our whole piece."""
        holder = await self._line.claim_maker(self._owner, CLAIM_MS)
        self._claim_at = time.monotonic() + CLAIM_AGAIN_S
        if holder != self._owner:
            if self.epoch or not self._stands_by:
                log.warning("another process publishes the jobs, this one stands by")
            self.epoch, self._stands_by, self._anew = 0, True, True
            return False
        if not self.epoch:
            self.epoch, self._sequence, self._anew = await self._next_epoch(), 0, True
            self._stands_by = False
            log.info("this process publishes the jobs epoch=%d", self.epoch)
        elif self._whole_id is not None and await self._line.whole() != self._whole_id:
            self._anew = True
        return True

    async def _next_epoch(self) -> int:
        """Greater than any before, also when our clock is behind that of the maker before us."""
        place = await self._line.whole()
        former = 0
        for _, sealed in (await self._line.pieces_from(place))[:1] if place is not None else ():
            try:
                former = self._seal.open(sealed).epoch
            except ValueError as error:
                self._tell_bad(error)
        return max(self._wall_ms(), former + 1)

    async def _write(self, frames: bytes, *, whole: bool) -> bytes:
        self._sequence += 1
        piece = FeedPiece(FEED_VERSION, self.epoch, self._sequence, whole, self._wall_ms(), frames)
        if len(frames) > LARGE_BYTES:
            sealed = await asyncio.to_thread(self._seal.close, piece)
        else:
            sealed = self._seal.close(piece)
        return await self._line.publish(sealed, whole=whole)

    # -- what comes in -----------------------------------------------------------------------------------------------

    async def _listen(self) -> NoReturn:
        """What was there when we began may have been submitted by the maker before us, who died before he said so."""
        place, is_left = b"0", True
        while True:
            if not self.epoch:
                place, is_left = b"0", True
                await asyncio.sleep(RETRY_S)
                continue
            try:
                entries = await self._line.found_after(place, 1 if is_left else WAIT_MS)
                for entry_id, content in entries:
                    place = entry_id
                    await self._take(entry_id, content, is_left=is_left)
                is_left = is_left and bool(entries)
            except TransportAwayError as error:
                place, is_left = b"0", True
                self._report_unheard(error)
                await asyncio.sleep(RETRY_S)
                continue
            except Exception as error:  # of one entry, or of Redis; what lies behind it may be a good block
                self._tell_bad(error)
                await asyncio.sleep(RETRY_S)
                continue
            self._unheard_at = None

    def _report_unheard(self, error: TransportAwayError) -> None:
        """Of an outage the other loop tells. Redis may also refuse this loop alone, by its list of rights."""
        now = time.monotonic()
        self._unheard_at = self._unheard_at or now
        if now - self._unheard_at >= UNHEARD_S and not self._fault:
            self._unheard_at = float("inf")  # told
            log.error("found blocks of other machines cannot be read: %s", error)

    async def _take(self, entry_id: bytes, name: bytes, *, is_left: bool) -> None:
        ticket = name.decode("ascii", "replace")
        sealed = await self._line.found(ticket)
        if sealed is None:  # answered long ago
            await self._line.forget_found(ticket, [entry_id])
            return
        try:
            found = block_found(self._told_seal.open(sealed).content)
            if found.ticket != ticket:
                raise ValueError("its ticket is another one's")
        except ValueError as error:
            self._tell_bad(error)
            await self._line.forget_found(ticket, [entry_id])
            return
        self._notices.setdefault(ticket, []).append(entry_id)
        self._relayed.take(msgspec.structs.replace(found, again=found.again or is_left))

    def _tell_bad(self, error: Exception) -> None:
        """Once for each reason."""
        if str(error) != self._bad:
            self._bad = str(error)
            trace = None if isinstance(error, ValueError) else error
            log.error("alarm: somebody else writes to the maker of jobs, it is not heeded: %s", error, exc_info=trace)


async def _either(wake: asyncio.Event, wait_s: float) -> None:
    """What came, or the time; the loop has its turn in any case."""
    if wait_s <= 0.0:
        await asyncio.sleep(0)
        return
    try:
        async with asyncio.timeout(wait_s):
            await wake.wait()
    except TimeoutError:
        return
