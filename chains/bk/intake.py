"""Votes and blocks coming in, from peers or from the node's own callers: judged, kept, written down, told on.

Everything valid ends in the graph, in any order of arrival: what comes before its predecessor waits, a block that comes
before its votes asks for them. A refusal is a word; whether it costs the peer points stands in one table.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import replace

from chains.bk import notes
from chains.bk.chain import BkChain
from chains.bk.fetching import Fetching, Unfinished
from chains.bk.messages import INLINE_BODY, Offer, ids
from chains.bk.records import VOTES, block_record, vote_record
from chains.bk.serving import locator, pushed
from chains.bk.verdicts import (
    ACCEPTED,
    DEEP_BLOCK,
    DEEP_VOTE,
    DUPLICATE,
    EQUIVOCATION,
    INCOMPLETE,
    TOO_NEW,
    UNKNOWN_BLOCK,
    UNKNOWN_PREVIOUS,
    VOTE_POINTS,
    points_of,
)
from chains.peers.core import Broadcast, Effect, PeerId, Score, Send, Tell, Write
from chains.votes.graph import KnownBlock
from chains.votes.validity import (
    block_problem,
    content_problem,
    form_problem,
    is_too_new,
    place_problem,
    vote_problem,
)
from chains.votes.vote import ProofReader, Vote, VoteError, read_vote
from chains.votes.waiting import Waiting

DEEP = 10
"""Votes and unasked blocks whose predecessor lies further below the preferred block are not taken."""

MAX_PROPOSALS = 2
"""Blocks of one leader vote that are taken and told on unasked: two prove the equivocation, more are its purpose."""

ASKED_FOR_TARGETS = 4
"""A block that only a vote names is asked for if the vote is within so many times the target of now: being asked for
opens doors to a block, so it must cost work."""

MAX_WAITING_VOTES, MAX_WAITING_VOTES_OF_PEER = 4_096, 512
MAX_WAITING_BLOCKS, MAX_WAITING_BLOCKS_OF_PEER = 256, 32
WALKED_BACK = 4
CLOCK_NOTE_MS = 600_000
MAX_WIRES = 2_048


class Intake:
    """`out` collects the effects of the event at hand; the core hands it on and sets `now_ms`."""

    def __init__(self, chain: BkChain, fetching: Fetching, read_proof: ProofReader) -> None:
        self.chain = chain
        self.fetching = fetching
        self.out: list[Effect] = []
        self.now_ms = 0
        self._connected: deque[bytes] = deque()
        self._clock_noted_ms = -CLOCK_NOTE_MS
        self._read_proof = read_proof
        self.waiting_votes: Waiting[Vote] = Waiting(MAX_WAITING_VOTES, MAX_WAITING_VOTES_OF_PEER)
        self.waiting_blocks: Waiting[Offer] = Waiting(MAX_WAITING_BLOCKS, MAX_WAITING_BLOCKS_OF_PEER)
        self.asked_votes: OrderedDict[bytes, None] = OrderedDict()
        self._wires: OrderedDict[bytes, Vote] = OrderedDict()

    # -- votes ------------------------------------------------------------------------------------------------------

    def read(self, wire: bytes) -> Vote:
        """The vote of a wire form; the same bytes are read once, from however many peers they come. Raises VoteError.
        """
        vote = self._wires.get(wire)
        if vote is None:
            vote = self._wires[wire] = read_vote(wire, self.chain.rules, self._read_proof)
            if len(self._wires) > MAX_WIRES:
                self._wires.popitem(last=False)
        return vote

    def vote_of_peer(self, peer: PeerId, wire: bytes) -> None:
        """A vote from outside. Its peer is scored for what it should not have sent."""
        try:
            vote = self.read(wire)
        except VoteError as error:
            self.out.append(Score(peer, VOTE_POINTS, error.reason))
            return
        asked = vote.id in self.asked_votes
        if asked:
            del self.asked_votes[vote.id]
        elif peer in self.fetching.peers and not self.fetching.peers[peer].push(vote.id):
            self.score(peer, "vote-twice")
            return
        self.score(peer, self.vote(vote, peer, asked=asked))

    def vote(self, vote: Vote, source: PeerId | None, *, asked: bool = False) -> str:
        """What becomes of a vote. `source` None: a caller of this node."""
        graph = self.chain.graph
        if graph.vote(vote.id) is not None:
            return DUPLICATE
        block = graph.blocks.get(vote.previous)
        if block is None:
            if source is None:
                return UNKNOWN_BLOCK
            if not self.waiting_votes.add(vote.id, vote.previous, source, vote):
                return UNKNOWN_BLOCK if self.fetching.syncing else "too-many-waiting"
            if vote.size <= ASKED_FOR_TARGETS * graph.best.target:
                self._ask_block(source, vote.previous)
            return UNKNOWN_BLOCK
        problem = vote_problem(vote, block.target)
        if problem is not None:
            return problem
        if not asked and block.height < graph.best.height - DEEP:
            return DEEP_VOTE
        if is_too_new(vote, self.chain.rules, self.now_ms // 1000):
            self._note_clock(vote)
            return TOO_NEW
        graph.add_vote(vote)
        self.out.append(Write(puts=(vote_record(vote),)))
        if block.height + 1 >= graph.best.height:
            self.out.append(Broadcast("vote", vote.serialize(), () if source is None else (source,)))
            self.out.append(Tell("proposal"))
        for entry in list(self.fetching.unfinished.values()):
            if vote.id in entry.offer.block.votes:
                self._finish_for_sender(entry)
        self._follow()
        return ACCEPTED

    # -- blocks -----------------------------------------------------------------------------------------------------

    def block_of_peer(self, peer: PeerId, offer: Offer) -> None:
        """A block from outside, perhaps with votes, which are read only if the block is worth it: a proof costs a
        thousand times what the claims of a header cost."""
        votes: dict[bytes, Vote] = {}
        previous = self.chain.graph.blocks.get(offer.block.header.previous)
        if previous is not None and offer.id not in self.chain.graph.blocks:
            problem = self._problem_of_claims(offer, previous)
            if problem is not None:
                self.score(peer, problem)
                return
            for wire in offer.votes:
                try:
                    vote = self.read(wire)
                except VoteError as error:
                    self.out.append(Score(peer, VOTE_POINTS, error.reason))
                    return
                if vote.id not in offer.block.votes:
                    self.out.append(Score(peer, VOTE_POINTS, "block-vote-foreign"))
                    return
                votes[vote.id] = vote
        self.score(peer, self.block(offer, votes, peer))

    def _problem_of_claims(self, offer: Offer, previous: KnownBlock) -> str | None:
        """What is wrong with a block whatever its votes are."""
        problem = form_problem(offer.block, self.chain.rules)
        if problem is None:
            problem = place_problem(offer.block, previous.id, previous.height, previous.target)
        too_long = offer.body_size > self.chain.limits.body_bytes
        return problem or ("block-body-size" if too_long else None)

    def block(self, offer: Offer, votes: Mapping[bytes, Vote], source: PeerId | None) -> str:
        """What becomes of a block; checks in the order of validity.py, what needs others last."""
        graph, block = self.chain.graph, offer.block
        if offer.id in graph.blocks:
            self.fetching.arrived(offer.id)
            return DUPLICATE
        problem = form_problem(block, self.chain.rules)
        if problem is not None:
            return problem
        previous = graph.blocks.get(block.header.previous)
        if previous is None:
            if source is not None:
                self._wait_for_previous(offer, source)
            return UNKNOWN_PREVIOUS
        problem = self._problem_of_claims(offer, previous)
        if problem is not None:
            return problem
        proposals = graph.proposals(previous, block.votes[0])
        if not self.fetching.is_wanted(offer.id):
            if previous.height < graph.best.height - DEEP:
                return DEEP_BLOCK
            if proposals >= (1 if source is None else MAX_PROPOSALS):
                return EQUIVOCATION
        elif proposals >= MAX_PROPOSALS and source is not None:
            self.score(source, "third-proposal")
        needed = {vote: votes[vote] for vote in block.votes if vote in votes and graph.vote(vote) is None}
        problem = self._problem_of_votes(needed.values(), previous)
        if problem is None and offer.body is not None:
            problem = content_problem(block, offer.body, self.chain)
        if problem is not None:
            return problem
        entry = Unfinished(offer, offer.body, needed, source, [] if source is None else [source], self.now_ms)
        if source is not None and self._lacks(entry):
            kept = self.fetching.keep(offer, needed, source, self.now_ms)
            if kept.offer.block != block:  # of one id, signed otherwise: who sent which is to blame for it
                return INCOMPLETE
            entry = kept
        return self._finish(entry, source)

    def body_of_peer(self, peer: PeerId, block_id: bytes, body: bytes) -> None:
        """A body that was asked for; one that was not is ignored, it may have been late."""
        entry = self.fetching.unfinished.get(block_id)
        if entry is not None and entry.body is None:
            problem = content_problem(entry.offer.block, body, self.chain)
            if problem is not None:
                self.score(peer, problem)
                return
            entry.body = body
            self._finish_for_sender(entry)

    def ask_again(self, entry: Unfinished) -> None:
        """Ask the entry's first peer for what is missing."""
        peer, block = entry.peers[0], entry.offer.block
        missing = [vote for vote in block.votes if vote not in entry.votes and self.chain.graph.vote(vote) is None]
        if missing:
            self.ask_votes(peer, missing)
        if entry.body is None:
            self.out.append(Send(peer, "getbody", entry.offer.id))

    def ask_votes(self, peer: PeerId, votes: Iterable[bytes]) -> None:
        wanted = tuple(votes)
        for vote in wanted:
            self.asked_votes[vote] = None
        while len(self.asked_votes) > MAX_WAITING_VOTES:
            self.asked_votes.popitem(last=False)
        state = self.fetching.peers.get(peer)
        if state is not None:
            state.votes_due = min(state.votes_due + len(wanted), MAX_WAITING_VOTES)
        self.out.append(Send(peer, "getvotes", ids(wanted)))

    def ask_chain(self, peer: PeerId) -> None:
        """Ask a peer for its chain, unless that was done a moment ago."""
        state = self.fetching.peers.get(peer)
        if state is not None and self.now_ms - state.chain_asked_ms >= 1000:
            state.chain_asked_ms = self.now_ms
            self.out.append(Send(peer, "getchain", ids(locator(self.chain))))

    def score(self, peer: PeerId, word: str) -> None:
        points = points_of(word)
        if points:
            self.out.append(Score(peer, points, word))

    # -- what follows -----------------------------------------------------------------------------------------------

    def _ask_block(self, peer: PeerId, block_id: bytes) -> None:
        fresh = self.fetching.want((block_id,), self.now_ms)
        if fresh:
            self.out.append(Send(peer, "getblocks", ids(fresh)))

    def _wait_for_previous(self, offer: Offer, source: PeerId) -> None:
        # What a stranger makes us keep is small; the rest is asked for when it is of use.
        slim = replace(offer, body=offer.body if offer.body_size <= INLINE_BODY else None, votes=())
        self.waiting_blocks.add(offer.id, offer.block.header.previous, source, slim)
        if offer.block.header.height > self.chain.graph.best.height + 2 or len(self.waiting_blocks) > WALKED_BACK:
            self.ask_chain(source)  # its whole list: a long fork is not walked back one by one
        else:
            self._ask_block(source, offer.block.header.previous)

    def _problem_of_votes(self, votes: Iterable[Vote], previous: KnownBlock) -> str | None:
        for vote in votes:
            if vote.previous != previous.id:
                return "block-vote-parent"
            if is_too_new(vote, self.chain.rules, self.now_ms // 1000):
                self._note_clock(vote)
                return TOO_NEW
        return None

    def _lacks(self, entry: Unfinished) -> bool:
        graph = self.chain.graph
        votes = entry.offer.block.votes
        return entry.body is None or any(vote not in entry.votes and graph.vote(vote) is None for vote in votes)

    def _finish_for_sender(self, entry: Unfinished) -> None:
        verdict = self._finish(entry, entry.sender)
        if entry.sender is not None:
            self.score(entry.sender, verdict)

    def _finish(self, entry: Unfinished, source: PeerId | None) -> str:
        """Take a block whose parts are all there; ask for what is not."""
        if self._lacks(entry):
            if source is not None and entry.tries == 1:
                entry.tries += 1
                entry.asked_ms = self.now_ms
                self.ask_again(entry)
            return INCOMPLETE
        graph, block, body = self.chain.graph, entry.offer.block, entry.body
        assert body is not None
        votes: dict[bytes, Vote] = dict(entry.votes)
        for vote_id in block.votes:
            known_vote = graph.vote(vote_id)
            if known_vote is not None:
                votes[vote_id] = known_vote
        problem = block_problem(block, votes, self.chain.rules) or content_problem(block, body, self.chain)
        listed = self.fetching.is_listed(entry.offer.id)  # this node is catching up
        self.fetching.arrived(entry.offer.id)
        if problem is not None:
            return problem
        new = [votes[vote] for vote in block.votes if graph.vote(vote) is None]
        known = graph.add_block(block, votes, body)
        self.out.append(Write(puts=(*(vote_record(vote) for vote in new), block_record(block, body))))
        if not listed:
            self._tell(known, source)
        self._follow()
        self._take_waiting(known.id)
        return ACCEPTED

    def _take_waiting(self, block_id: bytes) -> None:
        """What waited for a block, then what waited for those blocks: in a row, for they may be hundreds."""
        self._connected.append(block_id)
        if len(self._connected) > 1:
            return  # whoever appended the first of them goes on with this one
        while self._connected:
            for number, vote in self.waiting_votes.take(self._connected[0]):
                verdict = self.vote(vote, PeerId(number))
                if verdict != DEEP_VOTE:  # it was not when it was sent
                    self.score(PeerId(number), verdict)
            for number, offer in self.waiting_blocks.take(self._connected[0]):
                self.block_of_peer(PeerId(number), offer)
            self._connected.popleft()

    def _tell(self, known: KnownBlock, source: PeerId | None) -> None:
        """Pass a block on, unless it is history."""
        if known.height + 1 >= self.chain.graph.best.height:
            self.out.append(Broadcast("block", pushed(known).serialize(), () if source is None else (source,)))

    def _follow(self) -> None:
        moved = self.chain.follow()
        if moved is None:
            return
        self.out.append(notes.of_move(self.chain, moved))
        for topic in ("tip", "template", "proposal"):
            self.out.append(Tell(topic))
        gone = [vote for done in moved.done for vote in self.chain.forget_late(done.id, DEEP)]
        if gone:
            self.out.append(Write(deletes=tuple((VOTES, vote) for vote in gone)))

    def _note_clock(self, vote: Vote) -> None:
        if self.now_ms >= self._clock_noted_ms + CLOCK_NOTE_MS:
            self._clock_noted_ms = self.now_ms
            self.out.append(notes.of_clock(vote, self.now_ms))
