"""How fast this front end's miners are, told to the mother and by her to all others: whichever of them a miner comes
back to when this one has died, there he goes on at his difficulty.

A look at all connections every LOOK_S tells what is new, and everything once in a generation of the memory
(stratum/rate_memory.py), or anew after the link to the mother was: she may be another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress

from pool.services.front_end_messages import MinerPaces
from stratum.rate_memory import Pace, RateMemory
from stratum.server import StratumServer

LOOK_S = 5.0
"""What a front end that dies has found out since is found out again."""

SLICE = 500  # connections per turn of the loop: a millisecond
TOLD_AT_ONCE = 10_000  # in one message of some 200 kB


class PaceTelling:
    """`memory` is that of the extranonces, `tell` says something to the mother; `clock` is the servers'."""

    def __init__(
        self,
        servers: Collection[StratumServer],
        memory: RateMemory,
        tell: Callable[[MinerPaces], None],
        clock: Callable[[], float],
        look_s: float = LOOK_S,
    ) -> None:
        self._servers = servers
        self.memory = memory
        self._tell = tell
        self._clock = clock
        self._look_s = look_s
        self._everything = True
        self._wanted = asyncio.Event()
        self._left: dict[bytes, Pace] = {}
        memory.on_left = lambda extranonce1, pace: self._left.__setitem__(extranonce1, pace)

    def begin_anew(self) -> None:
        """Who listens may know nothing."""
        self._everything = True
        self.look_now()

    def look_now(self) -> None:
        """Do not wait: miners may move within moments."""
        self._wanted.set()

    async def run(self) -> None:
        """For ever."""
        while True:
            await self.look()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look_s):
                    await self._wanted.wait()
            self._wanted.clear()

    async def look(self) -> None:
        everything, self._everything = self._everything, False
        connections = [one for server in self._servers for one in server.connections]
        news, self._left = self._left, {}
        for start in range(0, len(connections), SLICE):
            now = self._clock()
            for one in connections[start : start + SLICE]:
                pace = one.session.pace()
                if pace is not None and (self.memory.note(one.extranonce1, pace, now) or everything):
                    news[one.extranonce1] = pace
            await asyncio.sleep(0)
        for message in messages_of(news):
            self._tell(message)


def messages_of(paces: Mapping[bytes, Pace]) -> list[MinerPaces]:
    entries = [(key, pace.rate, pace.settled) for key, pace in paces.items()]
    return [MinerPaces(entries[start : start + TOLD_AT_ONCE]) for start in range(0, len(entries), TOLD_AT_ONCE)]


def remember(memory: RateMemory, message: MinerPaces, now: float) -> None:
    for extranonce1, rate, settled in message.paces:
        memory.note(extranonce1, Pace(rate, settled), now)
