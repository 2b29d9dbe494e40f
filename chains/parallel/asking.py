"""What the node asks its peers for: the way to their best proof, and the bodies that are missing."""

from __future__ import annotations

from chains.parallel import messages as wire
from chains.parallel.fetching import Chance, Fetching
from chains.parallel.outbox import Outbox
from chains.parallel.tree import ProofTree
from chains.peers.core import PeerId, Send

PATH_MS = 1_000


class Asking:
    """`peers` are those who are there, in the order of their coming; the core sets `now_ms`. Which bodies are asked for
    is in `fetching`."""

    def __init__(self, tree: ProofTree, chance: Chance, out: Outbox) -> None:
        self.peers: dict[PeerId, None] = {}
        self.fetching = Fetching(chance)
        self.now_ms = 0
        self._tree = tree
        self._chance = chance
        self._out = out
        self._path_asked_ms: dict[PeerId, int] = {}

    def came(self, peer: PeerId) -> None:
        self.peers[peer] = None
        self.path(peer)
        self.bodies()

    def left(self, peer: PeerId) -> None:
        self.peers.pop(peer, None)
        self._path_asked_ms.pop(peer, None)
        self.fetching.lost(peer)
        self.bodies()

    def path(self, peer: PeerId, after: bytes | None = None) -> None:
        """Asks a peer for its best path, at most once a second. `after` is the last of a path that it has just sent,
        and that goes on: then at once."""
        if after is not None:
            self._path_asked_ms.pop(peer, None)
        if peer not in self.peers or self.now_ms - self._path_asked_ms.get(peer, -PATH_MS) < PATH_MS:
            return
        self._path_asked_ms[peer] = self.now_ms
        self._out.add(Send(peer, wire.GET_PATH, wire.encode_ids(self._tree.locator(after, wire.MAX_LOCATOR))))

    def path_of_somebody(self) -> None:
        """There has to be a peer."""
        self.path(self._chance.choice(list(self.peers)))

    def bodies(self) -> None:
        wanted = self._tree.wanted()
        for peer, roots in self.fetching.choose(wanted, list(self.peers), self.now_ms):
            self._out.add(Send(peer, wire.GET_BODIES, wire.encode_ids(roots)))
