"""What the mother asks her front ends about single connections: one question to all of them, answers within a limit.

Who does not answer in time is left out, and whoever asked is told so. One that owes answers already is not asked again:
should it hang, neither its memory nor the link to it fills with questions.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection
from itertools import count

from pool.services.front_end_hub import Peer
from pool.services.front_end_messages import Answer, Question, frame_of

ANSWER_S = 5.0
"""A front end looks through 50,000 connections in a tenth of that. The operator's command line waits for a minute."""

MOST_AT_ONCE = 4
MOST_OWED = 4
"""Answers of half a megabyte at most (front_end_answers.ANSWER_BYTES) stay below what may wait on a link."""


class Questions:
    """The mother's side. `heard` and `lost` are told of answers and of connections that end."""

    def __init__(self, answer_s: float = ANSWER_S) -> None:
        self._answer_s = answer_s
        self._numbers = count(1)
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)
        self._open: dict[tuple[Peer, int], asyncio.Future[Answer]] = {}
        self._owed: Counter[Peer] = Counter()

    async def ask(self, peers: Collection[Peer], question: Callable[[int], Question]) -> dict[int, Answer]:
        """The answers by slot, of those who gave one. `question` makes it from its number."""
        async with self._turns:
            number = next(self._numbers)
            frame = frame_of(question(number))
            loop = asyncio.get_running_loop()
            asked: dict[Peer, asyncio.Future[Answer]] = {}
            for peer in peers:
                if self._owed[peer] < MOST_OWED:
                    asked[peer] = self._open[peer, number] = loop.create_future()
                    self._owed[peer] += 1
            try:
                for peer in asked:
                    peer.send(frame)
                if asked:
                    await asyncio.wait(asked.values(), timeout=self._answer_s)
            finally:
                for peer in asked:
                    self._open.pop((peer, number), None)
            return {p.slot: found.result() for p, found in asked.items() if found.done() and not found.cancelled()}

    def heard(self, peer: Peer, answer: Answer) -> None:
        """An answer, in time or late."""
        if self._owed[peer] > 0:
            self._owed[peer] -= 1
        found = self._open.get((peer, answer.number))
        if found is not None and not found.done():
            found.set_result(answer)

    def lost(self, peer: Peer) -> None:
        """Nobody waits for one that is gone."""
        self._owed.pop(peer, None)
        for (other, _), found in self._open.items():
            if other is peer:
                found.cancel()
