"""Which votes and blocks are valid, each check named, in one visible order: the first failing one gives the reason.

What B_k leaves to the reader and what is dropped at one's peril: every vote of a block must vote for the block's own
predecessor, and ids ascend *strictly*, or one vote repeated k times makes a block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from chains.votes.block import SignedBlock, is_signed
from chains.votes.content import Content
from chains.votes.header import VERSION, votes_root
from chains.votes.rules import VoteRules
from chains.votes.vote import Vote

MAX_FUTURE_S = 7200
"""Bitcoin's bound for parent blocks. A quick chain has a closer one, the half-life, so that dates can at most double
its target for a while."""


def is_too_new(vote: Vote, rules: VoteRules, now_s: int) -> bool:
    """Whether a vote's parent header is too far ahead of the clock. It may be taken later: clocks differ, so this makes
    nothing invalid."""
    return vote.time_s > now_s + min(MAX_FUTURE_S, rules.half_life_s)


def vote_problem(vote: Vote, target: int) -> str | None:
    """Against the target of the block it names; its form, key and proof were checked when it was read."""
    return None if vote.size <= target else "vote-high-hash"


def form_problem(block: SignedBlock, rules: VoteRules) -> str | None:
    """What can be told of a block without anything else: version, number and order of votes, their commitment."""
    if block.header.version != VERSION:
        return "block-version"
    if len(block.votes) != rules.k:
        return "block-vote-count"
    if not _ascend(block.votes):
        return "block-vote-order"
    if block.header.votes_root != votes_root(block.votes):
        return "block-votes-root"
    return None


def place_problem(block: SignedBlock, previous: bytes, previous_height: int, target: int) -> str | None:
    """Against its predecessor: that it is that one, one higher, and no vote's hash above the target there."""
    if block.header.previous != previous:
        return "block-previous"
    if block.header.height != previous_height + 1:
        return "block-height"
    if any(int.from_bytes(vote, "little") > target for vote in block.votes):
        return "vote-high-hash"
    return None


def block_problem(block: SignedBlock, votes: Mapping[bytes, Vote], rules: VoteRules) -> str | None:
    """With its votes at hand, all of which `vote_problem` passed: that they vote for the block's predecessor, and that
    the owner of the first one's key signed the header."""
    for vote in block.votes:
        if vote not in votes:
            return "block-vote-missing"
        if votes[vote].previous != block.header.previous:
            return "block-vote-parent"
    leader = votes[block.votes[0]].datum.leader_key
    if not is_signed(block.header, rules.signing_tag, leader, block.signature):
        return "block-signature"
    return None


def content_problem(block: SignedBlock, body: bytes, content: Content) -> str | None:
    """That the body is no larger than allowed and the one that the header commits to."""
    if len(body) > content.limits.body_bytes:
        return "block-body-size"
    return content.check(block.header.tx_root, body)


def _ascend(votes: Sequence[bytes]) -> bool:
    sizes = [int.from_bytes(vote, "little") for vote in votes]
    return all(smaller < larger for smaller, larger in pairwise(sizes))
