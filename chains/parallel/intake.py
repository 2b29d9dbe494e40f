"""Proofs, bodies and transfers coming in, from peers or from the node's own callers: judged, kept, written down.

Nothing about a chain's content scores a peer. What does: bytes that are no message, a proof that fails a check which
every node can make, a body that has not the root it was sent for.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from chains.accounts.mempool import Taken
from chains.accounts.transfer import read_transfer
from chains.parallel import messages as wire
from chains.parallel.asking import Asking
from chains.parallel.body import Body, read_body_of, serialize_body
from chains.parallel.knowledge import Knowledge, Planted
from chains.parallel.loading import BODIES, PROOFS
from chains.parallel.messages import ProofMessage
from chains.parallel.outbox import Outbox
from chains.parallel.parameters import NetworkParameters
from chains.parallel.proof import InvalidProofError, read_proof
from chains.parallel.tree import Entry
from chains.peers.core import Broadcast, Note, PeerId, Score, Tell
from chains.primitives.hashes import displayed
from chains.primitives.serialize import MalformedError

AHEAD_S = 7_200  # how far a proof's time may be ahead of the clock, as Bitcoin's

MALFORMED_POINTS, INVALID_POINTS, WRONG_BODY_POINTS = 20, 100, 50
CALLER = PeerId(0)
"""Where a proof comes from that a caller submitted."""


class Intake:
    """The core hands on what `out` collects, and follows the best path afterwards."""

    def __init__(self, parameters: NetworkParameters, known: Knowledge, asking: Asking, out: Outbox) -> None:
        self._parameters = parameters
        self._known = known
        self._asking = asking
        self._out = out

    def proof_message(self, peer: PeerId, message: ProofMessage) -> None:
        entry = self._proof_of_peer(peer, message.proof)
        if entry is not None:
            for root, stored in message.bodies:
                if root in entry.missing:
                    self.body(peer, root, stored)
                elif root not in self._known.to_give and entry.proof is not None and entry.proof.has_root(root):
                    body = self._judge(peer, root, stored)
                    if body is not None:
                        self._known.carry(root, body)

    def path(self, peer: PeerId, more: bool, wires: Sequence[bytes]) -> None:
        last: Entry | None = None
        for proof_wire in wires:
            last = self._proof_of_peer(peer, proof_wire)
            if last is None:
                return
        if more and last is not None:
            self._asking.path(peer, last.id)

    def _proof_of_peer(self, peer: PeerId, proof_wire: bytes) -> Entry | None:
        """A peer's proof. None when it is none (then the peer is scored), an orphan, or too far in the future."""
        try:
            return self.proof(proof_wire, peer).entry
        except InvalidProofError as error:
            if error.reason not in ("orphan", "time-too-new"):
                self._out.add(Score(peer, INVALID_POINTS, error.reason))
        return None

    def proof(self, proof_wire: bytes, peer: PeerId = CALLER) -> Planted:
        """A proof into the tree, with the orphans that waited for it, and onto the disk. Raises InvalidProofError;
        an orphan is kept for a while and what comes before it asked for. `follow` is to be called afterwards."""
        proof = read_proof(proof_wire, self._parameters)
        if proof.time > self._asking.now_ms // 1000 + AHEAD_S:
            self._note(logging.INFO, "proof from the future", proof=displayed(proof.id), time=proof.time)
            raise InvalidProofError("time-too-new")
        try:
            planted = self._known.plant(proof)
        except InvalidProofError as error:
            if error.reason == "orphan" and self._known.orphans.add(proof.id, proof.previous, peer, proof):
                self._asking.path(peer)
            raise
        for new in planted.new:
            self._out.put(PROOFS, new.id, new.wire)
            for root, body in self._known.take_spare(new.id):
                self.keep_body(root, body)
        for root in planted.entry.missing:
            self._asking.fetching.hint(root, peer)
        for source, reason in planted.bad:
            if source in self._asking.peers:
                self._out.add(Score(PeerId(source), INVALID_POINTS, reason))
        return planted

    def body(self, peer: PeerId, root: bytes, stored: bytes) -> None:
        # Otherwise it came twice, or nobody asked.
        body = self._judge(peer, root, stored) if root in self._known.tree.wanted() else None
        if body is not None:
            self.keep_body(root, body)

    def _judge(self, peer: PeerId, root: bytes, stored: bytes) -> Body | None:
        """A peer's body, or None and a score when it is not the one of this root."""
        try:
            return read_body_of(root, stored)
        except MalformedError as error:
            self._asking.fetching.refused(root, peer)
            self._out.add(Score(peer, WRONG_BODY_POINTS, str(error)))
            return None

    def keep_body(self, root: bytes, body: Body) -> None:
        """A body that has this root, onto the disk too. `follow` is to be called afterwards."""
        if root in self._known.bodies:
            return
        self._out.put(BODIES, root, serialize_body(body))
        self._asking.fetching.arrived(root)
        for entry in self._known.keep(root, body):
            self._note(logging.ERROR, "missing body came late", proof=displayed(entry.id), height=entry.height)

    def transfer(self, peer: PeerId, context: bytes, data: bytes) -> None:
        chain = self._known.chains.get(context)
        if chain is not None and isinstance(chain.mempool.add(read_transfer(data)), Taken):
            self._out.add(Broadcast(wire.TRANSFER, context + data, (peer,)))
            self._out.add(Tell("template"))

    def _note(self, level: int, event: str, **fields: object) -> None:
        self._out.add(Note(level, event, fields))
