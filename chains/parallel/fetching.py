"""Which bodies to ask whom for, and when again: a value, without messages or clocks.

Every missing body is asked for at once, from somebody who was not asked before if there is one. Who has not answered
within RETRY_MS was the wrong one. A body that nobody has is asked for ever more rarely, but always: it may come late.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from chains.parallel.messages import MAX_ROOTS
from chains.peers.core import PeerId

RETRY_MS = 3_000
LONGEST_MS = 60_000
OUTSTANDING = 32  # bodies asked of one peer at a time; a peer's open offers are limited too
PER_TICK = 400  # bodies asked for between two ticks, well below the rate at which peers must take them


class Chance(Protocol):
    """What is drawn: `random.Random` has it."""

    def choice(self, seq: Sequence[PeerId], /) -> PeerId: ...


@dataclass(slots=True)
class _Asked:
    since_ms: int
    peer: PeerId | None = None
    due_ms: int = 0
    tries: int = 0
    tried: set[PeerId] = field(default_factory=set)


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

    def refused(self, root: bytes, peer: PeerId, now_ms: int) -> None:
        """A peer has not got it: somebody else is asked, or the same one later."""
        asked = self._asked.get(root)
        if asked is not None and asked.peer == peer:
            asked.peer = None
            asked.due_ms = now_ms if asked.tries == 1 else now_ms + self._pause_ms(asked)

    def lost(self, peer: PeerId) -> None:
        """A connection is over."""
        for asked in self._asked.values():
            asked.tried.discard(peer)
            if asked.peer == peer:
                asked.peer, asked.due_ms = None, 0

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
            if asked.peer in load and asked.due_ms > now_ms:
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
            if asked.due_ms > now_ms:
                continue
            peer = self._pick(asked, free, self._hints.get(root))
            asked.peer, asked.tries = peer, asked.tries + 1
            asked.due_ms = now_ms + self._pause_ms(asked)
            asked.tried.add(peer)
            load[peer] += 1
            self._left -= 1
            batches.setdefault(peer, []).append(root)
        for peer, roots in batches.items():
            for at in range(0, len(roots), MAX_ROOTS):
                yield peer, tuple(roots[at : at + MAX_ROOTS])

    def _pick(self, asked: _Asked, free: Sequence[PeerId], hint: PeerId | None) -> PeerId:
        if hint in free and hint not in asked.tried:
            assert hint is not None
            return hint
        new = [peer for peer in free if peer not in asked.tried]
        if not new:
            asked.tried.clear()
        return self._chance.choice(new or list(free))

    def _pause_ms(self, asked: _Asked) -> int:
        return min(RETRY_MS << min(max(0, asked.tries - 4), 10), LONGEST_MS)
