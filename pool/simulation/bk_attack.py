"""One miner that withholds against all others, without delays: how much of the votes in the chain are its own.

The others are one honest node, the real core, which sees only what is released to it. The attacker keeps a graph of its
own with everything. Its policy is "minor delay": wait while the others have no block of their own, override it when
they have one, give up when they are ahead; that is the stronger of the simple ones for moderate shares.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from chains.bk.core import BkCore
from chains.bk.messages import Offer, read_offer
from chains.bk.parameters import BkParameters
from chains.bk.serving import pushed
from chains.peers.core import Asked, Broadcast, Connected, Event, PeerHello, PeerId, Received, Refuse, Started
from chains.votes.attempt import attempt, own_first
from chains.votes.content import BuiltContent
from chains.votes.graph import KnownBlock, VoteGraph
from chains.votes.vote import Vote, make_vote, read_vote
from pool.simulation.bk_miner import DrawingMiner, read_drawn

INTERVAL_S = 600
START_S = 1_700_000_000
ATTACKER = PeerId(1)
WATCHER = PeerId(2)
"""A second peer of the honest node, so that what comes from the attacker is passed on and seen."""


@dataclass(frozen=True, slots=True)
class AttackResult:
    """`reward` is the attacker's part of the votes in the chain, `progress` the votes in it of all that were found."""

    reward: float
    progress: float


class Attack:
    """Votes come one by one, the attacker's with probability `share`; whatever follows from one happens before the
    next."""

    def __init__(self, k: int, share: float, seed: int) -> None:
        self.share = share
        self.chance = random.Random(seed)
        parameters = BkParameters("simulated", k=k, interval_s=INTERVAL_S, first_difficulty=1 << 40)
        self.defender = BkCore(parameters, random.Random(seed), read_drawn)
        self.rules = self.defender.chain.rules
        self.graph = VoteGraph(self.rules)  # everything there is
        self.public = VoteGraph(self.rules)  # what the attacker has heard or released, so what the others prefer
        self.private = self.graph.genesis
        self.honest, self.attacker = DrawingMiner(0, self.chance), DrawingMiner(1, self.chance)
        self.empty = self.defender.chain.build(bytes(32))
        self.found = 0
        self._news: deque[Vote | Offer] = deque()  # on its way from the honest node to the attacker
        self._feed(Started({}))
        hello = PeerHello(bytes(32), self.defender.network, self.defender.genesis, 1, 0, True)
        self._feed(Connected(ATTACKER, hello))
        self._feed(Connected(WATCHER, hello))

    @property
    def time_s(self) -> int:
        return START_S + self.found * INTERVAL_S // self.rules.k

    def mine(self) -> None:
        """One more vote, and everything that follows."""
        self.found += 1
        if self.chance.random() < self.share:
            drawn = self.attacker.draw(self.private, self.rules, self.time_s)
            self.graph.add_vote(make_vote(*drawn, self.rules, read_drawn))
            self._act()
        else:
            drawn = self.honest.draw(self.defender.chain.graph.best, self.rules, self.time_s)
            self._feed(Asked("submitvote", 0, drawn))
        self._listen()

    def result(self) -> AttackResult:
        """The chain that is best with nothing withheld any more."""
        counted = own = 0
        for block in self.graph.path_from_best():
            for vote in block.included():
                counted += 1
                own += vote.datum.leader_key == self.attacker.key
        return AttackResult(own / counted if counted else 0.0, counted / self.found)

    # -- the honest node --------------------------------------------------------------------------------------------

    def _feed(self, event: Event) -> None:
        """One event at the honest node, then its miner's proposal if there is one."""
        for effect in self.defender.on(self.time_s * 1000, event):
            match effect:
                case Broadcast("vote", payload, besides) if ATTACKER not in besides:
                    self._news.append(read_vote(payload, self.rules, read_drawn))
                case Broadcast("block", payload, besides) if ATTACKER not in besides:
                    self._news.append(read_offer(payload))
                case Refuse(_, _, reason):
                    raise AssertionError(reason)
        found = attempt(self.defender.chain.graph, self.honest.key)
        if found is not None:
            self._feed(Asked("submitblock", 0, (self.honest.signed(*found, self.empty, self.rules),)))

    # -- the attacker -----------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        while self._news:
            news = self._news.popleft()
            if isinstance(news, Vote):
                self.graph.add_vote(news)
                self.public.add_vote(news)
            else:
                self._add(news)
                self._publish(news)
            self._act()

    def _add(self, offer: Offer) -> KnownBlock:
        votes = self.graph.blocks[offer.block.header.previous].votes
        return self.graph.add_block(offer.block, votes, self.empty.body)

    def _publish(self, offer: Offer) -> None:
        votes = self.graph.blocks[offer.block.header.previous].votes
        self.public.add_block(offer.block, votes, self.empty.body)

    def _act(self) -> None:
        """The policy, once for every event; a block of its own is an event too."""
        public = self.graph.blocks[self.public.best.id]
        common = self.graph.fork(public, self.private)
        theirs, ours = public.height - common.height, self.private.height - common.height
        release: list[KnownBlock | Vote] = []
        if theirs > ours:
            self.private = public
        elif theirs > 0:
            release = self._override(public)
        # What a proposal would be is known before the release is answered, as both happen at once.
        proposal = self._proposal()
        self._release(release)
        if proposal is not None:
            self.private = proposal
            self._act()

    def _proposal(self) -> KnownBlock | None:
        """A block after the private tip, with the others' votes too, unless there is one of this leader vote."""
        votes = own_first(self.private, self.attacker.key, self.rules.k)
        if votes is None or any(child.leader == votes[0].size for child in self.private.children):
            return None
        return self._add(self.attacker.signed(self.private, votes, BuiltContent(self.empty.root, b""), self.rules))

    def _override(self, public: KnownBlock) -> list[KnownBlock | Vote]:
        """As little as makes the others change over: a block of their height with one vote more, or of the next."""
        k = self.rules.k
        height, count = public.height, len(self.public.best.votes) + 1
        if count > k:
            height, count = height + 1, 0
        block = self.private
        while block.height > height and block.previous is not None:
            block = block.previous
        if count >= k and block.children:
            block, count = block.children[0], 0
        return [block, *list(block.votes.values())[:count]]

    def _release(self, items: Iterable[KnownBlock | Vote]) -> None:
        for item in items:
            if isinstance(item, Vote):
                self._release_block(self.graph.blocks[item.previous])
                self._release_vote(item)
            else:
                self._release_block(item)

    def _release_block(self, block: KnownBlock) -> None:
        """A block with all that it stands on."""
        if block.id in self.public.blocks or block.previous is None:
            return
        self._release_block(block.previous)
        for vote in block.included():
            self._release_vote(vote)
        offer = pushed(block)
        self._publish(offer)
        self._feed(Received(ATTACKER, "block", offer.serialize()))

    def _release_vote(self, vote: Vote) -> None:
        if self.public.add_vote(vote):
            self._feed(Received(ATTACKER, "vote", vote.serialize()))


def run_attack(k: int, share: float, votes: int, seed: int) -> AttackResult:
    """One run; the same seed gives the same numbers."""
    attack = Attack(k, share, seed)
    for _ in range(votes):
        attack.mine()
    return attack.result()
