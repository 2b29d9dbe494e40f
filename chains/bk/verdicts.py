"""The words for what became of a vote or a block, and the points that each costs the peer who sent it."""

from __future__ import annotations

ACCEPTED, DUPLICATE, INCOMPLETE = "accepted", "duplicate", "incomplete"
UNKNOWN_BLOCK, DEEP_VOTE, TOO_NEW = "vote-unknown-block", "vote-deep", "vote-time-too-new"
UNKNOWN_PREVIOUS, DEEP_BLOCK, EQUIVOCATION = "block-unknown-previous", "block-deep", "block-equivocation"

POINTS = {
    ACCEPTED: 0,
    DUPLICATE: 0,
    INCOMPLETE: 0,
    TOO_NEW: 0,  # a clock may be wrong, ours too
    UNKNOWN_BLOCK: 0,  # it waits; a peer whose votes no longer fit is scored with 1 then
    UNKNOWN_PREVIOUS: 0,
    DEEP_VOTE: 1,  # an honest peer may come back from a partition
    DEEP_BLOCK: 0,
    EQUIVOCATION: 0,  # nobody knows who else has seen which two
    "third-proposal": 1,
    "chain-not-given": 1,  # messages get lost
    "block-not-completed": 5,
    "vote-twice": 2,
    "too-many-waiting": 1,
    "vote-high-hash": 20,
}
"""Misbehaviour points by word. Votes that cannot be read cost VOTE_POINTS, every other word is of a block that nobody
honest could have passed on and costs BLOCK_POINTS."""
VOTE_POINTS = 20
BLOCK_POINTS = 100


def points_of(word: str) -> int:
    """The points of a verdict on a vote or a block that could be read."""
    return POINTS.get(word, BLOCK_POINTS)
