"""The lines that a node of B_k writes into its log."""

from __future__ import annotations

import logging

from chains.accounts.ledger import LedgerBlock
from chains.bk.chain import BkChain
from chains.peers.core import Note
from chains.primitives.hashes import displayed
from chains.votes.vote import Vote
from chains.walk.walk import Moved

DEEP_MOVE = 3
"""Undone blocks from which a reorganisation is a warning: siblings of one height change places all the time."""


def of_move(chain: BkChain, moved: Moved[LedgerBlock]) -> Note:
    """The preferred block changed."""
    best, undone = chain.graph.best, len(moved.undone)
    fields: dict[str, object] = {"height": best.height, "block": displayed(best.id), "votes": len(best.votes)}
    if not undone:
        return Note(logging.INFO, "preferred block", fields)
    level = logging.WARNING if undone >= DEEP_MOVE else logging.INFO
    return Note(level, "blocks undone", fields | {"blocks": undone})


def of_clock(vote: Vote, now_ms: int) -> Note:
    """Somebody's clock is wrong. If it is ours, this node hears nothing of the chain any more."""
    fields = {"vote": displayed(vote.id), "ahead_s": vote.time_s - now_ms // 1000}
    return Note(logging.WARNING, "a vote is dated ahead of this clock", fields)
