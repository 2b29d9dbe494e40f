"""What a node tells when asked: its tip, votes, blocks, and what follows a block that both prefer. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from chains.bk.chain import BkChain
from chains.bk.messages import INLINE_BODY, MAX_CHAIN, VOTES_MESSAGE, Offer, Tip, vote_batches
from chains.votes.graph import KnownBlock
from chains.votes.rules import MAX_VOTES


def tip_of(chain: BkChain, *, wants_answer: bool) -> Tip:
    best = chain.graph.best
    return Tip(wants_answer, best.id, best.height, best.work, tuple(best.votes)[:MAX_VOTES])


def votes_payloads(chain: BkChain, wanted: Iterable[bytes]) -> list[bytes]:
    """`votes` messages with those of the wanted votes that are known."""
    found = [vote.serialize() for vote_id in wanted if (vote := chain.graph.vote(vote_id)) is not None]
    return vote_batches(found)


def pushed(known: KnownBlock) -> Offer:
    """A block for those who have its votes. Genesis is nothing to be sent."""
    assert known.block is not None
    body = known.body if len(known.body) <= INLINE_BODY else None
    return Offer(known.block, len(known.body), body)


def answered(known: KnownBlock) -> Offer:
    """A block with its votes, as many of them as go into one message."""
    offer, size = pushed(known), 0
    votes: list[bytes] = []
    for vote in known.included():
        wire = vote.serialize()
        size += len(wire) + 3
        if size > VOTES_MESSAGE:
            break
        votes.append(wire)
    return Offer(offer.block, offer.body_size, offer.body, tuple(votes))


def locator(chain: BkChain) -> tuple[bytes, ...]:
    """Blocks of the preferred chain, dense at its end and ever rarer towards genesis."""
    height, step = chain.height, 1
    found: list[bytes] = []
    while height > 0:
        found.append(chain.block_at(height).id)
        if len(found) >= 10:
            step *= 2
        height -= step
    return (*found, chain.graph.genesis.id)


def after(chain: BkChain, located: Sequence[bytes]) -> tuple[bytes, ...]:
    """The blocks of the preferred chain that follow the first located one that is on it."""
    for block_id in located:
        known = chain.graph.blocks.get(block_id)
        if known is not None and chain.is_preferred(known):
            return tuple(done.id for done in chain.walk.steps_since(known.height)[:MAX_CHAIN])
    return ()
