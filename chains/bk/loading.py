"""Starting from what was written: votes and blocks are put together again in the order in which they came.

Blocks are checked as if a peer had sent them, votes by their records' checksums. What does not fit any more (a record
that is damaged, a block whose vote is lost, and all that stands on it) is left out and deleted; the peers have it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chains.bk.chain import BkChain
from chains.bk.records import BLOCKS, VOTES, read_block_record, read_vote_record
from chains.primitives.serialize import MalformedError
from chains.votes.block import SignedBlock
from chains.votes.graph import KnownBlock
from chains.votes.validity import block_problem, content_problem, form_problem, place_problem, vote_problem
from chains.votes.vote import Vote

Records = Mapping[str, Sequence[tuple[bytes, bytes]]]


@dataclass(frozen=True, slots=True)
class Loaded:
    """How much was found, and the (table, key) of what was not usable."""

    blocks: int
    votes: int
    unusable: tuple[tuple[str, bytes], ...]


def load(chain: BkChain, records: Records) -> Loaded:
    """Fill an empty chain."""
    unusable: list[tuple[str, bytes]] = []
    votes: dict[bytes, Vote] = {}
    for key, value in records.get(VOTES, ()):
        try:
            votes[key] = read_vote_record(key, value, chain.rules)
        except MalformedError:
            unusable.append((VOTES, key))
    for_block: dict[bytes, list[Vote]] = {}
    for vote in votes.values():
        for_block.setdefault(vote.previous, []).append(vote)
    _add_votes(chain, chain.graph.genesis, for_block)
    for key, value in records.get(BLOCKS, ()):
        try:
            block, body = read_block_record(key, value)
        except MalformedError:
            unusable.append((BLOCKS, key))
            continue
        if _problem(chain, block, body) is not None:
            unusable.append((BLOCKS, key))
        else:
            known = chain.graph.add_block(block, {v: chain.graph.blocks[block.header.previous].votes[v]
                                                  for v in block.votes}, body)  # fmt: skip
            _add_votes(chain, known, for_block)
    unusable += [(VOTES, key) for key in votes if chain.graph.vote(key) is None]
    loaded_votes = sum(chain.graph.vote(key) is not None for key in votes)
    return Loaded(len(chain.graph.blocks) - 1, loaded_votes, tuple(unusable))


def _add_votes(chain: BkChain, block: KnownBlock, for_block: Mapping[bytes, Sequence[Vote]]) -> None:
    """In their order, before any block takes them: attempts prefer the oldest."""
    for vote in for_block.get(block.id, ()):
        if vote_problem(vote, block.target) is None:
            chain.graph.add_vote(vote)


def _problem(chain: BkChain, block: SignedBlock, body: bytes) -> str | None:
    previous = chain.graph.blocks.get(block.header.previous)
    if previous is None:
        return "block-unknown-previous"
    return (
        form_problem(block, chain.rules)
        or place_problem(block, previous.id, previous.height, previous.target)
        or block_problem(block, previous.votes, chain.rules)
        or content_problem(block, body, chain)
    )
