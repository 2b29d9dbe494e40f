"""The front ends that a process starts beside itself: `stratum.processes` of them, kept running, on one maker of jobs.

The mother asks the nodes, makes the jobs and keeps the books; front ends have the miners. What each says of itself
comes over a local socket (pool/services/front_end_hub.py), where jobs go out. One that dies is started again, and what
it had found and not seen to the end is submitted here within a moment. Front ends of a mother before this one, which a
restart leaves serving, get successors on the same ports and are drained.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError

from pool.accounting.books_away import BooksAwayError
from pool.config.configuration import Config
from pool.data_dir import StartError
from pool.fleet_figures import FleetFigures
from pool.fleet_setup import MAX_SLOTS, fleet_folder, slots_on_disk, socket_path
from pool.fleet_status import FrontEndState
from pool.services.front_end_messages import DrainOver, Stop, frame_of
from pool.services.front_end_process import FrontEndProcess, front_end_command, is_locked, known_pid
from pool.services.told_log import ManyIngests
from pool.shares.record import BEGINNING
from pool.storage.books import SqlBooks
from pool.ticks import next_tick
from pool.wiring.fleet_slot import Slot
from pool.wiring.fleet_talk import FleetTalk, InThread
from pool.wiring.kept_log import KeptLog, Spawn
from pool.wiring.mining import Mining

log = logging.getLogger("parapool.frontends")

LOOK_S = 0.25
LATE_S = 5.0
CONSUMED_S = 1.0
ADOPT_S = 3.0  # a front end without a mother tries five times a second
START_S = 60.0  # from a process's start to its first word; a long share log is read in it
RECONNECT_S = 10.0
SILENT_S = 30.0
"""A front end says something every half second. One that hangs for so long is ended: its miners are better off."""

STOP_S = 15.0
STOP_SUBMISSIONS_S = 1.0


class Fleet:
    """`figures` and `states` are for the status. Without `books` shares go to Redis."""

    def __init__(
        self,
        config: Config,
        mining: Mining,
        spawn: Spawn,
        figures: FleetFigures,
        books: SqlBooks | None = None,
        ingests: ManyIngests | None = None,
        in_thread: InThread | None = None,
    ) -> None:
        self.config = config
        self.figures = figures
        self._socket = socket_path(config.pool.data_dir)
        self._mining = mining
        self._spawn = spawn
        self._books = books
        self._ingests = ingests
        self._slots: dict[int, Slot] = {}
        self.talk = FleetTalk(
            config, mining, spawn, figures, self._slots, self._look_at_lost, books, ingests, in_thread
        )
        self._handed_over = False
        self._stopping = False
        self._consumed_at = 0.0
        self._looked_at = time.monotonic()

    @property
    def states(self) -> list[FrontEndState]:
        return [
            FrontEndState(slot.number, slot.serves, slot.starts)
            for slot in sorted(self._slots.values(), key=lambda slot: slot.number)
            if slot.wanted or slot.process is not None
        ]

    @property
    def serves(self) -> bool:
        """Whether miners find somebody."""
        return any(slot.serves for slot in self._slots.values())

    @property
    def with_miners(self) -> list[Slot]:
        """The slots whose processes have, or may have, miners: also one that says nothing just now."""
        return [s for s in self._slots.values() if s.process is not None and (s.serves or s.adopted)]

    # -- start -----------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """The ports are ours, the socket is there, jobs go out to it. Raises StartError or OSError."""
        folder = fleet_folder(self.config.pool.data_dir)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
        for number in slots_on_disk(self.config.pool.data_dir):
            slot = self._slots[number] = Slot(number, self.config)
            pid = known_pid(slot.folder)
            if pid is not None:
                slot.process = FrontEndProcess(slot.folder, pid)
                slot.adopted, slot.heard_at = True, time.monotonic()
        await self.talk.open()
        self._mining.ports.claim_all()

    async def run(self) -> None:
        """For ever: each slot gets what it needs."""
        if any(slot.adopted for slot in self._slots.values()):
            await asyncio.sleep(ADOPT_S)
        olds = [slot for slot in self._slots.values() if slot.adopted]
        count = self.config.stratum.processes
        for number in self._free_numbers()[: count if count > 1 else 0]:  # one alone has the miners itself
            self._slot(number).wanted = True
        while True:
            await self._look()
            wanted = [slot for slot in self._slots.values() if slot.wanted]
            if olds and not self._handed_over and all(slot.serves for slot in wanted):
                self._handed_over = True
                self._hand_over(olds)
            await next_tick(LOOK_S)

    def _free_numbers(self) -> list[int]:
        busy = {number for number, slot in self._slots.items() if slot.process is not None}
        return [number for number in range(1, MAX_SLOTS + 1) if number not in busy]

    def _slot(self, number: int) -> Slot:
        return self._slots.setdefault(number, Slot(number, self.config))

    def _hand_over(self, olds: list[Slot]) -> None:
        over_s = self.config.stratum.handover_s
        for slot in olds:
            if slot.peer is not None:
                slot.peer.send(frame_of(DrainOver(over_s, ends=True)))
            elif slot.process is not None:
                slot.process.send(signal.SIGTERM)
        log.info("miners move to new front ends over_s=%g old=%d", over_s, len(olds))

    # -- looking after them ----------------------------------------------------------------------------------------

    async def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked_at > LATE_S:  # we were held up, not they: what they said meanwhile is read next
            for slot in self._slots.values():
                slot.heard_at = now
        self._looked_at = now
        for slot in list(self._slots.values()):
            if slot.process is not None:
                if slot.process.is_over:
                    self._ended(slot, now)
                else:
                    self._mind(slot, now)
            if slot.process is None and not self._stopping:
                if slot.wanted:
                    if now >= slot.start_at:
                        await self._start(slot, now)
                elif slot.kept is None and (self._books is not None or slot.has_log):
                    await self._keep(slot)
        if now - self._consumed_at >= CONSUMED_S:
            self._consumed_at = now
            self.talk.tell_consumed()

    def _mind(self, slot: Slot, now: float) -> None:
        """One that gives no sign of life is ended; its miners go to another one."""
        assert slot.process is not None
        limit_s = START_S if not slot.serves else SILENT_S if slot.peer is not None else RECONNECT_S
        if now - slot.heard_at < limit_s or self._stopping:
            return
        log.error("a front end gives no sign of life, it is ended slot=%d pid=%d", slot.number, slot.process.pid)
        slot.heard_at = now
        slot.process.send(signal.SIGKILL)

    def _ended(self, slot: Slot, now: float) -> None:
        assert slot.process is not None
        code, pid = slot.process.exit_code, slot.process.pid
        slot.over(now)
        self.figures.ended(slot.number)
        try:
            resumed = self._rescue(slot)
        except OSError as error:
            resumed = 0
            log.error("what a dead front end found waits until it is started slot=%d: %s", slot.number, error)
        if not slot.wanted or self._stopping:
            log.info("front end ended slot=%d pid=%d", slot.number, pid)
        else:
            log.error(
                "a front end died, it is started again slot=%d pid=%d code=%s unfinished_blocks=%d",
                slot.number, pid, "unknown" if code is None else code, resumed,
            )  # fmt: skip

    def _rescue(self, slot: Slot) -> int:
        """Submits what a slot without a living process had found and not seen to the end; how many. Raises OSError."""
        if not slot.has_solutions:
            return 0
        slot.solutions.take_up()
        return slot.rescue(self._mining).resume()

    async def _start(self, slot: Slot, now: float) -> None:
        if slot.kept is not None:
            await self._give_up(slot)
        if self._stopping or is_locked(slot.folder):
            return
        try:
            self._rescue(slot)  # of a process that ended with the mother before, or of one whose disk was full
            slot.process = FrontEndProcess.start(slot.folder, front_end_command(self._socket, slot.number))
        except OSError as error:
            slot.start_at = now + 5.0
            log.error("a front end cannot be started slot=%d: %s", slot.number, error)
            return
        slot.started(now)

    async def _keep(self, slot: Slot) -> None:
        """What a slot without a process has left."""
        try:
            kept = KeptLog(self.config_of(slot))
        except StartError:  # a process that has not said a word yet
            return
        slot.kept = kept
        try:
            self._rescue(slot)
            consumed = await self.talk.position(slot) if self._books is not None else (BEGINNING, 0)
            await kept.open(self._books, consumed, self._mining, self._spawn)
        except (StartError, OSError, SQLAlchemyError, BooksAwayError, TimeoutError) as error:
            await self._give_up(slot)
            if not slot.told_unkept:
                slot.told_unkept = True
                log.error("what a front end left behind waits slot=%d: %s", slot.number, error)
            return
        slot.told_unkept = False
        if kept.ingest is not None and self._ingests is not None:
            self._ingests.others[slot.log_name] = kept.ingest

    async def _give_up(self, slot: Slot) -> None:
        kept, slot.kept = slot.kept, None
        if self._ingests is not None:
            self._ingests.others.pop(slot.log_name, None)
        if kept is not None:
            await kept.close()

    def config_of(self, slot: Slot) -> Config:
        return slot.config(self.config)

    def adopt(self, config: Config) -> None:
        """Another configuration. Before the mining makes jobs of it."""
        self.config = config
        self.talk.adopt(config)

    def _look_at_lost(self, slot: Slot) -> None:
        """The kernel closes a dead process's socket and frees its folder in the same breath."""

        def look() -> None:
            if slot.process is not None and slot.process.is_over and not self._stopping:
                self._ended(slot, time.monotonic())

        asyncio.get_running_loop().call_later(0.02, look)

    # -- the end ---------------------------------------------------------------------------------------------------

    async def leave(self) -> None:
        """The mother goes and is back in a moment: front ends go on without her."""
        self._stopping = True
        await self.talk.close()
        for slot in self._slots.values():
            if slot.submission is not None:
                await slot.submission.drain(STOP_SUBMISSIONS_S)
        await self._close_kept()

    async def stop(self) -> None:
        """All front ends end in order; what they answered is left for the books. May be called after a failed open."""
        self._stopping = True
        for slot in self._slots.values():
            slot.wanted = False
            if slot.peer is not None:
                slot.peer.send(frame_of(Stop()))
            elif slot.process is not None:
                slot.process.send(signal.SIGTERM)
        until = time.monotonic() + STOP_S
        while any(slot.process is not None for slot in self._slots.values()):
            now = time.monotonic()
            for slot in self._slots.values():
                if slot.process is None:
                    continue
                if slot.process.is_over:
                    self._ended(slot, now)
                elif now >= until:
                    log.error("a front end does not end, it is killed slot=%d pid=%d", slot.number, slot.process.pid)
                    slot.process.send(signal.SIGKILL)
            await asyncio.sleep(0.05)
        await self.talk.close()
        for slot in self._slots.values():
            if slot.submission is not None:
                await slot.submission.drain(STOP_SUBMISSIONS_S)
        for slot in self._slots.values():
            if slot.kept is None and slot.has_log:
                await self._keep(slot)

    async def close(self) -> None:
        """After the books have caught up."""
        await self._close_kept()

    async def _close_kept(self) -> None:
        for slot in self._slots.values():
            with suppress(OSError):
                await self._give_up(slot)


