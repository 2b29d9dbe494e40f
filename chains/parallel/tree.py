"""The tree of consensus proofs: which are known, which may be built on, and which is best.

Best is the most cumulative work, 2^256 / (target + 1) per proof; among equals the one that could be built on first.
Nothing inside a chain's body counts, so nodes that follow different chains agree on one path.

A node that follows a chain holds a proof until it has the chain's body: it neither builds on it nor relays it, nor
anything on top of it. Missing data does that, bad content never, or chains would part. A miner who hides a body while
others, who do not follow the chain, build on his proof could stall its followers for ever: a held proof with
EXCUSED_ABOVE proofs on top may be excused, and what is missing counts as a void until it arrives.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from chains.parallel.parameters import NetworkParameters
from chains.parallel.proof import ConsensusProof, InvalidProofError
from chains.primitives.target import bits_to_target, work_of

EXCUSED_ABOVE = 6
MEDIAN_OF = 11  # as Bitcoin's median time past


@dataclass(slots=True)
class Entry:
    """A proof in its place. `proof` is None for genesis only. `carried` are the roots of the chains that this node
    follows, by context; `missing` those of them whose body it has not got; `started` the followed chains that begin at
    or below this proof. `available` says that the proof and all below it are complete or excused, `order` since when.
    """

    id: bytes
    proof: ConsensusProof | None
    parent: Entry | None
    height: int
    work: int
    anchor_time_s: int
    started: frozenset[bytes]
    carried: Mapping[bytes, bytes]
    missing: set[bytes]
    excused: bool = False
    available: bool = False
    order: int = 0
    children: list[Entry] = field(default_factory=list)

    @property
    def time_s(self) -> int:
        return self.proof.time if self.proof is not None else 0


class ProofTree:
    """Every proof that stands on genesis. `path` is the best path by height, from genesis to `best`; `top` has the most
    work of all, held or not. `starts` are the chains that this node follows: by context the proof after which each
    begins; `has_body` says whether the body of a root is there.
    """

    def __init__(
        self,
        parameters: NetworkParameters,
        starts: Mapping[bytes, bytes] | None = None,
        has_body: Callable[[bytes], bool] = lambda root: False,
    ) -> None:
        self.parameters = parameters
        self._starts = dict(starts or {})
        self._has_body = has_body
        started = self._started(frozenset(), parameters.genesis)
        self.genesis = Entry(parameters.genesis, None, None, 0, 0, 0, started, {}, set(), available=True)
        self.best = self.top = self.genesis
        self.path: list[bytes] = [self.genesis.id]
        self._entries: dict[bytes, Entry] = {self.genesis.id: self.genesis}
        self._lacking: dict[bytes, set[bytes]] = {}  # root -> ids of entries that wait for its body
        self._frontier: dict[bytes, Entry] = {}  # lack a body, and stand on an available proof
        self._order = 0  # how many became available

    def __len__(self) -> int:
        """How many proofs are known, genesis not counted."""
        return len(self._entries) - 1

    def __contains__(self, proof_id: bytes) -> bool:
        return proof_id in self._entries

    def get(self, proof_id: bytes) -> Entry | None:
        return self._entries.get(proof_id)

    def on_path(self, entry: Entry) -> bool:
        """Whether an entry is on the best path."""
        return entry.height < len(self.path) and self.path[entry.height] == entry.id

    def wanted(self) -> Collection[bytes]:
        """Roots of the bodies that some proof lacks, in the order in which they were first missed."""
        return self._lacking.keys()

    def held(self) -> int:
        """How many proofs are known but may not be built on."""
        return len(self) - self._order

    def locator(self, first: bytes | None, limit: int) -> list[bytes]:
        """Proofs that a peer may know, the most wanted first: `first` or the top, ten of the best path from its tip,
        then ever further apart, and genesis."""
        names = [first if first is not None else self.top.id]
        at, step = len(self.path) - 1, 1
        while at > 0 and len(names) < limit - 1:
            names.append(self.path[at])
            step = step * 2 if len(names) > 10 else 1
            at -= step
        return [*names, self.genesis.id]

    def wires_after(self, locator: Sequence[bytes]) -> Iterator[bytes]:
        """The best path above the first proof of a locator that is on it, oldest first."""
        known = (self._entries.get(name) for name in locator)
        fork = next((entry for entry in known if entry is not None and self.on_path(entry)), self.genesis)
        for name in self.path[fork.height + 1 :]:
            proof = self._entries[name].proof
            assert proof is not None
            yield proof.wire

    def next_bits(self, entry: Entry) -> int:
        """What a child of this entry must state."""
        return self.parameters.next_bits(entry.height, entry.time_s, entry.anchor_time_s)

    def least_time_s(self, entry: Entry) -> int:
        """The earliest time a child may have: one second after the median of the last eleven."""
        times: list[int] = []
        at: Entry | None = entry
        while at is not None and at.proof is not None and len(times) < MEDIAN_OF:
            times.append(at.proof.time)
            at = at.parent
        return sorted(times)[len(times) // 2] + 1 if times else 0

    def problem(self, proof: ConsensusProof) -> str | None:
        """Why a proof has no place in the tree, first failing check first."""
        parent = self._entries.get(proof.previous)
        if parent is None:
            return "orphan"
        if proof.bits != self.next_bits(parent):
            return "bad-bits"
        if proof.time < self.least_time_s(parent):
            return "time-too-old"
        return None if proof.claims_height(parent.height + 1) else "coinbase-height"

    # --- changing ---------------------------------------------------------------------------------------------------

    def add(self, proof: ConsensusProof) -> Entry:
        """Puts a proof in its place. One that is known changes nothing. Raises InvalidProofError; `orphan` when the one
        before it is unknown."""
        known = self._entries.get(proof.id)
        if known is not None:
            return known
        reason = self.problem(proof)
        if reason is not None:
            raise InvalidProofError(reason)
        parent = self._entries[proof.previous]
        work = parent.work + work_of(bits_to_target(proof.bits))
        anchor_time_s = parent.anchor_time_s if parent.height else proof.time
        carried = {context: root for context, root in proof.manifest.roots if context in parent.started}
        missing = {root for root in carried.values() if not self._has_body(root)}
        started = self._started(parent.started, proof.id)
        height = parent.height + 1
        entry = Entry(proof.id, proof, parent, height, work, anchor_time_s, started, carried, missing)
        self._entries[entry.id] = entry
        self.top = max(self.top, entry, key=lambda one: one.work)
        parent.children.append(entry)
        for root in entry.missing:
            self._lacking.setdefault(root, set()).add(entry.id)
        self._settle([entry])
        return entry

    def body_arrived(self, root: bytes) -> tuple[Entry, ...]:
        """A body that was missing is there; the entries that were excused for the lack of it."""
        entries = sorted((self._entries[name] for name in self._lacking.pop(root, ())), key=lambda one: one.height)
        for entry in entries:
            entry.missing.discard(root)
        self._settle(entries)
        return tuple(entry for entry in entries if entry.excused)

    def overdue(self) -> list[Entry]:
        """Entries that lack a body, hold up what stands on them, and have EXCUSED_ABOVE proofs on top."""
        return [entry for entry in self._frontier.values() if _is_below(entry, EXCUSED_ABOVE)]

    def excuse(self, entry: Entry) -> None:
        """What an entry lacks counts as a void from now on."""
        entry.excused = True
        self._settle([entry])

    def _started(self, before: frozenset[bytes], proof_id: bytes) -> frozenset[bytes]:
        begin = {context for context, start in self._starts.items() if start == proof_id}
        return before | begin if begin else before

    def prefer(self, proof_id: bytes) -> None:
        """Among proofs of most work that one was first: what a node remembers of the time before it was started."""
        entry = self._entries.get(proof_id)
        if entry is not None and entry.available and entry.work == self.best.work:
            entry.order = 0
            self._choose([entry])

    def _settle(self, entries: Sequence[Entry]) -> None:
        """Makes entries and what stands on them available as far as they may be, and chooses the best anew."""
        became: list[Entry] = []
        waiting = deque(entries)
        while waiting:
            at = waiting.popleft()
            if at.available or at.parent is None or not at.parent.available:
                continue
            if at.missing and not at.excused:
                self._frontier[at.id] = at
                continue
            self._frontier.pop(at.id, None)
            self._order += 1
            at.available, at.order = True, self._order
            became.append(at)
            waiting += at.children
        self._choose(became)

    def _choose(self, available: list[Entry]) -> None:
        best = min([self.best, *available], key=lambda entry: (-entry.work, entry.order))
        if best is self.best:
            return
        self.best = best
        tail: list[bytes] = []
        at = best
        while at.parent is not None and not self.on_path(at):
            tail.append(at.id)
            at = at.parent
        del self.path[at.height + 1 :]
        self.path.extend(reversed(tail))


def _is_below(entry: Entry, proofs: int) -> bool:
    """Whether so many proofs stand one on another on an entry."""
    row = [entry]
    for _ in range(proofs):
        row = [child for one in row for child in one.children]
    return bool(row)
