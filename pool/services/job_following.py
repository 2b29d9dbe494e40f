"""A machine's end of the line to the maker of jobs: what the maker says, in order, without gaps; found blocks go out.

It begins with the newest whole piece and reads on. A gap in the numbers, or another whole piece than the one it knows,
sends it back there. What is not sealed with the pool's key, is too long or makes no sense is not heeded, and told once
for each reason. A maker is known by its epoch: a later one's is greater, and an earlier one is not heard any more.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import NoReturn

import msgspec

from pool.blocks.stream_entry import TransportAwayError
from pool.services.block_messages import BlockAnswered, BlockFound
from pool.services.block_nodes import GIVE_UP_S
from pool.services.feed_seal import FEED_VERSION, LARGE_BYTES, FeedPiece, Seal, Told
from pool.services.front_end_messages import JobNews
from pool.services.machine_line import RETRY_S, WAIT_MS, MachineLine
from pool.services.maker_messages import FromMaker, found_content, from_maker

log = logging.getLogger("parapool.machines")

CLAIM_MS = 3_600_000
"""A number stays a silent machine's for longer than that one serves anybody (transport.jobs_age_s)."""

CLAIM_AGAIN_S = 10.0
AGAIN_S = 5.0
LOOK_S = 0.5


class _Untold:
    """A found block on its way. `told_at` is None until it was told once."""

    def __init__(self, found: BlockFound) -> None:
        self.found = found
        self.since = time.monotonic()
        self.told_at: float | None = None


class JobFollower:
    """`hear` gets the messages, on the loop; KeyError from it tells that something is missing. `age_s` is how long ago
    the newest job was made, None before the first; `gaps` counts what was missed, `refused` what was not heeded.
    `on_lost` hears that another process has our number."""

    def __init__(
        self,
        line: MachineLine,
        pool: str,
        key: bytes,
        machine: int,
        owner: str,
        hear: Callable[[FromMaker], None],
        on_lost: Callable[[str], None],
        wall_ms: Callable[[], int],
    ) -> None:
        self._line = line
        self._seal = Seal(key, pool, FeedPiece)
        self._told_seal = Seal(key, pool, Told)
        self._machine = machine
        self._owner = owner
        self._hear = hear
        self._on_lost = on_lost
        self._wall_ms = wall_ms
        self._place: bytes | None = None
        self._whole = b""  # the whole piece that was passed last
        self._epoch = 0
        self._former = 0  # the earlier one that was told of
        self._sequence = -1
        self._made_at: float | None = None  # monotonic
        self._fault = ""
        self._bad = ""
        self._untellable = ""
        self._odd_whole = b""
        self._is_missing = False
        self._untold: dict[str, _Untold] = {}
        self._wake = asyncio.Event()
        self._claim_at = 0.0
        self.gaps = 0
        self.refused = 0

    @property
    def age_s(self) -> float | None:
        return None if self._made_at is None else max(0.0, time.monotonic() - self._made_at)

    def tell(self, found: BlockFound) -> None:
        """Until it is answered."""
        if found.ticket not in self._untold:
            self._untold[found.ticket] = _Untold(found)
            self._wake.set()

    async def run(self) -> None:
        """Until cancelled. Nothing that goes wrong ends it: it is logged once and tried again."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._tend())

    # -- what the maker says -----------------------------------------------------------------------------------------

    async def _follow(self) -> NoReturn:
        while True:
            try:
                heard = await self._read()
            except Exception as error:
                if not self._fault:
                    self._fault = str(error) or repr(error)
                    trace = None if isinstance(error, TransportAwayError) else error
                    log.error("no jobs come from the maker, miners stay on the last one: %s", error, exc_info=trace)
                await asyncio.sleep(RETRY_S)
                continue
            if self._fault:
                self._fault = ""
                log.info("the line to the maker of jobs is there again")
            if not heard:
                await asyncio.sleep(RETRY_S)

    async def _read(self) -> bool:
        """What is there, or comes within a second. False when it has to begin anew, or there is no maker yet."""
        if self._place is None:
            place = await self._line.whole()
            if place is None:
                return False
            entries = await self._line.pieces_from(place)
            self._sequence = -1
        else:
            entries = await self._line.pieces_after(self._place, WAIT_MS)
            if not entries:
                return await self._is_whole()
        for entry_id, sealed in entries:
            piece = await self._opened(sealed)
            if piece is not None and not self._take(entry_id, piece):
                self._place = None
                return False
            self._place = entry_id
        return bool(entries)

    async def _is_whole(self) -> bool:
        """Nothing came. Unless the maker begins somewhere else than we know, twice in a row, all is well."""
        place = await self._line.whole()
        if place is None or place == self._whole:
            self._odd_whole = b""
            return True
        if place != self._odd_whole:
            self._odd_whole = place
            return True
        self._odd_whole, self._whole, self._place = b"", place, None
        return False

    async def _opened(self, sealed: bytes) -> FeedPiece | None:
        try:
            if len(sealed) > LARGE_BYTES:
                return await asyncio.to_thread(self._seal.open, sealed)
            return self._seal.open(sealed)
        except ValueError as error:
            self._refuse(error)
            return None

    def _refuse(self, error: Exception) -> None:
        self.refused += 1
        if str(error) != self._bad:
            self._bad = str(error)
            trace = None if isinstance(error, ValueError) else error
            log.error("alarm: what is said to be the maker's is not heeded: %s", error, exc_info=trace)

    def _take(self, entry_id: bytes, piece: FeedPiece) -> bool:
        """Whether to read on behind it."""
        if piece.epoch < self._epoch:
            if piece.epoch != self._former:
                self._former = piece.epoch
                log.warning("an earlier maker of jobs is not heard epoch=%d newer=%d", piece.epoch, self._epoch)
            return True
        is_next = piece.epoch == self._epoch and piece.sequence == self._sequence + 1
        if piece.whole:
            self._whole = entry_id
            if is_next:  # all of it is known
                self._sequence = piece.sequence
                return True
        elif not is_next:
            if piece.epoch == self._epoch and piece.sequence <= self._sequence:
                return True
            return self._missed(piece)
        if piece.epoch != self._epoch and self._epoch:
            log.info("another process makes the jobs now epoch=%d", piece.epoch)
        self._epoch, self._sequence = piece.epoch, piece.sequence
        try:
            messages = from_maker(piece.frames)
        except ValueError as error:
            self._refuse(error)
            return True
        try:
            for message in messages:
                self._pass_on(message, piece.made_ms)
        except KeyError:
            return self._missed(piece)
        except Exception as error:  # a maker of another release
            self._refuse(error)
            return True
        self._is_missing = False
        return True

    def _missed(self, piece: FeedPiece) -> bool:
        self.gaps += 1
        if not self._is_missing:
            self._is_missing = True
            log.warning("something of the maker's is missing, beginning anew sequence=%d", piece.sequence)
        return False

    def _pass_on(self, message: FromMaker, made_ms: int) -> None:
        if isinstance(message, JobNews):
            self._made_at = time.monotonic() - max(0, self._wall_ms() - made_ms) / 1000
        elif isinstance(message, BlockAnswered):
            self._untold.pop(message.ticket, None)
        self._hear(message)

    # -- what is said to the maker -----------------------------------------------------------------------------------

    async def _tend(self) -> NoReturn:
        """Our number stays ours, and found blocks get to the maker."""
        while True:
            self._wake.clear()
            try:
                await self._claim()
                for ticket, untold in list(self._untold.items()):
                    try:
                        await self._tell(untold)
                    except Exception:
                        if ticket in self._untold:  # one that never gets through lets the others go first
                            self._untold[ticket] = self._untold.pop(ticket)
                        raise
            except Exception as error:
                self._report(error)
                await asyncio.sleep(RETRY_S)
                continue
            self._untellable = ""
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _report(self, error: Exception) -> None:
        """That no word comes is told by the other loop; here, that a block waits, and what is no outage."""
        is_away = isinstance(error, TransportAwayError)
        if (self._untold or not is_away) and str(error) != self._untellable:
            self._untellable = str(error)
            log.error("a found block does not get to the maker: %s", error, exc_info=None if is_away else error)

    async def _claim(self) -> None:
        if time.monotonic() < self._claim_at:
            return
        holder = await self._line.claim_machine(self._machine, self._owner, self._owner, CLAIM_MS)
        self._claim_at = time.monotonic() + CLAIM_AGAIN_S
        if holder != self._owner:
            self._on_lost(f"another process is machine {self._machine} of this pool (transport.machine)")

    async def _tell(self, untold: _Untold) -> None:
        now, found = time.monotonic(), untold.found
        if now - untold.since > GIVE_UP_S:
            self._untold.pop(found.ticket, None)
            return
        if untold.told_at is not None:
            if now - untold.told_at < AGAIN_S:
                return
            if await self._line.is_told(found.ticket):
                untold.told_at = now
                return
            found = msgspec.structs.replace(found, again=True)  # whoever had it: his answer did not get here
        content = Told(FEED_VERSION, found_content(found))
        # Here, which takes some milliseconds of 8 MB: threads may all wait for a disk that hangs.
        await self._line.tell(found.ticket, self._told_seal.close(content))
        untold.told_at = now
