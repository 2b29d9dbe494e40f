"""What a node of a consensus-proof network knows: proofs, bodies, orphans, and the chains that it follows along them.

No messages and no clock: the node (core.py) feeds it and tells others what changed.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from chains.parallel.body import Body, root_of
from chains.parallel.chain_state import Carried
from chains.parallel.following import FollowedChain
from chains.parallel.parameters import ChainParameters, NetworkParameters
from chains.parallel.proof import ConsensusProof, InvalidProofError
from chains.parallel.tree import Entry, ProofTree
from chains.votes.waiting import Waiting
from chains.walk.walk import Moved

MAX_ORPHANS, MAX_ORPHANS_OF_PEER = 500, 100
MAX_SPARE = 64
MAX_CARRIED = 256  # each came along with a proof, so none is larger than 100 kB


@dataclass(frozen=True, slots=True)
class Planted:
    """What came of a proof: its place, all proofs that are new (orphans that waited for it among them), and orphans
    that turned out bad: (source, reason)."""

    entry: Entry
    new: tuple[ConsensusProof, ...]
    bad: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Followed:
    """How the chains moved: whether there is another best proof, and each chain's move, where one did."""

    new_best: bool
    moves: tuple[tuple[FollowedChain, Moved[Carried]], ...]


class Knowledge:
    """`chains` by context."""

    def __init__(self, network: NetworkParameters, chains: Sequence[ChainParameters]) -> None:
        self.bodies: dict[bytes, Body] = {}
        starts = {chain.context: chain.start or network.genesis for chain in chains}
        if len(starts) != len(chains):
            raise ValueError("two chains of one context")
        self.tree = ProofTree(network, starts, self.bodies.__contains__)
        self.chains = {chain.context: FollowedChain(network, chain, self.tree, self.bodies.get) for chain in chains}
        self.orphans: Waiting[ConsensusProof] = Waiting(MAX_ORPHANS, MAX_ORPHANS_OF_PEER)
        self._carried: dict[bytes, Body] = {}
        self.to_give: Mapping[bytes, Body] = ChainMap(self.bodies, self._carried)
        """Every body that a peer may have, by root."""
        self._spare: dict[bytes, Body] = {}
        self._late: list[tuple[Entry, bytes]] = []  # (entry, root) whose chain has to be walked anew
        self._followed = self.tree.best

    def plant(self, proof: ConsensusProof) -> Planted:
        """Puts a proof into the tree, and the orphans that waited for it. Raises InvalidProofError for the proof
        itself; `orphan` when the one before it is unknown."""
        new: list[ConsensusProof] = []
        bad: list[tuple[int, str]] = []
        entry = self._grow(proof, new)
        ready = [entry.id]
        while ready:
            for source, orphan in self.orphans.take(ready.pop()):
                try:
                    ready.append(self._grow(orphan, new).id)
                except InvalidProofError as error:
                    bad.append((source, error.reason))
        return Planted(entry, tuple(new), tuple(bad))

    def _grow(self, proof: ConsensusProof, new: list[ConsensusProof]) -> Entry:
        known = self.tree.get(proof.id)
        if known is not None:
            return known
        entry = self.tree.add(proof)
        new.append(proof)
        for chain in self.chains.values():
            chain.know(entry)
        return entry

    def carry(self, root: bytes, body: Body) -> None:
        """A body of a chain that is not followed, which came along with a proof: passed on for a while, so that a
        follower behind this node gets it. The oldest go first."""
        self._carried[root] = body
        while len(self._carried) > MAX_CARRIED:
            del self._carried[next(iter(self._carried))]

    def spare(self, bodies: Iterable[Body]) -> None:
        """Bodies of a caller's proof that came before the one it stands on: kept for a while."""
        for body in bodies:
            self._spare[root_of(body)] = body
        while len(self._spare) > MAX_SPARE:
            del self._spare[next(iter(self._spare))]

    def take_spare(self, proof_id: bytes) -> list[tuple[bytes, Body]]:
        """Those that a proof lacks."""
        entry = self.tree.get(proof_id)
        assert entry is not None
        return [(root, self._spare.pop(root)) for root in list(entry.missing) if root in self._spare]

    def keep(self, root: bytes, body: Body) -> tuple[Entry, ...]:
        """Keeps a body that has this root; the proofs that were excused for the lack of it."""
        if root in self.bodies:
            return ()
        self.bodies[root] = body
        late = self.tree.body_arrived(root)
        self._late += [(entry, root) for entry in late]
        return late

    def excusable(self, since_ms: Callable[[bytes], int], due_ms: int) -> Entry | None:
        """A proof that may be excused: enough others stand on it, and what it lacks has been asked for long enough."""
        overdue = self.tree.overdue()
        return next((one for one in overdue if all(since_ms(root) <= due_ms for root in one.missing)), None)

    def lacking(self, entry: Entry) -> list[str]:
        """Names of the chains whose body a proof lacks."""
        contexts = [context for context, root in entry.carried.items() if root in entry.missing]
        return sorted(self.chains[context].parameters.name for context in contexts)

    def follow(self) -> Followed:
        """Moves every followed chain to the best path; from further back where a body came late."""
        new_best, self._followed = self.tree.best is not self._followed, self.tree.best
        late, self._late = self._late, []
        moves: list[tuple[FollowedChain, Moved[Carried]]] = []
        for chain in self.chains.values():
            moved = [chain.move()]
            carried = [entry for entry, root in late if entry.carried.get(chain.context) == root]
            mine = [entry for entry in carried if entry.id in chain.walk]
            if mine:
                parent = min(mine, key=lambda entry: entry.height).parent
                assert parent is not None
                moved.append(chain.move(back_to=parent))
            moves += [(chain, one) for one in moved if one.undone or one.done]
        return Followed(new_best, tuple(moves))
