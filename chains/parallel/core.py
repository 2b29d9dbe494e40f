"""The node of a consensus-proof network, without its edges: events in, effects out (chains/peers/core.py).

It takes proofs from peers and callers, asks for bodies and for what comes before an orphan, lets its chains follow the
best path, tells others of a new best proof once that is complete, and answers calls (calls.py reads, writes.py
changes). What it knows is in knowledge.py.

Nothing about a chain's content scores a peer. What does: bytes that are no message, a proof that fails a check which
every node can make, a body that has not the root it was sent for.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from chains.accounts.mempool import Taken
from chains.accounts.transfer import Transfer, read_transfer
from chains.accounts.wallet import CallRefusedError
from chains.parallel import messages as wire
from chains.parallel.body import Body, read_body_of, serialize_body
from chains.parallel.fetching import Chance, Fetching
from chains.parallel.following import FollowedChain
from chains.parallel.knowledge import Knowledge, Planted
from chains.parallel.loading import BODIES, EXCUSED, PROOFS, TIP, TRANSFERS, Records, load
from chains.parallel.messages import ProofMessage
from chains.parallel.offers import Candidate
from chains.parallel.outbox import Outbox
from chains.parallel.own_transfers import OwnTransfers
from chains.parallel.parameters import ChainParameters, NetworkParameters
from chains.parallel.proof import InvalidProofError, read_proof
from chains.parallel.tree import Entry
from chains.parallel.writes import WRITES
from chains.peers.core import (
    Answer,
    Asked,
    Broadcast,
    Connected,
    Disconnected,
    Effect,
    Event,
    Fired,
    Note,
    PeerId,
    Received,
    Refuse,
    Score,
    Send,
    SetTimer,
    Started,
    Tell,
    Write,
)
from chains.primitives.hashes import displayed
from chains.primitives.serialize import MalformedError
from chains.walk.walk import Outcome

TICK = "tick"
TICK_MS = 1_000
SYNC_TICKS = 5  # every so many ticks somebody is asked for his path: heals whatever was lost on the way
EXCUSED_AFTER_MS = 30_000  # how long a body is asked for before proofs on top can excuse it
AHEAD_S = 7_200  # how far a proof's time may be ahead of the clock, as Bitcoin's
OWN_PER_SYNC = 100
ANSWER_BYTES = 4_000_000  # of bodies, for one question; what is left out is asked for again
DEEP_REORGANISATION = 6

MALFORMED_POINTS, INVALID_POINTS, WRONG_BODY_POINTS = 20, 100, 50
CALLER = PeerId(0)
"""Where a proof comes from that a caller submitted."""


class ParallelCore:
    """One node. `wallet` holds the secrets of accounts by script; `tag` stands in the coinbases it offers."""

    def __init__(
        self,
        network: NetworkParameters,
        chains: Sequence[ChainParameters],
        chance: Chance,
        wallet: Mapping[bytes, bytes] | None = None,
        tag: bytes = b"/parapool/",
    ) -> None:
        self.parameters = network
        self.network = network.id
        self.genesis = network.genesis
        self.messages = wire.MESSAGES
        self.known = Knowledge(network, chains)
        self.tree = self.known.tree
        self.wallet = dict(wallet or {})
        self.tag = tag
        self.now_ms = 0
        self.peers: dict[PeerId, None] = {}  # in the order of their coming
        self.candidates: dict[bytes, Candidate] = {}  # aux-mode data handed out, by hash
        self._chance = chance
        self._fetching = Fetching(chance)
        self._own = OwnTransfers()
        self._path_asked_ms: dict[PeerId, int] = {}
        self._ticks = 0
        self._out = Outbox()

    @property
    def chains(self) -> Mapping[bytes, FollowedChain]:
        """By context."""
        return self.known.chains

    # --- events -----------------------------------------------------------------------------------------------------

    def on(self, now_ms: int, event: Event) -> Iterable[Effect]:
        self.now_ms = max(self.now_ms, now_ms)
        match event:
            case Started(records):
                self._start(records)
            case Connected(peer):
                self.peers[peer] = None
                self._ask_path(peer)
                self._fetch()
            case Disconnected(peer):
                self._lost(peer)
            case Received(peer, name, payload):
                self._received(peer, name, payload)
            case Fired():
                self._tick()
            case Asked(call, token, parameters):
                self._asked(call, token, parameters)
        return self._out.take()

    def emit(self, effect: Effect) -> None:
        """One more effect of the event at hand."""
        self._out.add(effect)

    def _note(self, level: int, event: str, **fields: Any) -> None:
        self.emit(Note(level, event, fields))

    def _lost(self, peer: PeerId) -> None:
        self.peers.pop(peer, None)
        self._path_asked_ms.pop(peer, None)
        self.known.orphans.forget_source(peer)
        self._fetching.lost(peer)
        self._fetch()

    def _tick(self) -> None:
        self._ticks += 1
        self._fetching.tick()
        if self._ticks % SYNC_TICKS == 0 and self.peers:
            self._ask_path(self._chance.choice(list(self.peers)))
            for keyed in self._own.waiting(OWN_PER_SYNC):  # to whoever came meanwhile, or lost them
                self.emit(Broadcast(wire.TRANSFER, keyed))
        self._excuse()
        self.follow()
        self.emit(SetTimer(TICK, self.now_ms + TICK_MS))

    def _asked(self, call: str, token: int, parameters: tuple[Any, ...]) -> None:
        try:
            if call not in WRITES:
                raise CallRefusedError(-32601, f"no such call: {call}")
            answer = WRITES[call](self, *parameters)
        except CallRefusedError as refused:
            self.emit(Refuse(token, refused.code, refused.reason))
        else:
            self.emit(Answer(token, answer))

    def _start(self, records: Records) -> None:
        bad, notes = load(self.known, self._own, self.parameters, records)
        if bad:
            self.emit(Write((), tuple(bad)))
        for note in notes:
            self.emit(note)
        self._note(logging.INFO, "node started", proofs=len(self.tree), height=self.tree.best.height)
        self.emit(SetTimer(TICK, self.now_ms + TICK_MS))

    # --- messages ---------------------------------------------------------------------------------------------------

    def _received(self, peer: PeerId, name: str, payload: bytes) -> None:
        try:
            match name:
                case wire.PROOF:
                    self._take_proof_message(peer, wire.decode_proof(payload))
                case wire.GET_PATH:
                    path = self.tree.wires_after(wire.decode_ids(payload))
                    self.emit(Send(peer, wire.PATH, wire.encode_path(path)))
                case wire.PATH:
                    self._take_path(peer, *wire.decode_path(payload))
                case wire.GET_BODIES:
                    self._tell_bodies(peer, wire.decode_ids(payload))
                case wire.BODY:
                    self._take_body(peer, *wire.decode_keyed(payload))
                case wire.NO_BODY:
                    self._fetching.refused(wire.decode_keyed(payload)[0], peer)
                case wire.TRANSFER:
                    self._take_transfer(peer, *wire.decode_keyed(payload))
        except MalformedError as error:
            self.emit(Score(peer, MALFORMED_POINTS, f"{name}: {error}"))
        self.follow(peer)

    def _take_proof_message(self, peer: PeerId, message: ProofMessage) -> None:
        entry = self._take_proof(peer, message.proof)
        if entry is not None:
            for root, stored in message.bodies:
                if root in entry.missing:
                    self._take_body(peer, root, stored)
                elif root not in self.known.to_give and entry.proof is not None and entry.proof.has_root(root):
                    body = self._judge(peer, root, stored)
                    if body is not None:
                        self.known.carry(root, body)

    def _take_path(self, peer: PeerId, more: bool, wires: Sequence[bytes]) -> None:
        last: Entry | None = None
        for proof_wire in wires:
            last = self._take_proof(peer, proof_wire)
            if last is None:
                return
        if more and last is not None:
            self._path_asked_ms.pop(peer, None)
            self._ask_path(peer, last.id)

    def _take_proof(self, peer: PeerId, proof_wire: bytes) -> Entry | None:
        """A peer's proof. None when it is none (then the peer is scored), an orphan, or too far in the future."""
        try:
            return self.take_proof(proof_wire, peer).entry
        except InvalidProofError as error:
            if error.reason not in ("orphan", "time-too-new"):
                self.emit(Score(peer, INVALID_POINTS, error.reason))
        return None

    def take_proof(self, proof_wire: bytes, peer: PeerId = CALLER) -> Planted:
        """A proof into the tree, with the orphans that waited for it, and onto the disk. Raises InvalidProofError;
        an orphan is kept for a while and what comes before it asked for. `follow` is to be called afterwards."""
        proof = read_proof(proof_wire, self.parameters)
        if proof.time > self.now_ms // 1000 + AHEAD_S:
            self._note(logging.INFO, "proof from the future", proof=displayed(proof.id), time=proof.time)
            raise InvalidProofError("time-too-new")
        try:
            planted = self.known.plant(proof)
        except InvalidProofError as error:
            if error.reason == "orphan" and self.known.orphans.add(proof.id, proof.previous, peer, proof):
                self._ask_path(peer)
            raise
        for new in planted.new:
            self._out.put(PROOFS, new.id, new.wire)
            for root, body in self.known.take_spare(new.id):
                self.keep_body(root, body)
        for root in planted.entry.missing:
            self._fetching.hint(root, peer)
        for source, reason in planted.bad:
            if source in self.peers:
                self.emit(Score(PeerId(source), INVALID_POINTS, reason))
        return planted

    def _take_body(self, peer: PeerId, root: bytes, stored: bytes) -> None:
        # Otherwise it came twice, or nobody asked.
        body = self._judge(peer, root, stored) if root in self.tree.wanted() else None
        if body is not None:
            self.keep_body(root, body)

    def _judge(self, peer: PeerId, root: bytes, stored: bytes) -> Body | None:
        """A peer's body, or None and a score when it is not the one of this root."""
        try:
            return read_body_of(root, stored)
        except MalformedError as error:
            self._fetching.refused(root, peer)
            self.emit(Score(peer, WRONG_BODY_POINTS, str(error)))
            return None

    def keep_body(self, root: bytes, body: Body) -> None:
        """A body that has this root, onto the disk too. `follow` is to be called afterwards."""
        if root in self.known.bodies:
            return
        self._out.put(BODIES, root, serialize_body(body))
        self._fetching.arrived(root)
        for entry in self.known.keep(root, body):
            self._note(logging.ERROR, "missing body came late", proof=displayed(entry.id), height=entry.height)

    def _take_transfer(self, peer: PeerId, context: bytes, data: bytes) -> None:
        chain = self.chains.get(context)
        if chain is not None and isinstance(chain.mempool.add(read_transfer(data)), Taken):
            self.emit(Broadcast(wire.TRANSFER, context + data, (peer,)))
            self.emit(Tell("template"))

    def _excuse(self) -> None:
        """Goes on without bodies that nobody has, on disk too: a restart does not wait for them again."""
        due_ms = self.now_ms - EXCUSED_AFTER_MS
        while entry := self.known.excusable(lambda root: self._fetching.since_ms(root, self.now_ms), due_ms):
            names = ",".join(self.known.lacking(entry))
            self._note(logging.ERROR, "body missing, void until it comes", proof=displayed(entry.id), chains=names)
            self._out.put(EXCUSED, entry.id, b"")
            self.tree.excuse(entry)

    # --- answers to peers -------------------------------------------------------------------------------------------

    def _tell_bodies(self, peer: PeerId, roots: Sequence[bytes]) -> None:
        left = ANSWER_BYTES
        for root in roots:
            body = self.known.to_give.get(root)
            if body is None:
                self.emit(Send(peer, wire.NO_BODY, root))
                continue
            stored = serialize_body(body)
            left -= len(stored)
            if left < 0:
                break
            self.emit(Send(peer, wire.BODY, root + stored))

    # --- asking peers -----------------------------------------------------------------------------------------------

    def _ask_path(self, peer: PeerId, first: bytes | None = None) -> None:
        """Asks a peer for its best path, at most once a second unless it answers in between."""
        if peer not in self.peers or self.now_ms - self._path_asked_ms.get(peer, -TICK_MS) < TICK_MS:
            return
        self._path_asked_ms[peer] = self.now_ms
        self.emit(Send(peer, wire.GET_PATH, wire.encode_ids(self.tree.locator(first, wire.MAX_LOCATOR))))

    def _fetch(self) -> None:
        wanted = self.tree.wanted()
        for peer, roots in self._fetching.choose(wanted, list(self.peers), self.now_ms):
            self.emit(Send(peer, wire.GET_BODIES, wire.encode_ids(roots)))

    def own(self, chain: FollowedChain, transfer_id: bytes, transfer: Transfer) -> None:
        """Keeps a caller's transfer and tells the peers. Raises CallRefusedError when there are too many."""
        keyed = self._own.keep(chain, transfer_id, transfer)
        self._out.put(TRANSFERS, transfer_id, keyed)
        self.emit(Broadcast(wire.TRANSFER, keyed))

    # --- following the best path ------------------------------------------------------------------------------------

    def follow(self, source: PeerId = CALLER) -> None:
        """Moves every followed chain to the best path, tells callers and peers what changed, asks for what lacks."""
        followed = self.known.follow()
        for chain, moved in followed.moves:
            undone = sum(done.outcome is Outcome.APPLIED for done in moved.undone)
            if undone:
                level = logging.WARNING if undone >= DEEP_REORGANISATION else logging.INFO
                name, height = chain.parameters.name, chain.state.height
                self._note(level, "blocks undone", chain=name, blocks=undone, height=height)
        if followed.new_best:
            best = self.tree.best
            self._out.put(TIP, b"best", best.id)
            gone = self._own.forget()
            if gone:
                self.emit(Write((), tuple((TRANSFERS, name) for name in gone)))
            if not best.children:  # otherwise this is a sync, and others ask for it when they want it
                self._relay(best, source)
        if followed.new_best or followed.moves:
            self.emit(Tell("tip"))
            self.emit(Tell("template"))
        self._fetch()

    def _relay(self, entry: Entry, source: PeerId) -> None:
        assert entry.proof is not None
        roots = [root for _, root in entry.proof.manifest.roots]
        message = wire.proof_message(entry.proof.wire, roots, self.known.to_give)
        besides = (source,) if source in self.peers else ()
        self.emit(Broadcast(wire.PROOF, message.encode(), besides))
