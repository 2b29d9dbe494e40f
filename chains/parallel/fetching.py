"""Which bodies to ask whom for, and when again: a value, without messages or clocks.

Every missing body is asked for at once, from one peer after the other. Who has not answered within RETRY_MS was the
wrong one. When all were asked, they are asked again, ever more rarely, but always: it may come late. A peer that comes
meanwhile may bring it, and is asked at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from chains.parallel.messages import MAX_ROOTS
from chains.peers.core import PeerId

RETRY_MS = 3_000
LONGEST_MS = 30_000
OUTSTANDING = 32  # bodies asked of one peer at a time; a peer's open offers are limited too
PER_TICK = 400  # bodies asked for between two ticks, well below the rate at which peers must take them


class Chance(Protocol):
    """What is drawn: `random.Random` has it."""

    def choice(self, seq: Sequence[PeerId], /) -> PeerId: ...


@dataclass(slots=True)
class _Asked:
    since_ms: int
    peer: PeerId | None = None  # whose answer is waited for
    last_ms: int = 0  # when it was asked for last
    rounds: int = 0
    tried: set[PeerId] = field(default_factory=set)  # in this round

    def is_waited_for(self, now_ms: int) -> bool:
        return self.peer is not None and now_ms < self.last_ms + RETRY_MS

    def is_next_round_due(self, now_ms: int) -> bool:
        return now_ms >= self.last_ms + min(RETRY_MS << min(self.rounds, 10), LONGEST_MS)


class Fetching:
    """The requests under way, by root."""

    def __init__(self, chance: Chance) -> None:
        self._chance = chance
        self._asked: dict[bytes, _Asked] = {}
        self._hints: dict[bytes, PeerId] = {}
        self._left = PER_TICK

    def tick(self) -> None:
        """A new tick has its own share of requests."""
        self._left = PER_TICK

    def hint(self, root: bytes, peer: PeerId) -> None:
        """Who named a root first has probably got its body, and is asked first."""
        self._hints.setdefault(root, peer)

    def since_ms(self, root: bytes, now_ms: int) -> int:
        """Since when a body has been asked for; from now on when it has not yet, for lack of peers."""
        return self._asked.setdefault(root, _Asked(now_ms)).since_ms

    def arrived(self, root: bytes) -> None:
        """It is there, whoever sent it."""
        self._hints.pop(root, None)
        self._asked.pop(root, None)

    def refused(self, root: bytes, peer: PeerId) -> None:
        """A peer has not got it: somebody else is asked, or the same one later."""
        asked = self._asked.get(root)
        if asked is not None and asked.peer == peer:
            asked.peer = None

    def lost(self, peer: PeerId) -> None:
        """A connection is over."""
        for asked in self._asked.values():
            asked.tried.discard(peer)
            if asked.peer == peer:
                asked.peer, asked.last_ms = None, -LONGEST_MS

    def choose(
        self, wanted: Collection[bytes], peers: Sequence[PeerId], now_ms: int
    ) -> Iterable[tuple[PeerId, tuple[bytes, ...]]]:
        """What to ask whom for now, a few roots per message."""
        for root in [root for root in self._asked if root not in wanted]:
            del self._asked[root]
        if not peers:
            return
        load = {peer: 0 for peer in peers}
        for asked in self._asked.values():
            if asked.peer in load and asked.is_waited_for(now_ms):
                load[asked.peer] += 1
        # Somebody with half of his share left to answer is not asked: one question for each answer would flood him.
        peers = [peer for peer in peers if load[peer] <= OUTSTANDING // 2]
        batches: dict[PeerId, list[bytes]] = {}
        for root in wanted:
            if self._left <= 0:
                break
            asked = self._asked.setdefault(root, _Asked(now_ms))
            free = [peer for peer in peers if load[peer] < OUTSTANDING]
            if not free:
                break
            if asked.is_waited_for(now_ms):
                continue
            new = [peer for peer in free if peer not in asked.tried]
            if not new and not asked.is_next_round_due(now_ms):
                continue
            if not new:
                asked.tried.clear()
                asked.rounds += 1
            hint = self._hints.get(root)
            peer = hint if hint is not None and hint in new else self._chance.choice(new or free)
            asked.peer, asked.last_ms = peer, now_ms
            asked.tried.add(peer)
            load[peer] += 1
            self._left -= 1
            batches.setdefault(peer, []).append(root)
        for peer, roots in batches.items():
            for at in range(0, len(roots), MAX_ROOTS):
                yield peer, tuple(roots[at : at + MAX_ROOTS])
