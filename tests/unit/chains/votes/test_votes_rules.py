"""The rules of votes one by one: targets, times, rewards, selections, what waits."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.drawn_votes import Leader

from chains.bk.chain import BkChain
from chains.bk.parameters import BkParameters
from chains.votes.attempt import attempt, own_first, selection
from chains.votes.header import BlockHeader
from chains.votes.reward import vote_rewards
from chains.votes.target import block_time, vote_target
from chains.votes.waiting import Waiting

PARAMETERS = BkParameters("votes-test", k=3, interval_s=60)
RULES = PARAMETERS.rules()
A, B = Leader(1), Leader(2)
TIME_S = 1_700_000_000


# --- rewards --------------------------------------------------------------------------------------------------------


@given(st.integers(1, 1024), st.integers(0, 2**60), st.integers(0, 2**60))
def test_votes_reward_is_paid_to_the_unit(k: int, subsidy: int, fees: int) -> None:
    rewards = vote_rewards(k, subsidy, fees)
    assert len(rewards) == k and sum(rewards) == subsidy + fees
    assert set(rewards[1:]) <= {subsidy // k}
    assert rewards[0] == subsidy // k + subsidy % k + fees


# --- targets and times ----------------------------------------------------------------------------------------------


def test_votes_target_stays_while_blocks_come_in_time() -> None:
    assert vote_target(RULES, 0, 0, 0) == vote_target(RULES, 1, TIME_S, TIME_S) == RULES.first_target
    assert vote_target(RULES, 100, TIME_S + 99 * 60, TIME_S) == RULES.first_target


def test_votes_target_doubles_for_every_half_life_behind() -> None:
    on_time = TIME_S + 99 * 60
    late = vote_target(RULES, 100, on_time + RULES.half_life_s, TIME_S)
    early = vote_target(RULES, 100, on_time - RULES.half_life_s, TIME_S)
    assert late == 2 * RULES.first_target and early == RULES.first_target // 2


def test_votes_target_has_two_ends() -> None:
    assert vote_target(RULES, 2, TIME_S + 10**9, TIME_S) == RULES.easiest_target
    assert vote_target(RULES, 2**31, TIME_S, TIME_S) == 1


@given(st.integers(-(10**6), 10**6))
def test_votes_target_follows_an_exponential(behind_s: int) -> None:
    target = vote_target(RULES, 2, TIME_S + 60 + behind_s, TIME_S)
    exact = min(RULES.first_target * 2 ** (behind_s / RULES.half_life_s), float(RULES.easiest_target))
    assert target == pytest.approx(max(1.0, exact), rel=2e-4, abs=2)


def test_votes_block_time_is_the_lower_median() -> None:
    assert block_time([5], 0) == 5
    assert block_time([9, 1], 0) == 1
    assert block_time([0, 21, 7, 14], 0) == 7
    assert block_time([3, 2**32 - 1, 2], 0) == 3, "one liar does not move it"
    assert block_time([0, 0, 9], 8) == 8, "never before the block before it"


# --- selections -----------------------------------------------------------------------------------------------------


def chain_with(*votes: tuple[Leader, int]) -> BkChain:
    """Votes for genesis of these sizes, in this order."""
    chain = BkChain(PARAMETERS)
    for leader, size in votes:
        vote = leader.vote(chain, chain.graph.genesis, TIME_S)
        chain.graph.add_vote(replace(vote, id=size.to_bytes(32, "little"), size=size))
    return chain


def sizes(chain: BkChain, leader: Leader) -> list[int] | None:
    votes = selection(chain.graph, chain.graph.genesis, leader.key)
    return None if votes is None else [vote.size for vote in votes]


def test_votes_selection_keeps_the_smallest_own_vote_in_front() -> None:
    chain = chain_with((B, 10), (A, 50), (B, 90), (B, 70), (B, 60))
    assert sizes(chain, A) == [50, 70, 90], "the oldest foreign ones that are not smaller; 10 is passed over"
    assert sizes(chain, B) == [10, 60, 70], "enough of its own: the smallest of them"


def test_votes_selection_without_own_votes_or_enough_of_them_is_none() -> None:
    assert sizes(chain_with((B, 10), (B, 20), (B, 30)), A) is None
    assert sizes(chain_with((A, 10), (B, 20)), A) is None
    assert sizes(chain_with((A, 30), (B, 10), (B, 20)), A) is None, "smaller foreign ones do not count"


def test_votes_one_miner_alone_makes_blocks() -> None:
    chain = chain_with((A, 3), (A, 2), (A, 1))
    assert sizes(chain, A) == [1, 2, 3]


def test_votes_nobody_proposes_what_is_beaten_or_was_proposed() -> None:
    chain = chain_with((A, 10), (B, 20), (B, 30), (B, 40))
    found = attempt(chain.graph, B.key)
    assert found is not None
    second = B.signed(*found, chain.build(bytes(32)), chain.rules)
    chain.graph.add_block(second.block, chain.graph.genesis.votes, b"\x00")
    assert attempt(chain.graph, B.key) is None, "its leader vote has a block already"
    found = attempt(chain.graph, A.key)
    assert found is not None and found[0] is chain.graph.genesis, "a smaller leader vote wins a tie"
    first = A.signed(*found, chain.build(bytes(32)), chain.rules)
    chain.graph.add_block(first.block, chain.graph.genesis.votes, b"\x00")
    assert chain.graph.best.id == first.id
    assert attempt(chain.graph, A.key) is None and attempt(chain.graph, B.key) is None


def test_votes_late_leader_does_not_replace_a_block_that_has_votes() -> None:
    chain = chain_with((B, 20), (B, 30), (B, 40))
    found = attempt(chain.graph, B.key)
    assert found is not None
    known = chain.graph.add_block(
        B.signed(*found, chain.build(bytes(32)), chain.rules).block, chain.graph.genesis.votes, b"\x00"
    )
    vote = A.vote(chain, chain.graph.genesis, TIME_S)
    chain.graph.add_vote(replace(vote, id=(10).to_bytes(32, "little"), size=10))
    assert own_first(chain.graph.genesis, A.key, 3) is not None
    assert selection(chain.graph, chain.graph.genesis, A.key) is not None, "no votes yet: the smaller leader wins"
    chain.graph.add_vote(B.vote(chain, known, TIME_S))
    assert selection(chain.graph, chain.graph.genesis, A.key) is None


# --- preference -----------------------------------------------------------------------------------------------------


def test_votes_preference_is_work_then_votes_then_leader() -> None:
    chain = chain_with((A, 10), (B, 20), (B, 30), (B, 40), (A, 11))
    genesis = chain.graph.genesis
    votes = {vote.size: vote for vote in genesis.votes.values()}
    offers = {}
    for leader, chosen in ((A, (10, 30, 40)), (B, (20, 30, 40))):
        offers[leader] = leader.signed(
            genesis, tuple(votes[one] for one in chosen), chain.build(bytes(32)), chain.rules
        )
    known = {leader: chain.graph.add_block(offer.block, genesis.votes, b"\x00") for leader, offer in offers.items()}
    assert chain.graph.best is known[A], "the smaller leader vote"
    chain.graph.add_vote(A.vote(chain, known[B], TIME_S))
    assert chain.graph.best is known[B], "more votes"
    chain.graph.add_vote(A.vote(chain, known[A], TIME_S))
    assert chain.graph.best is known[A], "equal again"
    assert chain.graph.best.work > genesis.work


# --- what waits -----------------------------------------------------------------------------------------------------


def test_votes_waiting_is_bounded_per_source_and_in_all() -> None:
    waiting: Waiting[int] = Waiting(limit=4, per_source=2)
    ids = [bytes([number]) * 32 for number in range(10)]
    assert waiting.add(ids[0], b"x", 1, 0) and waiting.add(ids[1], b"x", 1, 1)
    assert not waiting.add(ids[2], b"x", 1, 2), "the source has enough"
    assert waiting.add(ids[0], b"x", 2, 0), "known already"
    for number in (3, 4, 5):
        assert waiting.add(ids[number], b"y", number, number)
    assert len(waiting) == 4 and ids[0] not in waiting, "the oldest left"
    assert waiting.take(b"x") == [(1, 1)] and waiting.take(b"x") == []
    waiting.forget_source(4)
    assert [item for _, item in waiting.take(b"y")] == [3, 5]
    assert len(waiting) == 0 and waiting.blocks() == []


def test_votes_rules_refuse_nonsense() -> None:
    good = dict(magic=b"BKV1", context=bytes(32), signing_tag="t", k=1, interval_s=1,
                genesis=BlockHeader(bytes(32), 0, bytes(32), bytes(32)), first_target=1, half_life_s=1)  # fmt: skip
    type(RULES)(**good)  # type: ignore[arg-type]
    for name, value in (("magic", b"x"), ("context", b""), ("k", 0), ("k", 1025), ("interval_s", 0),
                        ("half_life_s", 0), ("first_target", 0)):  # fmt: skip
        with pytest.raises(ValueError):
            type(RULES)(**(good | {name: value}))  # type: ignore[arg-type]


def test_votes_graph_keeps_the_same_best_in_any_order() -> None:
    """All votes of one block and two proposals, in every order that a network could have them in."""
    source = chain_with((A, 10), (B, 20), (B, 30))
    votes = list(source.graph.genesis.votes.values())
    first = A.signed(source.graph.genesis, tuple(votes), source.build(bytes(32)), source.rules)
    chance = random.Random(1)
    later = BkChain(PARAMETERS)
    block = later.graph.add_block(first.block, {vote.id: vote for vote in votes}, b"\x00")
    items = [*votes, *(B.vote(later, block, TIME_S) for _ in range(2))]
    tips = set()
    for order in itertools.islice(itertools.permutations(items), 0, 120, 5):
        chain = BkChain(PARAMETERS)
        for item in sorted(order, key=lambda one: (one.previous != chain.graph.genesis.id, chance.random())):
            if item.previous not in chain.graph.blocks:
                chain.graph.add_block(first.block, {vote.id: vote for vote in votes}, b"\x00")
            chain.graph.add_vote(item)
        tips.add((chain.graph.best.id, len(chain.graph.best.votes)))
    assert tips == {(first.id, 2)}
