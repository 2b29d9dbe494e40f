"""The node of B_k as a value: `on(now_ms, event) → effects`; docs/protocol/bk.md says what travels.

What it knows is in `chain`; what it does with what comes in is in intake.py, what it answers in serving.py. It holds no
key that signs: whoever owns a leader key asks for a proposal, signs it, and hands the block in.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from chains.accounts.mempool import Taken
from chains.accounts.transfer import Transfer, read_transfer
from chains.bk import serving
from chains.bk.chain import BkChain
from chains.bk.fetching import PACE_MS, RETRY_MS, Fetching, Peer
from chains.bk.intake import Intake
from chains.bk.loading import load
from chains.bk.messages import (
    MAX_BLOCKS_ASKED,
    MAX_CHAIN,
    MAX_LOCATOR,
    Offer,
    ids,
    message_types,
    read_ids,
    read_offer,
    read_tip,
    read_votes,
)
from chains.bk.own_transfers import RESENT, OwnTransfers, wallet_of
from chains.bk.parameters import BkParameters
from chains.bk.verdicts import ACCEPTED, DUPLICATE, INCOMPLETE
from chains.peers.core import (
    Answer,
    Asked,
    Broadcast,
    Connected,
    Disconnected,
    Drop,
    Effect,
    Event,
    Fired,
    MessageType,
    Note,
    PeerId,
    Received,
    Refuse,
    Score,
    Send,
    SetTimer,
    Started,
    Write,
)
from chains.primitives.serialize import MalformedError
from chains.votes.rules import MAX_VOTES
from chains.votes.vote import ProofReader, VoteError, make_vote, read_mm2_work

GOSSIP, RETRY, FETCH = "gossip", "retry", "fetch"
MALFORMED_POINTS = 20
TRANSFER_POINTS = 5
UNASKED_POINTS = 10
REJECTED, METHOD_NOT_FOUND = -26, -32601


class Chance(Protocol):
    """What is drawn: `random.Random` has it."""

    def randrange(self, start: int, /) -> int: ...


class BkCore:
    """A NodeCore. `read_proof` is another one only where hashes are drawn instead of mined (pool/simulation). `secrets`
    are keys of accounts that this node may spend from, for its wallet calls."""

    def __init__(
        self,
        parameters: BkParameters,
        chance: Chance,
        read_proof: ProofReader = read_mm2_work,
        secrets: Iterable[bytes] = (),
    ) -> None:
        self.chain = BkChain(parameters)
        self.wallet = wallet_of(secrets)
        self.own = OwnTransfers(self.chain)
        self.network = parameters.context
        self.genesis = self.chain.graph.genesis.id
        self.messages: Sequence[MessageType] = message_types(parameters.body_bytes)
        self.fetching = Fetching()
        self.intake = Intake(self.chain, self.fetching, read_proof)
        self.now_ms = 0
        self._chance = chance
        self._read_proof = read_proof
        # Often enough that a lost vote costs a part of an interval, seldom enough that nobody notices.
        self._gossip_ms = min(60_000, max(1_000, parameters.interval_s * 100))
        self._retry_set = False
        self._caught_up = False
        self._readers: dict[str, Callable[[PeerId, bytes], None]] = {
            "tip": self._on_tip,
            "vote": self.intake.vote_of_peer,
            "block": lambda peer, payload: self.intake.block_of_peer(peer, read_offer(payload)),
            "getvotes": self._on_getvotes,
            "votes": self._on_votes,
            "getblocks": self._on_getblocks,
            "getbody": self._on_getbody,
            "body": lambda peer, payload: self.intake.body_of_peer(peer, payload[:32], payload[32:]),
            "getchain": self._on_getchain,
            "chain": self._on_chain,
            "transfer": self._on_transfer,
        }

    def on(self, now_ms: int, event: Event) -> Iterable[Effect]:
        self.now_ms = self.intake.now_ms = now_ms
        out = self.intake.out = []
        match event:
            case Received(peer, name, payload):
                self._received(peer, name, payload)
            case Fired(timer):
                self._fired(timer)
            case Asked(call, token, parameters):
                self._asked(call, token, parameters)
            case Connected(peer, hello):
                self._connected(peer, hello.genesis)
            case Disconnected(peer):
                self.fetching.forget_peer(peer)
                self.intake.waiting_votes.forget_source(peer)
                self.intake.waiting_blocks.forget_source(peer)
            case Started(records):
                self._started(records)
        if not self._retry_set and self.fetching.busy:
            self._retry_set = True
            out.append(SetTimer(RETRY, now_ms + RETRY_MS))
        return out

    @property
    def out(self) -> list[Effect]:
        return self.intake.out

    @property
    def catching_up(self) -> bool:
        """Whether this node has not yet caught up for the first time: nobody should mine by it. Never again afterwards,
        or a peer that lists blocks that are none could keep a node from being mined by."""
        return not self._caught_up and self.fetching.syncing

    # -- life -------------------------------------------------------------------------------------------------------

    def _started(self, records: Any) -> None:
        loaded = load(self.chain, records)
        self.chain.follow()
        unusable = loaded.unusable + self.own.restore(records)
        if unusable:
            self.out.append(Write(deletes=unusable))
            self.out.append(Note(logging.WARNING, "stored records left out", {"records": len(unusable)}))
        fields = {"height": self.chain.height, "blocks": loaded.blocks, "votes": loaded.votes}
        self.out.append(Note(logging.INFO, "chain loaded", fields))
        self.out.append(SetTimer(GOSSIP, self.now_ms + self._gossip_ms))

    def _connected(self, peer: PeerId, genesis: bytes) -> None:
        if genesis != self.genesis:
            self.out.append(Drop(peer, "another genesis: name, k, interval, subsidy or maturity differ"))
            return
        self.fetching.peers[peer] = Peer()
        self._greet(peer)

    def _greet(self, peer: PeerId) -> None:
        """What a peer may have missed: the tip with its votes, and transfers of this node's callers."""
        self.out.append(Send(peer, "tip", serving.tip_of(self.chain, wants_answer=True).serialize()))
        for transfer in self.own.waiting(RESENT):
            self.out.append(Send(peer, "transfer", transfer))

    def _fired(self, timer: str) -> None:
        if timer == GOSSIP:
            peers = sorted(self.fetching.peers)
            if peers:
                self._greet(peers[self._chance.randrange(len(peers))])
            self._caught_up = self._caught_up or not self.fetching.syncing
            gone = self.own.forget()
            if gone:
                self.out.append(Write(deletes=gone))
            self.out.append(SetTimer(GOSSIP, self.now_ms + self._gossip_ms))
        elif timer == FETCH:
            self._fetch_all()
        elif timer == RETRY:
            self._retry_set = False
            again, senders = self.fetching.overdue(self.now_ms)
            for entry in again:
                self.intake.ask_again(entry)
            for peer in senders:
                self.intake.score(peer, "block-not-completed")
            for peer in self.fetching.stalled(self.now_ms):
                self.intake.score(peer, "chain-not-given")
                self.intake.ask_chain(peer)

    # -- messages ---------------------------------------------------------------------------------------------------

    def _received(self, peer: PeerId, name: str, payload: bytes) -> None:
        if peer not in self.fetching.peers:  # dropped, or of another genesis
            return
        try:
            self._readers[name](peer, payload)
        except MalformedError:
            self.out.append(Score(peer, MALFORMED_POINTS, f"malformed-{name}"))
        if name in ("block", "votes", "body"):  # a batch may be complete
            self._fetch_all()

    def _on_tip(self, peer: PeerId, payload: bytes) -> None:
        tip, graph = read_tip(payload), self.chain.graph
        known = graph.blocks.get(tip.block)
        missing: list[bytes] = []
        if known is not None:
            missing = [vote for vote in tip.votes if graph.vote(vote) is None]
            if missing and known.height >= graph.best.height - 1:
                self.intake.ask_votes(peer, missing)
        elif tip.height > graph.best.height + 1:
            self.intake.ask_chain(peer)
        else:
            fresh = self.fetching.want((tip.block,), self.now_ms)
            if fresh:
                self.out.append(Send(peer, "getblocks", ids(fresh)))
        if tip.wants_answer and (missing or known is not graph.best or len(tip.votes) != len(known.votes)):
            self.out.append(Send(peer, "tip", serving.tip_of(self.chain, wants_answer=False).serialize()))

    def _on_getvotes(self, peer: PeerId, payload: bytes) -> None:
        for batch in serving.votes_payloads(self.chain, read_ids(payload, MAX_VOTES)):
            self.out.append(Send(peer, "votes", batch))

    def _on_votes(self, peer: PeerId, payload: bytes) -> None:
        """No more than were asked for: reading a vote is what costs most here."""
        wires, state = read_votes(payload), self.fetching.peers[peer]
        if len(wires) > state.votes_due:
            self.out.append(Score(peer, UNASKED_POINTS, "votes-not-asked-for"))
        for wire in wires[: state.votes_due]:
            self.intake.vote_of_peer(peer, wire)
        state.votes_due = max(0, state.votes_due - len(wires))

    def _on_getblocks(self, peer: PeerId, payload: bytes) -> None:
        for block in serving.blocks_payloads(self.chain, read_ids(payload, MAX_BLOCKS_ASKED)):
            self.out.append(Send(peer, "block", block))

    def _on_getbody(self, peer: PeerId, payload: bytes) -> None:
        known = self.chain.graph.blocks.get(payload)
        if known is not None:
            self.out.append(Send(peer, "body", known.id + known.body))

    def _on_getchain(self, peer: PeerId, payload: bytes) -> None:
        self.out.append(Send(peer, "chain", ids(serving.after(self.chain, read_ids(payload, MAX_LOCATOR)))))

    def _on_chain(self, peer: PeerId, payload: bytes) -> None:
        listed = read_ids(payload, MAX_CHAIN)
        state = self.fetching.peers[peer]
        state.queue.clear()
        state.queue.extend(block for block in listed if block not in self.chain.graph.blocks)
        state.out.clear()
        state.more = len(listed) == MAX_CHAIN
        self._fetch(peer)

    def _fetch_all(self) -> None:
        for peer, state in self.fetching.peers.items():
            if (state.queue or state.more) and not state.out:
                self._fetch(peer)

    def _fetch(self, peer: PeerId) -> None:
        """The next part of a peer's list, not sooner than peers bear to be asked."""
        state = self.fetching.peers[peer]
        if self.now_ms < state.asked_ms + PACE_MS:
            self.out.append(SetTimer(FETCH, state.asked_ms + PACE_MS))
            return
        batch = state.next_batch(self.chain.graph.blocks, self.now_ms)
        if batch:
            self.fetching.want(batch, self.now_ms)
            self.out.append(Send(peer, "getblocks", ids(batch)))
        elif state.more and not state.out:
            state.more = False
            self.intake.ask_chain(peer)

    def _on_transfer(self, peer: PeerId, payload: bytes) -> None:
        transfer = read_transfer(payload)
        taken = self.chain.mempool.add(transfer)
        if isinstance(taken, Taken):
            self.out.append(Broadcast("transfer", payload, (peer,)))
        elif taken.reason == "bad-signature":
            self.out.append(Score(peer, TRANSFER_POINTS, "transfer-bad-signature"))

    # -- calls that write -------------------------------------------------------------------------------------------

    def _asked(self, call: str, token: int, parameters: tuple[Any, ...]) -> None:
        """The table's write calls hand in what calls.py made of their parameters; the answer stands behind what it
        promises."""
        if call == "submitvote":
            datum, proof = parameters
            value: Any = self._submit_vote(datum, proof)
        elif call == "submitblock":
            (offer,) = parameters
            value = self._submit_block(offer)
        elif call == "sendtransfer":
            (transfer,) = parameters
            reason = self._send_transfer(transfer)
            if reason is not None:
                self.out.append(Refuse(token, REJECTED, reason))
                return
            value = transfer.id_on(self.chain.accounts.chain_id)[::-1].hex()
        elif call == "signtransfer":
            (value,) = parameters  # signed already; nothing here changes by it
        else:
            self.out.append(Refuse(token, METHOD_NOT_FOUND, f"{call} is no call that writes"))
            return
        self.out.append(Answer(token, value))

    def _submit_vote(self, datum: bytes, proof: bytes) -> str | None:
        """None: accepted for the preferred block; `inconclusive`: accepted, for another; `duplicate`; a reason."""
        try:
            vote = make_vote(datum, proof, self.chain.rules, self._read_proof)
        except VoteError as error:
            return error.reason
        verdict = self.intake.vote(vote, None)
        return self._told(verdict, self.chain.graph.best.id == vote.previous)

    def _submit_block(self, offer: Offer) -> str | None:
        verdict = self.intake.block(offer, {}, None)
        if verdict == INCOMPLETE:
            return "block-vote-missing"
        return self._told(verdict, self.chain.graph.best.id == offer.id)

    @staticmethod
    def _told(verdict: str, is_best: bool) -> str | None:
        if verdict == DUPLICATE:
            return "duplicate"
        if verdict != ACCEPTED:
            return verdict
        return None if is_best else "inconclusive"

    def _send_transfer(self, transfer: Transfer) -> str | None:
        """Why a transfer is not taken; sending again what waits or is confirmed already is no error."""
        taken = self.chain.mempool.add(transfer)
        known = self.chain.accounts.height_of(transfer.id_on(self.chain.accounts.chain_id)) is not None
        if not isinstance(taken, Taken) and taken.reason != "known" and not known:
            return taken.reason
        if not known:
            self.out.append(Write(puts=(self.own.keep(transfer),)))
            self.out.append(Broadcast("transfer", transfer.serialize()))
        return None
