"""What a node has asked its peers for: blocks by id, and blocks that arrived without their votes or their body.

Pure bookkeeping; the core sends what this says. Whatever is asked for is asked of one peer, then of another, a few
times over; a peer's list of a chain is worked off in batches, and asked for anew when a batch does not come.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from chains.bk.messages import MAX_BLOCKS_ASKED, Offer
from chains.peers.core import PeerId
from chains.votes.vote import Vote

RETRY_MS = 4_000
PACE_MS = 100
"""Between two batches of one peer's list: 160 blocks a second, which is within the rates of messages.py."""

MAX_TRIES = 5
MAX_UNFINISHED_OF_PEER = MAX_BLOCKS_ASKED
MAX_WANTED = 2_000
SEEN_PER_PEER = 4_096


@dataclass(eq=False, slots=True)
class Unfinished:
    """A block whose predecessor is known and whose own claims hold, but of which something is missing. `votes` are
    those that came with it and are not in the graph yet; `sender` answers for the block, `peers` may have the rest."""

    offer: Offer
    body: bytes | None
    votes: dict[bytes, Vote]
    sender: PeerId | None
    peers: list[PeerId]
    asked_ms: int
    tries: int = 1


@dataclass(eq=False, slots=True)
class Peer:
    """One connection. `pushed` are the votes it sent unasked; `queue` what it listed and we lack, `out` the part of it
    that was asked for, `more` whether its list was cut short; `votes_due` votes were asked of it and have not come."""

    pushed: OrderedDict[bytes, None] = field(default_factory=OrderedDict)
    queue: deque[bytes] = field(default_factory=deque)
    out: set[bytes] = field(default_factory=set)
    asked_ms: int = 0
    chain_asked_ms: int = -RETRY_MS
    more: bool = False
    votes_due: int = 0

    def push(self, vote: bytes) -> bool:
        """Note that this peer sent a vote unasked. Whether for the first time."""
        if vote in self.pushed:
            return False
        self.pushed[vote] = None
        if len(self.pushed) > SEEN_PER_PEER:
            self.pushed.popitem(last=False)
        return True

    def next_batch(self, known: object, now_ms: int) -> tuple[bytes, ...]:
        """The next ids to ask this peer for; empty while a batch is out or nothing is left. `known` holds ids."""
        if self.out:
            return ()
        batch: list[bytes] = []
        while self.queue and len(batch) < MAX_BLOCKS_ASKED:
            block = self.queue.popleft()
            if block not in known:  # type: ignore[operator]
                batch.append(block)
        self.out = set(batch)
        self.asked_ms = now_ms
        return tuple(batch)


class Fetching:
    """All of a node's open questions."""

    def __init__(self) -> None:
        self.peers: dict[PeerId, Peer] = {}
        self.unfinished: OrderedDict[bytes, Unfinished] = OrderedDict()
        self._wanted: OrderedDict[bytes, int] = OrderedDict()  # block ids, when they were asked for

    def want(self, blocks: tuple[bytes, ...], now_ms: int) -> tuple[bytes, ...]:
        """Of these blocks those that were not asked for a moment ago; they are, now."""
        fresh = tuple(b for b in blocks if now_ms - self._wanted.get(b, -RETRY_MS) >= RETRY_MS)
        for block in fresh:
            self._wanted[block] = now_ms
            self._wanted.move_to_end(block)
        while len(self._wanted) > MAX_WANTED:
            self._wanted.popitem(last=False)
        return fresh

    def is_wanted(self, block: bytes) -> bool:
        """Whether a block was asked for: then it is welcome however deep, and however many siblings it has."""
        return block in self._wanted

    def is_listed(self, block: bytes) -> bool:
        """Whether a block is part of a list that is being worked off."""
        return any(block in peer.out for peer in self.peers.values())

    def arrived(self, block: bytes) -> None:
        """A block is known now, or known to be bad."""
        self._wanted.pop(block, None)
        self.unfinished.pop(block, None)
        for peer in self.peers.values():
            peer.out.discard(block)

    def keep(self, offer: Offer, votes: dict[bytes, Vote], peer: PeerId, now_ms: int) -> Unfinished:
        """The entry of an incomplete block, with what this offer adds to it."""
        entry = self.unfinished.get(offer.id)
        if entry is None:
            entry = self.unfinished[offer.id] = Unfinished(offer, offer.body, votes, peer, [peer], now_ms)
            of_peer = [block for block, one in self.unfinished.items() if one.sender == peer]
            if len(of_peer) > MAX_UNFINISHED_OF_PEER:  # its own, so that nobody can drive out what others sent
                del self.unfinished[of_peer[0]]
            return entry
        if entry.offer.block != offer.block:
            return entry
        entry.votes.update(votes)
        if entry.body is None:
            entry.body = offer.body
        if peer not in entry.peers:
            entry.peers.append(peer)
        return entry

    def forget_peer(self, peer: PeerId) -> None:
        self.peers.pop(peer, None)
        for entry in self.unfinished.values():
            if peer in entry.peers:
                entry.peers.remove(peer)

    def overdue(self, now_ms: int) -> tuple[list[Unfinished], list[PeerId]]:
        """Unfinished blocks to ask for again, each counted as tried; those tried often enough, or whose every source is
        gone, are dropped, and who sent them is told."""
        due, senders = [], []
        for block, entry in list(self.unfinished.items()):
            if now_ms - entry.asked_ms < RETRY_MS:
                continue
            if entry.tries >= MAX_TRIES or not entry.peers:
                del self.unfinished[block]
                self._wanted.pop(block, None)
                if entry.sender is not None:
                    senders.append(entry.sender)
                continue
            entry.tries += 1
            entry.asked_ms = now_ms
            entry.peers.append(entry.peers.pop(0))
            due.append(entry)
        return due, senders

    def stalled(self, now_ms: int) -> list[PeerId]:
        """Peers whose batch did not come in time; it is given up."""
        late = [peer for peer, state in self.peers.items() if state.out and now_ms - state.asked_ms >= RETRY_MS]
        for peer in late:
            state = self.peers[peer]
            for block in state.out:
                self._wanted.pop(block, None)
            state.out.clear()
            state.queue.clear()
            state.more = False
        return late

    @property
    def syncing(self) -> bool:
        """Whether a peer's list of a chain is being worked off."""
        return any(peer.queue or peer.out or peer.more for peer in self.peers.values())

    @property
    def busy(self) -> bool:
        """Whether anything is outstanding."""
        return bool(self.unfinished) or any(peer.out for peer in self.peers.values())
