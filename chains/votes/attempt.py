"""Proposing a block: the leader rule. Whoever owns the smallest vote of a selection may sign it, once.

The owner's smallest vote stays in front: foreign votes that are smaller still are passed over, so a leader stands in
for one that is silent at the price of one more vote each. Nobody proposes what is beaten already: a known successor
with a smaller or equal leader vote, or a result that would not be preferred.
"""

from __future__ import annotations

from chains.votes.content import BuiltContent
from chains.votes.graph import KnownBlock, VoteGraph
from chains.votes.header import BlockHeader, votes_root
from chains.votes.vote import Vote

LOOKED_BACK = 2
"""Heights below the preferred block that are tried too. A successor of its predecessor, with a smaller leader vote, can
still win; one of an earlier block has less work unless targets differ, and then rarely."""


def selection(graph: VoteGraph, previous: KnownBlock, leader_key: bytes) -> tuple[Vote, ...] | None:
    """The votes of the block that the key's owner should propose after `previous`, in their order; None when it should
    not propose."""
    k = graph.rules.k
    if len(previous.votes) < k or not graph.would_be_best(previous, 0):
        return None
    votes = own_first(previous, leader_key, k)
    if votes is None:
        return None
    smallest = votes[0].size
    beaten = any(child.leader <= smallest for child in previous.children)
    return None if beaten or not graph.would_be_best(previous, smallest) else votes


def own_first(previous: KnownBlock, leader_key: bytes, k: int) -> tuple[Vote, ...] | None:
    """The k votes for a block that a key's owner could lead, whatever others have proposed: the smallest own ones, or
    all own ones and the oldest foreign ones that are not smaller than the smallest own one. None when there are not
    enough."""
    own = [vote for vote in previous.votes.values() if vote.datum.leader_key == leader_key]
    if not own:
        return None
    own.sort(key=lambda vote: vote.size)
    smallest = own[0].size
    if len(own) >= k:
        return tuple(own[:k])
    # A dict keeps the order of arrival, so the first ones are the oldest.
    foreign = [v for v in previous.votes.values() if v.datum.leader_key != leader_key and v.size > smallest]
    chosen = own + foreign[: k - len(own)]
    return tuple(sorted(chosen, key=lambda vote: vote.size)) if len(chosen) == k else None


def attempt(graph: VoteGraph, leader_key: bytes) -> tuple[KnownBlock, tuple[Vote, ...]] | None:
    """What the key's owner should propose now: the predecessor and the votes. Tried for the preferred block first, then
    for its predecessors and their successors, which a late vote may have made leaders of."""
    root = graph.best
    for _ in range(LOOKED_BACK):
        root = root.previous or root
    level = [root]
    candidates: list[KnownBlock] = []
    while level:
        candidates += level
        level = [child for block in level for child in block.children]
    for block in sorted(candidates, key=lambda block: -block.work):
        votes = selection(graph, block, leader_key)
        if votes is not None:
            return block, votes
    return None


def propose(previous: KnownBlock, votes: tuple[Vote, ...], content: BuiltContent) -> BlockHeader:
    """The header to be signed by the owner of the first vote's key."""
    root = votes_root(tuple(vote.id for vote in votes))
    return BlockHeader(previous.id, previous.height + 1, root, content.root)
