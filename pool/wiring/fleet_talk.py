"""What a mother and her front ends say to each other: newcomers are welcomed, jobs go out, figures come in.

Who a newcomer is, his slot's process says (the kernel names the one at the other end); what he is told first is all
that the others know already.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from pool.accounting.books_away import BooksAwayError
from pool.config.configuration import Config
from pool.fleet_figures import FleetFigures
from pool.fleet_setup import session_secret, slot_space, socket_path
from pool.jobs.job import Job
from pool.services.block_messages import BlockFound
from pool.services.front_end_hub import FrontEndHub, Peer
from pool.services.front_end_messages import (
    VERSION,
    Announcement,
    BanNews,
    ConnectionsFound,
    Consumed,
    Drained,
    DrainOver,
    Figures,
    FromFrontEnd,
    Hello,
    MinerPaces,
    MinersTold,
    NewValues,
    Present,
    Serving,
    Welcome,
    WorkWanted,
    frame_of,
)
from pool.services.front_end_questions import Questions
from pool.services.job_feed import JobFeed
from pool.services.pace_telling import messages_of, remember
from pool.services.told_log import ManyIngests
from pool.shares.record import BEGINNING, Position
from pool.storage.books import SqlBooks
from pool.wiring.fleet_slot import Slot
from pool.wiring.kept_log import Spawn
from pool.wiring.mining import Mining
from stratum.rate_memory import RateMemory

log = logging.getLogger("parapool.frontends")

BOOKS_ANSWER_S = 5.0

InThread = Callable[..., Awaitable[Any]]


class FleetTalk:
    """`slots` are the fleet's own; `on_lost` hears of a slot whose connection is gone. Without `books` shares go to
    Redis."""

    def __init__(
        self,
        config: Config,
        mining: Mining,
        spawn: Spawn,
        figures: FleetFigures,
        slots: Mapping[int, Slot],
        on_lost: Callable[[Slot], None],
        books: SqlBooks | None,
        ingests: ManyIngests | None,
        in_thread: InThread | None,
    ) -> None:
        self._config = config
        self._mining = mining
        self._spawn = spawn
        self._figures = figures
        self._slots = slots
        self._on_lost = on_lost
        self._books = books
        self._ingests = ingests
        self._in_thread = in_thread
        self._feed = JobFeed()
        self._hub = FrontEndHub(socket_path(config.pool.data_dir), self._hear, self._lost)
        self._secret = b""
        self.questions = Questions()
        self._memory = RateMemory()
        self.drained = False
        self.bans: Callable[[], list[BanNews]] = list  # what a newcomer is told

    async def open(self) -> None:
        """The socket is there, and what is said in this process goes out to it. Raises OSError."""
        self._secret = session_secret(self._config.pool.data_dir)
        await self._hub.open()
        self._mining.on_job = self._send_job
        self._mining.on_announcement = self._send_announcement
        if self._mining.relay is not None:
            self._mining.relay.on_other = lambda answer: self._hub.publish(frame_of(answer))

    async def close(self) -> None:
        await self._hub.close()

    # -- what front ends say ---------------------------------------------------------------------------------------

    def _hear(self, peer: Peer, message: FromFrontEnd) -> None:
        if isinstance(message, Hello):
            self._greet(peer, message)
            return
        slot = self._slots.get(peer.slot)
        if slot is None or slot.peer is not peer:
            return
        slot.heard_at = time.monotonic()
        if isinstance(message, Serving):
            if not slot.serves:
                slot.serves = True
                log.info("front end is at work slot=%d pid=%d", slot.number, peer.pid)
        elif isinstance(message, Drained):
            slot.told.heard(message)
        elif isinstance(message, Figures):
            self._figures.heard(slot.number, message, adopted=slot.adopted)
        elif isinstance(message, WorkWanted):
            self._mining._ask_for_work(message.chain)
        elif isinstance(message, BlockFound) and self._mining.relay is not None:
            self._mining.relay.tell(message)
        elif isinstance(message, ConnectionsFound | MinersTold):
            self.questions.heard(peer, message)
        elif isinstance(message, MinerPaces):
            remember(self._memory, message, slot.heard_at)
            self._hub.publish(frame_of(message))

    def _greet(self, peer: Peer, hello: Hello) -> None:
        slot = self._slots.get(hello.slot)
        is_known = slot is not None and slot.process is not None and slot.process.pid == peer.pid
        if slot is None or not is_known or (not hello.welcomed and slot.adopted):
            log.warning("an unknown process calls itself a front end slot=%d pid=%d", hello.slot, peer.pid)
            peer.cut()
            return
        slot.heard_at, slot.was_heard = time.monotonic(), True
        if hello.version != VERSION:
            log.warning("a front end of another version ends, its miners connect anew slot=%d", slot.number)
            assert slot.process is not None
            slot.process.send(signal.SIGTERM)
            return
        if slot.peer is not None and slot.peer is not peer:
            slot.peer.cut()
        slot.peer = peer
        self._spawn(self._welcome(slot, peer, hello))

    async def _welcome(self, slot: Slot, peer: Peer, hello: Hello) -> None:
        position, sequence = BEGINNING, 0
        if self._books is not None:
            try:
                position, sequence = await self.position(slot)
            except (SQLAlchemyError, BooksAwayError, TimeoutError) as error:
                if not slot.has_log:
                    log.warning("a new front end waits for the database slot=%d: %s", slot.number, error)
                    peer.cut()
                    return
        if slot.peer is not peer:
            return
        if self._books is not None and self._ingests is not None:
            self._ingests.others[slot.log_name] = slot.told_ingest(self._books)
        if not hello.welcomed:
            space = slot_space(slot.number, self._config.transport.machine)
            welcome = Welcome(
                version=VERSION, values=dict(self._config.values), segment=position.segment, offset=position.offset,
                sequence=sequence, first=space.first, count=space.count, secret=self._secret,
            )  # fmt: skip
            peer.send(frame_of(welcome))
        elif not slot.adopted:
            peer.send(frame_of(NewValues(dict(self._config.values))))  # what changed while it was cut off
        for frames in self._feed.present():
            peer.send(frames)
        for paces in messages_of(self._memory.all(time.monotonic())):
            peer.send(frame_of(paces))
        for ban in self.bans():
            peer.send(frame_of(ban))
        if self.drained and not hello.welcomed:
            peer.send(frame_of(DrainOver(0, ends=False)))
        peer.send(frame_of(Present()))
        peer.slot = slot.number  # from here on it gets what all get

    async def position(self, slot: Slot) -> tuple[Position, int]:
        """How far the books are with its log, which from now on they know: windows wait for it."""
        assert self._books is not None and self._in_thread is not None
        books = self._books.of_log(slot.log_name)

        def ask() -> tuple[Position, int]:
            books.register()
            return books.position()

        async with asyncio.timeout(BOOKS_ANSWER_S):
            found: tuple[Position, int] = await self._in_thread(ask)
        return found

    def _lost(self, peer: Peer) -> None:
        self.questions.lost(peer)
        slot = self._slots.get(peer.slot) or next((s for s in self._slots.values() if s.peer is peer), None)
        if slot is not None and slot.peer is peer:
            slot.peer = None
            self._on_lost(slot)

    # -- what all of them hear -------------------------------------------------------------------------------------

    def _send_job(self, job: Job) -> None:
        parent = self._mining.newest_parent
        assert parent is not None, "a job was made of it"
        self._hub.publish(self._feed.publish(job, parent, frozenset(self._mining.jobs.uncapped)))

    def _send_announcement(self, text: str, realms: set[str]) -> None:
        self._hub.publish(frame_of(Announcement(text, sorted(realms))))

    def tell_consumed(self) -> None:
        for slot in self._slots.values():
            ingest = slot.ingest
            if slot.peer is not None and ingest is not None:
                place = slot.told.consumed
                lag_ms = max(0, time.time_ns() // 1_000_000 - ingest.told_ms)
                slot.peer.send(frame_of(Consumed(place.segment, place.offset, ingest.consumed_through, lag_ms)))

    def adopt(self, config: Config) -> None:
        """Another configuration. Before the mining makes jobs of it."""
        self._config = config
        self._hub.publish(frame_of(NewValues(dict(config.values))))

    def drain(self, over_s: float) -> None:
        """Moves all miners of all front ends elsewhere; negative: no more."""
        self.drained = over_s >= 0
        self._hub.publish(frame_of(DrainOver(over_s, ends=False)))

    def ban(self, network: str, seconds: int | None, reason: str = "") -> None:
        """Turns a network away at every front end; None: no more."""
        self._hub.publish(frame_of(BanNews(network, seconds, reason)))
