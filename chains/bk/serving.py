"""What a node tells when asked: its tip, votes, blocks, and what follows a block that both prefer. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from chains.bk.chain import BkChain
from chains.bk.messages import ANSWERED_BYTES, INLINE_BODY, MAX_CHAIN, VOTES_MESSAGE, Offer, Tip, vote_batches
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


def answered(known: KnownBlock, limit: int = ANSWERED_BYTES) -> Offer:
    """A block with its body and its votes, as far as they go into one message and `limit` bytes."""
    assert known.block is not None
    body = known.body if len(known.body) <= limit else None
    size = 0 if body is None else len(body)
    votes: list[bytes] = []
    for vote in known.included():
        wire = vote.serialize()
        size += len(wire) + 3
        if size > limit or size - len(body or b"") > VOTES_MESSAGE:
            break
        votes.append(wire)
    return Offer(known.block, len(known.body), body, tuple(votes))


def blocks_payloads(chain: BkChain, wanted: Iterable[bytes]) -> list[bytes]:
    """`block` messages with those of the wanted blocks that are known; what goes along is bounded for all of them."""
    payloads: list[bytes] = []
    left = ANSWERED_BYTES
    for block_id in wanted:
        known = chain.graph.blocks.get(block_id)
        if known is not None and known.block is not None:
            offer = answered(known, left)
            left -= sum(map(len, offer.votes)) + len(offer.body or b"")
            payloads.append(offer.serialize())
    return payloads


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
