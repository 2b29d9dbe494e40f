"""The process around a core: sockets, timers and the store become events; effects are carried out in their order.

One event at a time: what happens while effects are carried out waits in a queue. A `Write` is synced to disk before
the next effect is looked at, so nothing leaves the process that a crash would make it forget; a store that cannot
write, and a core that raises, end the process, because what the core believes is no longer what is on disk. Whose
message made the core raise is banned before the end, so that it cannot do it again at once.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from chains.calls.errors import IN_WARMUP
from chains.peers.core import (
    Answer,
    Asked,
    Broadcast,
    Drop,
    Effect,
    Event,
    Fired,
    NodeCore,
    Note,
    Received,
    Refuse,
    Score,
    Send,
    SetTimer,
    Started,
    Tell,
    Write,
)
from chains.peers.hello import Hello, node_key_of
from chains.peers.hub import Hub, PeerLimits
from chains.peers.scores import MAX_NAMES
from chains.peers.sockets import Sockets
from chains.peers.sources import PeerSource
from chains.store.store import Store, StoreFailedError

log = logging.getLogger("parapool.node")

OWN_TABLES = "process."  # tables that are the process's and not the core's begin with this
BANS = OWN_TABLES + "bans"
STOP_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """`port` 0 lets the system choose, None listens nowhere."""

    host: str = "127.0.0.1"
    port: int | None = 0
    sources: Sequence[PeerSource] = ()
    limits: PeerLimits = field(default_factory=PeerLimits)
    features: int = 0
    chance: random.Random = field(default_factory=random.SystemRandom)


class RefusedError(Exception):
    """A call was refused by the core: code and reason as it gave them."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Clock:
    """Milliseconds since 1970 that never go back."""

    def __init__(self) -> None:
        self._last_ms = 0

    def __call__(self) -> int:
        self._last_ms = max(self._last_ms, time.time_ns() // 1_000_000)
        return self._last_ms


class NodeProcess:
    """One node. `secret` is its node key; `store` is its own. Raises ValueError for a bad secret."""

    def __init__(self, core: NodeCore, store: Store, secret: bytes, settings: ProcessSettings, reactor: Any) -> None:
        self.core = core
        self.node_key = node_key_of(secret)
        self.started_ms = 0
        self.port: int | None = None
        self.stopped = asyncio.Event()
        self.failed = False
        self.now_ms = Clock()
        self._store = store
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._events: deque[Event] = deque()
        self._busy = False
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tokens = 0
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._topics: dict[str, asyncio.Event] = {}
        self._bans: set[bytes] = set()  # names in the store's table
        self.hub = Hub(self._hello, secret, core.messages, self.feed, self.now_ms, settings.limits)
        self.hub.on_ban = self._keep_bans
        self.sockets = Sockets(reactor, self.hub, settings.sources, self.now_ms, settings.chance)

    # -- life ---------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Give the core what is kept, open the port, dial. Raises OSError when the port is taken."""
        self.started_ms = self.now_ms()
        if self._settings.port is not None:
            self.port = self.sockets.listen(self._settings.host, self._settings.port)
        records = self._store.records()
        self._load_bans(records.get(BANS, ()))
        self.feed(Started({name: rows for name, rows in records.items() if not name.startswith(OWN_TABLES)}))
        if not self.failed:
            self.sockets.start()

    def stop(self) -> None:
        """Hang up, take nothing more. The store is closed by whoever opened it."""
        if not self.stopped.is_set():
            self.stopped.set()
            self.sockets.stop()
            for handle in self._timers.values():
                handle.cancel()
            for future in self._asked.values():
                future.cancel()
            for topic in self._topics.values():
                topic.set()
            self._topics.clear()

    def stop_soon(self) -> None:
        """Stop, once the call that asked for it has been answered."""
        self._loop.call_later(STOP_PAUSE_S, self.stop)

    def lift_ban(self, name: str) -> bool:
        """Whether there was one."""
        self._bans.discard(name.encode())
        self._store.write(deletes=[(BANS, name.encode())])
        return self.hub.scores.unban(name)

    # -- callers ------------------------------------------------------------------------------------------------------

    async def ask(self, call: str, parameters: tuple[Any, ...] = ()) -> Any:
        """A call that writes: the core's answer. Raises RefusedError; CancelledError when the node ends meanwhile."""
        if self.stopped.is_set():
            raise RefusedError(IN_WARMUP, "the node is stopping")
        self._tokens += 1
        token = self._tokens
        future: asyncio.Future[Any] = self._loop.create_future()
        self._asked[token] = future
        try:
            self.feed(Asked(call, token, parameters))
            return await future
        finally:
            self._asked.pop(token, None)

    def topic(self, name: str) -> asyncio.Event:
        """Set, once, when the core next tells this topic; take it before looking at what may have changed."""
        return self._topics.setdefault(name, asyncio.Event())

    # -- events -------------------------------------------------------------------------------------------------------

    def feed(self, event: Event) -> None:
        """Give the core an event; those that come of its effects follow."""
        self._events.append(event)
        if self._busy:
            return
        self._busy = True
        try:
            while self._events and not self.stopped.is_set():
                self._step(self._events.popleft())
        finally:
            self._busy = False

    def _step(self, event: Event) -> None:
        try:
            effects = tuple(self.core.on(self.now_ms(), event))
        except Exception:
            log.critical("the node's core broke, the node ends event=%s", type(event).__name__, exc_info=True)
            if isinstance(event, Received) and event.peer in self.hub.peers:
                peer = self.hub.peers[event.peer]
                until_ms = self.now_ms() + self._settings.limits.ban_ms
                self.hub.ban(self.hub.scores.names(peer.key, peer.host), until_ms, "its message broke the core")
            self._fail()
            return
        for effect in effects:
            try:
                self._carry_out(effect)
            except StoreFailedError as error:
                log.critical("the node cannot write, the node ends: %s", error)
                self._fail()
            if self.stopped.is_set():
                return

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Send(peer, name, payload):
                self.hub.send(peer, name, payload)
            case Broadcast(name, payload, besides):
                self.hub.broadcast(name, payload, besides)
            case SetTimer(timer, at_ms):
                self._set_timer(timer, at_ms)
            case Write(puts, deletes):
                self._store.write(puts, deletes)
            case Score(peer, points, reason):
                self.hub.score(peer, points, reason)
            case Drop(peer, reason):
                self.hub.drop(peer, reason)
            case Tell(topic):
                event = self._topics.pop(topic, None)
                if event is not None:
                    event.set()
            case Note(level, text, fields):
                log.log(level, "%s", " ".join([text, *(f"{name}={value}" for name, value in fields.items())]))
            case Answer(token, value):
                future = self._asked.get(token)
                if future is not None and not future.done():
                    future.set_result(value)
            case Refuse(token, code, reason):
                future = self._asked.get(token)
                if future is not None and not future.done():
                    future.set_exception(RefusedError(code, reason))

    def _set_timer(self, timer: str, at_ms: int | None) -> None:
        handle = self._timers.pop(timer, None)
        if handle is not None:
            handle.cancel()
        if at_ms is not None:
            delay_s = max(0, at_ms - self.now_ms()) / 1000
            self._timers[timer] = self._loop.call_later(delay_s, self._fire, timer, at_ms)

    def _fire(self, timer: str, at_ms: int) -> None:
        if self.now_ms() < at_ms:  # the loop's clock is not the wall's
            self._timers[timer] = self._loop.call_later((at_ms - self.now_ms()) / 1000, self._fire, timer, at_ms)
            return
        del self._timers[timer]
        self.feed(Fired(timer))

    def _hello(self) -> Hello:
        core, types = self.core, tuple(message.name for message in self.core.messages)
        nonce = secrets.token_bytes(32)
        return Hello(
            core.network, core.genesis, self.node_key, nonce, types, features=self._settings.features,
            port=self.port or 0,
        )  # fmt: skip

    def _load_bans(self, rows: Sequence[tuple[bytes, bytes]]) -> None:
        over = []
        for name, until in rows:
            until_ms = int.from_bytes(until, "little")
            if until_ms > self.now_ms():
                self.hub.scores.ban(name.decode(), until_ms)
                self._bans.add(name)
            else:
                over.append((BANS, name))
        if over:
            self._store.write(deletes=over)

    def _keep_bans(self, names: list[str], until_ms: int) -> None:
        kept = [name.encode() for name in names if name.encode() in self._bans or len(self._bans) < MAX_NAMES]
        self._bans.update(kept)
        try:
            self._store.write([(BANS, name, until_ms.to_bytes(8, "little")) for name in kept])
        except StoreFailedError as error:
            log.warning("a ban is not kept beyond this run: %s", error)

    def _fail(self) -> None:
        self.failed = True
        self.stop()
