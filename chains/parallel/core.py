"""The node of a consensus-proof network, without its edges: events in, effects out (chains/peers/core.py).

It takes proofs from peers and callers (intake.py), asks for bodies and for what comes before an orphan (asking.py),
lets its chains follow the best path, tells others of a new best proof once that is complete, and answers calls
(calls.py reads, writes.py changes). What it knows is in knowledge.py.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from chains.accounts.transfer import Transfer
from chains.accounts.wallet import CallRefusedError
from chains.parallel import messages as wire
from chains.parallel.asking import Asking
from chains.parallel.body import serialize_body
from chains.parallel.fetching import Chance
from chains.parallel.following import FollowedChain
from chains.parallel.intake import CALLER, MALFORMED_POINTS, Intake
from chains.parallel.knowledge import Knowledge
from chains.parallel.loading import EXCUSED, TIP, TRANSFERS, Records, load
from chains.parallel.offers import Candidate
from chains.parallel.outbox import Outbox
from chains.parallel.own_transfers import OwnTransfers
from chains.parallel.parameters import ChainParameters, NetworkParameters
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
OWN_PER_SYNC = 100
ANSWER_BYTES = 4_000_000  # of bodies, for one question; what is left out is asked for again
DEEP_REORGANISATION = 6


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
        self.candidates: dict[bytes, Candidate] = {}  # aux-mode data handed out, by hash
        self._own = OwnTransfers()
        self._ticks = 0
        self._out = Outbox()
        self.asking = Asking(self.tree, chance, self._out)
        self.intake = Intake(network, self.known, self.asking, self._out)

    @property
    def peers(self) -> Mapping[PeerId, None]:
        return self.asking.peers

    @property
    def chains(self) -> Mapping[bytes, FollowedChain]:
        """By context."""
        return self.known.chains

    # --- events -----------------------------------------------------------------------------------------------------

    def on(self, now_ms: int, event: Event) -> Iterable[Effect]:
        self.now_ms = self.asking.now_ms = max(self.now_ms, now_ms)
        match event:
            case Started(records):
                self._start(records)
            case Connected(peer):
                self.asking.came(peer)
            case Disconnected(peer):
                self.known.orphans.forget_source(peer)
                self.asking.left(peer)
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

    def _tick(self) -> None:
        self._ticks += 1
        self.asking.fetching.tick()
        if self._ticks % SYNC_TICKS == 0 and self.peers:
            self.asking.path_of_somebody()
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

    def own(self, chain: FollowedChain, transfer_id: bytes, transfer: Transfer) -> None:
        """Keeps a caller's transfer and tells the peers. Raises CallRefusedError when there are too many."""
        keyed = self._own.keep(chain, transfer_id, transfer)
        self._out.put(TRANSFERS, transfer_id, keyed)
        self.emit(Broadcast(wire.TRANSFER, keyed))

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
                    self.intake.proof_message(peer, wire.decode_proof(payload))
                case wire.GET_PATH:
                    path = self.tree.wires_after(wire.decode_ids(payload))
                    self.emit(Send(peer, wire.PATH, wire.encode_path(path)))
                case wire.PATH:
                    self.intake.path(peer, *wire.decode_path(payload))
                case wire.GET_BODIES:
                    self._tell_bodies(peer, wire.decode_ids(payload))
                case wire.BODY:
                    self.intake.body(peer, *wire.decode_keyed(payload))
                case wire.NO_BODY:
                    self.asking.fetching.refused(wire.decode_keyed(payload)[0], peer)
                case wire.TRANSFER:
                    self.intake.transfer(peer, *wire.decode_keyed(payload))
        except MalformedError as error:
            self.emit(Score(peer, MALFORMED_POINTS, f"{name}: {error}"))
        self.follow(peer)

    def _excuse(self) -> None:
        """Goes on without bodies that nobody has, on disk too: a restart does not wait for them again."""
        due_ms = self.now_ms - EXCUSED_AFTER_MS
        while entry := self.known.excusable(lambda root: self.asking.fetching.since_ms(root, self.now_ms), due_ms):
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
        self.asking.bodies()

    def _relay(self, entry: Entry, source: PeerId) -> None:
        assert entry.proof is not None
        roots = [root for _, root in entry.proof.manifest.roots]
        message = wire.proof_message(entry.proof.wire, roots, self.known.to_give)
        besides = (source,) if source in self.peers else ()
        self.emit(Broadcast(wire.PROOF, message.encode(), besides))
