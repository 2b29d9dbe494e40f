"""Moves the miners of this process elsewhere, evenly over a stated time, while those who are still here go on mining.

The ports shut, so that nobody new comes in and another process may have them. Who sends no shares goes at once, as
nothing is lost by it; the others one by one, the biggest last: should the other place not be well, the operator stops
the drain before what matters has gone there. Each is asked with client.reconnect and hung up on a little later
(stratum/connection.py). The process goes on until somebody stops it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass

from stratum.server import Connection, StratumServer

log = logging.getLogger("parapool.stratum")

TICK_S = 1.0
IDLE_SHARES = 30.0  # times what the port aims at between two shares: two minutes by default
SLICE = 250  # connections that are asked per turn of the loop: a few milliseconds, between which shares are answered


@dataclass(frozen=True, slots=True)
class DrainState:
    """`here` counts connections of this process, `leaving` those of them that were asked to go; `ends_in_s` tells when
    the last one is asked. Off, all but `here` is zero."""

    draining: bool
    here: int
    leaving: int
    over_s: float = 0.0
    since_s: float = 0.0
    ends_in_s: float = 0.0


class Drain:
    """One for all servers of a process."""

    def __init__(
        self, servers: Collection[StratumServer], clock: Callable[[], float] = time.monotonic, tick_s: float = TICK_S
    ) -> None:
        self._servers = servers
        self._clock = clock
        self._tick_s = tick_s
        self._waiting: deque[Connection] = deque()  # who was here when it began, in the order of leaving
        self._idle = self._active = self._asked = 0
        self._began = self._over_s = 0.0
        self._told_end = False
        self.draining = False

    def begin(self, over_s: float) -> None:
        """Begin, or go on with those who are left over another time. `over_s` 0 asks everybody at once."""
        now = self._clock()
        for server in self._servers:
            server.shut()
        staying = [one for server in self._servers for one in server.connections if one.stays]
        idle = [one for one in staying if _is_idle(one, now)]
        active = [one for one in staying if not _is_idle(one, now)]
        active.sort(key=lambda one: one.session.assignment.difficulty)
        self._waiting = deque(idle + active)
        self._idle, self._active, self._asked = len(idle), len(active), 0
        self._began, self._over_s = now, over_s
        self.draining, self._told_end = True, False
        log.info("drain began over_s=%g active=%d idle=%d", over_s, len(active), len(idle))

    def stay(self) -> None:
        """Nobody else is asked to go. The ports are as they were."""
        self._waiting.clear()
        self._idle = self._active = self._asked = 0

    def end(self) -> None:
        """Open the ports again; who was asked to go still goes, and finds them open. Raises CannotListenError when a
        port is taken: then who is here stays, the ports are shut, and this may be tried again."""
        self.stay()
        try:
            for server in self._servers:
                server.reopen()
        except Exception:
            for server in self._servers:
                server.shut()
            raise
        if self.draining:
            self.draining = False
            log.info("drain ended, the ports are open again here=%d", self.state().here)

    def state(self) -> DrainState:
        connections = [one for server in self._servers for one in server.connections]
        leaving = sum(not one.stays for one in connections)
        if not self.draining:
            return DrainState(False, len(connections), leaving)
        since_s = self._clock() - self._began
        ends_in_s = max(0.0, self._over_s - since_s) if self._waiting else 0.0
        return DrainState(True, len(connections), leaving, self._over_s, since_s, ends_in_s)

    def due(self, now: float) -> list[Connection]:
        """Who is asked to go now; each is given out once."""
        elapsed = now - self._began
        part = 1.0 if elapsed >= self._over_s else elapsed / self._over_s
        number = self._idle + math.ceil(self._active * part) - self._asked
        self._asked += number
        return [self._waiting.popleft() for _ in range(number)]

    async def run(self) -> None:
        """For ever: a look each second."""
        while True:
            await asyncio.sleep(self._tick_s)
            if self.draining:
                await self._ask_those_due()

    async def _ask_those_due(self) -> None:
        if self._waiting:
            due = self.due(self._clock())
            for start in range(0, len(due), SLICE):
                for one in due[start : start + SLICE]:
                    _ask(one)
                await asyncio.sleep(0)
        elif not self._told_end and not any(server.connections for server in self._servers):
            self._told_end = True
            log.info("drain is through, nobody is connected any more: the process may be stopped")


def _is_idle(connection: Connection, now: float) -> bool:
    session = connection.session
    idle_s = IDLE_SHARES * session.policy.share_interval_s
    return not session.ready or now - session.deadlines.last_valid_share >= idle_s


def _ask(connection: Connection) -> None:
    try:
        connection.leave()
    except Exception:  # an error of ours costs one connection, never the drain
        log.exception("connection dropped by an error of ours address=%s", connection.remote_address)
        connection.abort("internal")
