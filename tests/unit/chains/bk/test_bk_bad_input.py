"""What strangers may send: refused by its reason, scored, and nothing that was known is lost by it."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from coincurve import PublicKeyXOnly
from support.drawn_votes import Leader
from support.mm2_parents import coinbase_of

from chains.bk.content import body_of, root_of
from chains.bk.core import BkCore
from chains.bk.intake import DEEP, MAX_WAITING_VOTES_OF_PEER
from chains.bk.messages import MAX_CHAIN, Offer, Tip, ids, read_ids, vote_batches
from chains.bk.parameters import BkParameters
from chains.mm2_proof.hash_link import link_of
from chains.mm2_proof.proof import Proof, serialize
from chains.mm2_proof.tree import leaf_of
from chains.peers.core import Connected, Drop, PeerHello, PeerId, Received
from chains.peers.virtual import Stranger, VirtualNetwork
from chains.primitives.hashes import sha256d
from chains.primitives.serialize import MalformedError
from chains.votes.attempt import propose
from chains.votes.block import SignedBlock, sign
from chains.votes.content import BuiltContent
from chains.votes.graph import KnownBlock
from chains.votes.header import BlockHeader, votes_root
from chains.votes.vote import Vote, VoteDatum, make_vote, read_mm2_work
from pool.simulation.bk_miner import read_drawn

PARAMETERS = BkParameters("bk-bad", k=3, interval_s=60, subsidy=1000, maturity_blocks=2, body_bytes=50_000)
EVIL = PublicKeyXOnly.from_secret((99).to_bytes(32, "big")).format()


class Besieged:
    """A node with a chain of some blocks, and strangers at its door."""

    def __init__(self, heights: int = 2) -> None:
        self.network = VirtualNetwork(seed=1, latency_ms=(1, 1))
        self.node = self.network.add(lambda: BkCore(PARAMETERS, random.Random(1), read_drawn))
        self.leader = Leader(1)
        self.door = self.enter(1)
        for _ in range(heights):
            self.grow()

    @property
    def core(self) -> BkCore:
        core = self.node.core
        assert isinstance(core, BkCore)
        return core

    @property
    def best(self) -> KnownBlock:
        return self.core.chain.graph.best

    def enter(self, number: int) -> Stranger:
        stranger = self.network.stranger(0, number.to_bytes(32, "big"))
        self.network.run_for(10)
        return stranger

    def now_s(self) -> int:
        return self.network.now_ms // 1000

    def votes(self, block: KnownBlock, count: int, leader: Leader | None = None) -> list[Vote]:
        drawn = [(leader or self.leader).vote(self.core.chain, block, self.now_s()) for _ in range(count)]
        return sorted(drawn, key=lambda vote: vote.size)

    def grow(self) -> None:
        best, now_s = self.best, self.now_s()
        for _ in range(PARAMETERS.k):
            reply = self.network.ask(0, "submitvote", *self.leader.draw(best, self.core.chain.rules, now_s))
            assert reply.value in (None, "inconclusive")
        offer = self.leader.proposal(self.core.chain)
        assert offer is not None and self.network.ask(0, "submitblock", offer).value is None
        self.network.run_for(60_000)

    def offer(
        self, votes: list[Vote], previous: KnownBlock | None = None, content: BuiltContent | None = None
    ) -> Offer:
        previous = previous or self.best
        content = content or self.core.chain.build(bytes(32))
        return self.leader.signed(previous, tuple(votes), content, self.core.chain.rules)

    def send(self, name: str, payload: bytes) -> list[str]:
        """The reasons that it was scored for."""
        before = len(self.node.offences)
        self.door.send(name, payload)
        self.network.run_for(10)
        return [score.reason for score in self.node.offences[before:]]

    def send_block(self, offer: Offer, votes: list[Vote]) -> list[str]:
        return self.send("block", replace(offer, votes=tuple(vote.serialize() for vote in votes)).serialize())


@pytest.fixture
def world() -> Besieged:
    return Besieged()


# --- votes ----------------------------------------------------------------------------------------------------------


def test_bk_vote_above_the_target_is_refused(world: Besieged) -> None:
    vote = world.votes(world.best, 1)[0]
    proof = (world.best.target + 1).to_bytes(32, "little") + vote.proof[32:]
    high = make_vote(vote.datum_bytes, proof, world.core.chain.rules, read_drawn)
    assert world.send("vote", high.serialize()) == ["vote-high-hash"]
    assert world.core.chain.graph.vote(high.id) is None


def test_bk_vote_is_counted_once_however_it_is_sent(world: Besieged) -> None:
    vote = world.votes(world.best, 1)[0]
    assert world.send("vote", vote.serialize()) == []
    assert world.send("vote", vote.serialize()) == ["vote-twice"]
    assert len(world.best.votes) == 1


def test_bk_vote_from_the_future_is_not_taken_yet(world: Besieged) -> None:
    vote = world.leader.vote(world.core.chain, world.best, world.now_s() + 30 * PARAMETERS.interval_s + 100)
    assert world.send("vote", vote.serialize()) == []
    assert world.send_block(world.offer([vote]), []) == ["block-vote-count"]
    assert not world.best.votes
    notes = [note for note in world.node.notes if note.event == "a vote is dated ahead of this clock"]
    assert len(notes) == 1 and notes[0].fields["ahead_s"] > 1800


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda wire: b"", "vote-malformed"),
        (lambda wire: wire[:-1], "vote-proof-malformed-proof"),
        (lambda wire: wire.replace(b"BKV1", b"BKV9"), "vote-context"),
        (lambda wire: wire[:69] + b"\xff" * 32 + wire[101:], "vote-leader-key"),
        (lambda wire: wire[:101] + b"\x51" + wire[102:], "vote-malformed"),
    ],
)
def test_bk_vote_that_nobody_can_read_is_scored(world: Besieged, change: object, reason: str) -> None:
    wire = world.votes(world.best, 1)[0].serialize()
    assert callable(change)
    assert world.send("vote", change(wire)) == [reason]


def test_bk_vote_for_a_deep_block_is_dropped() -> None:
    world = Besieged(heights=DEEP + 3)
    vote = world.votes(world.core.chain.block_at(1), 1)[0]
    assert world.send("vote", vote.serialize()) == ["vote-deep"]
    assert world.core.chain.graph.vote(vote.id) is None


def test_bk_votes_for_unknown_blocks_wait_within_bounds(world: Besieged) -> None:
    rules = world.core.chain.rules
    datum = VoteDatum(b"\x11" * 32, world.leader.key, b"").serialize(rules)
    for number in range(MAX_WAITING_VOTES_OF_PEER + 5):
        proof = (number + 1).to_bytes(32, "little") + bytes(4)
        world.door.send("vote", make_vote(datum, proof, rules, read_drawn).serialize())
    world.network.run_for(100)
    assert len(world.core.intake.waiting_votes) == MAX_WAITING_VOTES_OF_PEER
    assert {score.reason for score in world.node.offences} == {"too-many-waiting"}
    assert [name for name, _ in world.door.received].count("getblocks") == 1, "the block is asked for, once"
    world.door.close()
    world.network.run_for(10)
    assert len(world.core.intake.waiting_votes) == 0


def test_bk_vote_with_a_parent_transaction_other_than_the_first_is_none() -> None:
    """Any transaction of a parent could carry a commitment; only the coinbase, at index 0, may. The wire form has no
    sides, so a proof for index 1 is read as one for index 0 and leads to another header."""
    rules = BkParameters("bk-index", first_difficulty=1 << 30).rules()
    datum = VoteDatum(rules.genesis.id, Leader(1).key, b"").serialize(rules)
    coinbase = coinbase_of(leaf_of(sha256d(datum)))
    real = b"\x77" * 32
    root = sha256d(real + sha256d(coinbase))  # the carrier is the second transaction
    header = bytes(4) + bytes(32) + root + bytes(12)
    start, nonce = header[:36] + header[68:], coinbase[-12:-4]
    proof = Proof(start, "1", (real,), link_of(coinbase[:-44]), "", (), sha256d(datum), nonce)
    work = read_mm2_work(serialize(proof), rules.context, sha256d(datum))
    assert not isinstance(work, str) and work.hash != sha256d(header)


# --- blocks ---------------------------------------------------------------------------------------------------------


def test_bk_good_block_of_a_stranger_is_taken(world: Besieged) -> None:
    votes = world.votes(world.best, 3)
    offer = world.offer(votes)
    assert world.send_block(offer, votes) == []
    assert world.best.id == offer.id
    assert all(world.core.chain.graph.vote(vote.id) is not None for vote in votes), "its votes are votes now"


def resigned(world: Besieged, header: BlockHeader, votes: list[Vote], secret: int = 2) -> Offer:
    rules = world.core.chain.rules
    signature = sign(header, rules.signing_tag, secret.to_bytes(32, "big"))
    return Offer(SignedBlock(header, signature, tuple(vote.id for vote in votes)), 1, b"\x00")


def test_bk_block_with_one_vote_three_times_is_refused(world: Besieged) -> None:
    vote = world.votes(world.best, 1)[0]
    assert world.send_block(world.offer([vote] * 3), [vote]) == ["block-vote-order"]
    assert world.door.closed, "nobody honest passes that on"


def test_bk_block_with_votes_out_of_order_is_refused(world: Besieged) -> None:
    votes = world.votes(world.best, 3)[::-1]
    assert world.send_block(world.offer(votes), votes) == ["block-vote-order"]


@pytest.mark.parametrize("count", [2, 4])
def test_bk_block_with_another_number_of_votes_is_refused(world: Besieged, count: int) -> None:
    votes = world.votes(world.best, count)
    assert world.send_block(world.offer(votes), votes) == ["block-vote-count"]


def test_bk_block_with_votes_for_another_block_is_refused(world: Besieged) -> None:
    assert world.best.previous is not None
    votes = sorted([*world.votes(world.best, 2), *world.votes(world.best.previous, 1)], key=lambda vote: vote.size)
    assert world.send_block(world.offer(votes), votes) == ["block-vote-parent"]
    world = Besieged()
    assert world.best.previous is not None
    known = next(iter(world.best.previous.votes.values()))
    votes = sorted([*world.votes(world.best, 2), known], key=lambda vote: vote.size)
    assert world.send_block(world.offer(votes), votes) == ["block-vote-parent"], "also when the vote is known"


def test_bk_block_signed_by_another_voter_is_refused(world: Besieged) -> None:
    votes = world.votes(world.best, 3)
    offer = world.offer(votes)
    assert world.send_block(resigned(world, offer.block.header, votes, secret=7), votes) == ["block-signature"]
    assert offer.id not in world.core.chain.graph.blocks
    world.door = world.enter(2)
    assert world.send_block(offer, votes) == [], "the id is not poisoned: signed well, the same block is good"


def test_bk_block_whose_header_says_something_else_is_refused(world: Besieged) -> None:
    votes = world.votes(world.best, 3)
    header = world.offer(votes).block.header
    wrong = {
        "block-version": replace(header, version=2),
        "block-votes-root": replace(header, votes_root=bytes(32)),
        "block-height": replace(header, height=header.height + 1),
        "block-tx-root": replace(header, tx_root=bytes(32)),
    }
    for number, (reason, one) in enumerate(wrong.items()):
        world.door = world.enter(10 + number)
        assert world.send_block(resigned(world, one, votes), votes) == [reason]
    assert world.best.height == 2


def test_bk_block_with_votes_above_the_target_is_refused(world: Besieged) -> None:
    votes = world.votes(world.best, 2)
    proof = (world.best.target + 9).to_bytes(32, "little") + bytes(4)
    votes.append(make_vote(votes[0].datum_bytes, proof, world.core.chain.rules, read_drawn))
    assert world.send_block(world.offer(votes), votes) == ["vote-high-hash"]


def test_bk_block_with_too_large_a_body_is_refused_unread(world: Besieged) -> None:
    votes = world.votes(world.best, 3)
    offer = replace(world.offer(votes), body_size=PARAMETERS.body_bytes + 1, body=None)
    assert world.send_block(offer, votes) == ["block-body-size"]


def test_bk_bad_signature_of_one_peer_is_not_held_against_another(world: Besieged) -> None:
    """Both offer one id; what is missing comes later. Only who sent the bad one is scored."""
    votes = world.votes(world.best, 3)
    offer = world.offer(votes)
    assert world.send_block(resigned(world, offer.block.header, votes, secret=7), votes[:1]) == []
    honest = world.enter(5)
    honest.send("block", replace(offer, votes=tuple(vote.serialize() for vote in votes)).serialize())
    world.network.run_for(10)
    assert world.best.id == offer.id
    assert not world.node.offences and not honest.closed


def test_bk_block_dated_1970_does_not_end_the_chain() -> None:
    world = Besieged(heights=3)
    target = world.best.target
    votes = [world.leader.vote(world.core.chain, world.best, 1) for _ in range(3)]
    votes.sort(key=lambda vote: vote.size)
    assert world.send_block(world.offer(votes), votes) == []
    assert world.best.height == 4 and world.best.previous is not None
    assert world.best.time_s == world.best.previous.time_s
    assert world.best.target > target // 2


def test_bk_body_that_is_another_one_is_scored_and_asked_for_elsewhere(world: Besieged) -> None:
    """A body over the inline size travels on its own."""
    records = [bytes([number]) * 3000 for number in range(5)]  # nothing that can be applied: ignored, and carried
    content = BuiltContent(root_of(records), body_of(records))
    votes = world.votes(world.best, 3)
    offer = replace(world.offer(votes, content=content), body=None)
    assert world.send_block(offer, votes) == []
    assert ("getbody", offer.id) in world.door.received and world.best.id != offer.id
    honest = world.enter(5)
    honest.send("block", replace(offer, votes=tuple(vote.serialize() for vote in votes)).serialize())
    assert world.send("body", offer.id + b"\x00") == ["block-tx-root"]
    world.network.run_for(6_000)
    assert ("getbody", offer.id) in honest.received
    honest.send("body", offer.id + content.body)
    world.network.run_for(10)
    assert world.best.id == offer.id
    assert world.core.chain.walk.get(offer.id) is not None, "transfers that cannot be read make no block invalid"


def test_bk_block_whose_votes_are_missing_asks_for_them_and_gives_up(world: Besieged) -> None:
    votes = world.votes(world.best, 3)
    offer = world.offer(votes)
    assert world.send_block(offer, votes[:1]) == []
    wanted = [payload for name, payload in world.door.received if name == "getvotes"]
    assert wanted == [ids(tuple(vote.id for vote in votes[1:]))]
    world.network.run_for(60_000)
    assert not world.core.fetching.unfinished, "nobody has them: forgotten"
    assert [score.reason for score in world.node.offences] == ["block-not-completed"]
    assert world.send_block(offer, votes) == [] and world.best.id == offer.id


def test_bk_block_with_votes_that_are_not_its_own_is_scored(world: Besieged) -> None:
    votes = world.votes(world.best, 4)
    assert world.send_block(world.offer(votes[:3]), votes) == ["block-vote-foreign"]


def test_bk_third_proposal_of_a_leader_vote_is_not_taken(world: Besieged) -> None:
    votes = world.votes(world.best, 5)
    previous = world.best
    offers = [world.offer([votes[0], votes[1], last], previous) for last in votes[2:]]
    for offer in offers:
        assert world.send_block(offer, [vote for vote in votes if vote.id in offer.block.votes]) == []
    known = world.core.chain.graph.blocks
    assert [offer.id in known for offer in offers] == [True, True, False]
    assert world.best.id == offers[0].id, "the first one seen"
    third = [name for name, payload in world.door.received if name == "block" and offers[2].id in payload]
    assert not third


def test_bk_caller_cannot_equivocate_through_this_node(world: Besieged) -> None:
    for _ in range(4):
        drawn = world.leader.draw(world.best, world.core.chain.rules, world.now_s())
        world.network.ask(0, "submitvote", *drawn)
    previous = world.best
    votes = sorted(previous.votes.values(), key=lambda vote: vote.size)
    assert world.network.ask(0, "submitblock", world.offer(votes[:3], previous)).value is None
    second = world.offer([*votes[:2], votes[3]], previous)
    assert world.network.ask(0, "submitblock", second).value == "block-equivocation"


# --- the rest -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tip", "block", "getvotes", "votes", "getblocks", "getchain", "chain", "transfer"])
def test_bk_message_of_another_form_is_scored(world: Besieged, name: str) -> None:
    assert world.send(name, b"\x05\x01") == [f"malformed-{name}"]


def test_bk_lists_beyond_their_bounds_are_malformed() -> None:
    many = ids(tuple(number.to_bytes(32, "big") for number in range(17)))
    assert len(read_ids(many, 17)) == 17
    with pytest.raises(MalformedError):
        read_ids(many, 16)


def test_bk_votes_that_nobody_asked_for_are_not_even_read(world: Besieged) -> None:
    votes = world.votes(world.best, 3)
    (payload,) = vote_batches([vote.serialize() for vote in votes])
    assert world.send("votes", payload) == ["votes-not-asked-for"]
    assert not world.best.votes
    tip = Tip(False, world.best.id, world.best.height, world.best.work, tuple(vote.id for vote in votes))
    assert world.send("tip", tip.serialize()) == []
    assert world.send("votes", payload) == []
    assert len(world.best.votes) == 3


def test_bk_blocks_that_are_claims_only_drive_out_nobody_elses(world: Besieged) -> None:
    votes = world.votes(world.best, 3)
    honest = world.enter(5)
    offer = world.offer(votes)
    honest.send("block", replace(offer, votes=()).serialize())
    world.network.run_for(10)
    for number in range(100):
        claimed = tuple((3 * number + one).to_bytes(32, "little") for one in range(1, 4))
        header = BlockHeader(world.best.id, world.best.height + 1, votes_root(claimed), bytes(32))
        world.door.send("block", Offer(SignedBlock(header, bytes(64), claimed), 1, None).serialize())
    world.network.run_for(10)
    assert len(world.core.fetching.unfinished) <= 17
    (payload,) = vote_batches([vote.serialize() for vote in votes])
    honest.send("votes", payload)
    world.network.run_for(10)
    assert world.best.id == offer.id


def test_bk_hundreds_of_waiting_blocks_connect_at_once() -> None:
    """From several peers, in the opposite order."""
    source, world = Besieged(heights=0), Besieged(heights=0)
    offers = []
    for _ in range(200):
        votes = source.votes(source.best, 3)
        offers.append((source.offer(votes), votes))
        assert source.send_block(*offers[-1]) == []
    doors = [world.enter(10 + number) for number in range(8)]
    for place, (offer, votes) in reversed(list(enumerate(offers))):
        for vote in votes:
            doors[place % 8].send("vote", vote.serialize())
        doors[place % 8].send("block", offer.serialize())
    world.network.run_for(1000)
    assert world.best.id == source.best.id


def test_bk_node_that_has_caught_up_is_never_told_to_be_catching_up(world: Besieged) -> None:
    assert not world.core.catching_up
    world.network.run_for(60_000)
    lies = tuple(sha256d(number.to_bytes(4, "big")) for number in range(MAX_CHAIN))
    world.door.send("chain", ids(lies))
    world.network.run_for(5)
    assert world.core.fetching.syncing and not world.core.catching_up
    votes = world.votes(world.best, 3)
    other = world.enter(6)
    assert world.send_block(world.offer(votes), votes) == []
    assert "block" in [name for name, _ in other.received], "blocks are passed on all the same"


def test_bk_lies_about_chains_cost_little_but_questions(world: Besieged) -> None:
    best = world.best.id
    tip = Tip(True, b"\x55" * 32, 10**6, 2**200, ())
    assert world.send("tip", tip.serialize()) == []
    lies = tuple(sha256d(number.to_bytes(4, "big")) for number in range(MAX_CHAIN))
    assert world.send("chain", ids(lies)) == []
    world.network.run_for(120_000)
    assert world.best.id == best
    world.grow()
    assert world.best.height == 3


def test_bk_peer_that_floods_is_banned(world: Besieged) -> None:
    for _ in range(200):
        world.door.send("getchain", ids((world.core.genesis,)))
    world.network.run_for(10)
    assert world.door.closed and world.node.over_rate > 0
    assert world.enter(1).closed, "banned by its key"
    assert not world.enter(2).closed


@pytest.mark.parametrize("change", [{"k": 4}, {"interval_s": 61}, {"subsidy": 1001}, {"maturity_blocks": 3}])
def test_bk_peer_of_another_chain_is_dropped(world: Besieged, change: dict[str, int]) -> None:
    other = BkCore(replace(PARAMETERS, **change), random.Random(2), read_drawn)
    hello = PeerHello(bytes(32), other.network, other.genesis, 1, 0, inbound=True)
    assert other.network == world.core.network
    assert isinstance(next(iter(world.core.on(world.network.now_ms, Connected(PeerId(77), hello)))), Drop)
    assert not list(world.core.on(world.network.now_ms, Received(PeerId(77), "getchain", ids((other.genesis,)))))


def test_bk_proposal_header_is_what_propose_says(world: Besieged) -> None:
    votes = world.votes(world.best, 3)
    header = propose(world.best, tuple(votes), world.core.chain.build(bytes(32)))
    assert header.votes_root == votes_root(tuple(vote.id for vote in votes))
    assert header.height == world.best.height + 1
