"""The operator's port of a pool of several processes: what is asked here, every front end does.

Bans stand in the mother's book and in those of the front ends, a newcomer is told them. What has to be looked up at
single connections (the list of them, a message) is asked of all front ends at once; an answer names those who gave
none in time, instead of waiting for them.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from pool.operator.api import Json
from pool.services.ban_book import wall_ms
from pool.services.front_end_answers import one_page
from pool.services.front_end_messages import (
    Answer,
    BanNews,
    ConnectionsFound,
    ConnectionsWanted,
    MinersTold,
    MinersToTell,
    Question,
)
from pool.wiring.fleet import Fleet
from pool.wiring.operating import Operating


class FleetOperating(Operating):
    """Implements pool.operator.api.Operated for all front ends."""

    _fleet: Fleet
    _began: float | None = None
    _over_s = 0.0

    def reach(self, fleet: Fleet) -> None:
        """Before anything is asked."""
        self._fleet = fleet
        fleet.talk.bans = self._for_newcomers

    def _for_newcomers(self) -> list[BanNews]:
        bans = [ban for ban in self._bans.all() if ban["by"] == "operator"]
        return [
            BanNews(ban["network"], max(1, (ban["until_ms"] - wall_ms()) // 1000), ban["reason"]) for ban in bans
        ]

    @property
    def _here(self) -> int:
        return int(self._fleet.figures.number("connections"))

    def drain_state(self) -> Json:
        if self._began is None:
            return {"draining": False, "here": self._here, "leaving": 0, "over_s": 0, "since_s": 0, "ends_in_s": 0}
        since_s = time.monotonic() - self._began
        return {
            "draining": True,
            "here": self._here,
            "leaving": 0,  # each front end knows its own
            "over_s": round(self._over_s, 1),
            "since_s": round(since_s, 1),
            "ends_in_s": round(max(0.0, self._over_s - since_s), 1),
        }

    def begin_drain(self, over_s: int) -> Json:
        self._began, self._over_s = time.monotonic(), over_s
        self._fleet.talk.drain(over_s)
        return self.drain_state()

    def end_drain(self) -> Json:
        if self._began is not None:
            self._began = None
            self._fleet.talk.drain(-1)
        return self.drain_state()

    async def ban(self, network: str, seconds: int, reason: str) -> Json:
        found = await super().ban(network, seconds, reason)
        self._fleet.talk.ban(found["network"], seconds, reason)
        return found

    async def unban(self, network: str) -> bool:
        self._fleet.talk.ban(network, None)
        return await super().unban(network)

    async def tell(self, text: str, login: str | None, worker: str | None) -> Json:
        answers, missing = await self._ask(lambda number: MinersToTell(number, text, login, worker))
        told = [answer for answer in answers.values() if isinstance(answer, MinersTold)]
        return {"connections_told": sum(answer.connections for answer in told), "missing": missing}

    async def connections(self, after: int, limit: int, login: str | None, worker: str | None) -> Json:
        answers, missing = await self._ask(lambda number: ConnectionsWanted(number, after, limit, login, worker))
        found = {slot: answer for slot, answer in answers.items() if isinstance(answer, ConnectionsFound)}
        return one_page(found, limit) | {"missing": missing}

    async def _ask(self, question: Callable[[int], Question]) -> tuple[dict[int, Answer], list[int]]:
        """The answers by slot, and the slots of those who have miners and did not answer."""
        slots = self._fleet.with_miners
        peers = [slot.peer for slot in slots if slot.peer is not None and slot.peer.slot]
        answers = await self._fleet.talk.questions.ask(peers, question)
        return answers, sorted(slot.number for slot in slots if slot.number not in answers)
