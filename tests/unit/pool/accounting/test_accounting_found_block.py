"""Every transition of a found block, as a table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from chains.kind import BlockStatus, Inclusion
from pool.accounting.found_block import (
    LOST_WATCH_MS,
    ORPHAN_WATCH_MS,
    REJECTED_WATCH_MS,
    BlockState,
    FoundBlock,
    Place,
    Step,
    next_step,
)

MATURITY = 10
HEIGHT = 100


def block(state: BlockState, *, credited: bool, confirmations: int = 3, watched: bool = True) -> FoundBlock:
    reward = 50 if credited else None
    return FoundBlock(
        1,
        "alpha",
        "ab" * 32,
        HEIGHT,
        state,
        reward,
        0 if credited else None,
        9,
        "ff" * 32,
        0,
        confirmations,
        0,
        watched,
    )


Seen = tuple[BlockStatus, int | None]
"""What the node says of the block, and the chain's best height."""


def in_chain(confirmations: int) -> Seen:
    return BlockStatus(True, confirmations, HEIGHT), HEIGHT + confirmations - 1


def beside(tip_height: int | None = HEIGHT + 1) -> Seen:
    return BlockStatus(True, -1, HEIGHT), tip_height


def unknown(tip_height: int | None) -> Seen:
    return BlockStatus(False), tip_height


CASES: list[tuple[str, FoundBlock, Seen, Step]] = [
    ("a new block in the chain is credited", block("submitted", credited=False), in_chain(1), Step.CREDIT),
    ("an old one too, maturing later", block("submitted", credited=False), in_chain(50), Step.CREDIT),
    ("a rejected block that is in the chain is credited", block("rejected", credited=False), in_chain(1), Step.CREDIT),
    ("an orphan that never had credits is credited", block("orphan", credited=False), in_chain(1), Step.CREDIT),
    ("an orphan that returns is reinstated", block("orphan", credited=True), in_chain(1), Step.REINSTATE),
    ("confirmations are followed", block("immature", credited=True), in_chain(4), Step.CONFIRM),
    ("and also when they fall", block("immature", credited=True), in_chain(2), Step.CONFIRM),
    ("without change nothing is written", block("immature", credited=True), in_chain(3), Step.NOTHING),
    ("one short of maturity", block("immature", credited=True), in_chain(9), Step.CONFIRM),
    ("maturity", block("immature", credited=True), in_chain(10), Step.MATURE),
    ("mature is final", block("mature", credited=True), in_chain(11), Step.NOTHING),
    ("a final block is followed still", block("mature", credited=True, watched=False), in_chain(11), Step.NOTHING),
    ("a final block beside the chain is lost", block("mature", credited=True, watched=False), beside(), Step.LOSE),
    ("unknown under a competing chain it is lost", block("mature", credited=True), unknown(HEIGHT + 1), Step.LOSE),
    ("unknown at the tip it may come yet", block("mature", credited=True), unknown(HEIGHT), Step.NOTHING),
    ("a lost block is back", block("lost", credited=True), in_chain(1), Step.FIND),
    ("a lost block stays watched however deep", block("lost", credited=True), beside(HEIGHT + 999), Step.NOTHING),
    ("beside the chain", block("immature", credited=True), beside(), Step.ORPHAN),
    ("beside the chain before any credit", block("submitted", credited=False), beside(), Step.ORPHAN),
    ("beside the chain on a node that tells no tip", block("immature", credited=True), beside(None), Step.ORPHAN),
    ("unknown with a competing chain above it", block("immature", credited=True), unknown(HEIGHT + 1), Step.ORPHAN),
    ("unknown with a competitor that may yet lose", block("immature", credited=True), unknown(HEIGHT), Step.NOTHING),
    ("unknown below the tip", block("submitted", credited=False), unknown(HEIGHT - 1), Step.NOTHING),
    ("unknown and no tip told", block("immature", credited=True), unknown(None), Step.NOTHING),
    ("known, place unknown", block("immature", credited=True), (BlockStatus(True, 0, HEIGHT), HEIGHT + 9),
    Step.NOTHING), ("an orphan stays watched", block("orphan", credited=True), beside(HEIGHT + 2 * MATURITY),
    Step.NOTHING), ("until it is buried", block("orphan", credited=True), beside(HEIGHT + 2 * MATURITY + 1),
    Step.RETIRE), ("a rejected block is buried too", block("rejected", credited=False), unknown(HEIGHT + 100),
    Step.RETIRE), ("a retired block is left alone", block("orphan", credited=True, watched=False), in_chain(1),
Step.NOTHING), ]


@pytest.mark.parametrize(("subject", "seen", "step"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_accounting_found_block_takes_the_right_step(subject: FoundBlock, seen: Seen, step: Step) -> None:
    status, tip_height = seen
    assert next_step(subject, status, tip_height=tip_height, maturity=MATURITY, now_ms=1000) is step


def vote(state: BlockState, *, confirmations: int = 3, watched: bool = True) -> FoundBlock:
    """One that was credited at index 2 of the block c."""
    return replace(
        block(state, credited=True, confirmations=confirmations, watched=watched), vote_hash_hex="ab" * 32,
        place=Place("c", 2),
    )  # fmt: skip


def included(confirmations: int, container: str = "c", index: int = 2, amount: int = 50) -> Seen:
    place = Inclusion(container, index, amount)
    return BlockStatus(True, confirmations, HEIGHT, place), HEIGHT + confirmations - 1


WAITS: Seen = BlockStatus(True, 0, HEIGHT), HEIGHT - 1

VOTES: list[tuple[str, FoundBlock, Seen, Step]] = [
    ("a new vote in a block is credited there", block("submitted", credited=False), included(1), Step.CREDIT),
    ("a vote that no block has yet waits", block("submitted", credited=False), WAITS, Step.NOTHING),
    ("a vote that no block can have is late", block("submitted", credited=False), beside(HEIGHT), Step.ORPHAN),
    ("a late vote that a block has after all", block("orphan", credited=False), included(1), Step.CREDIT),
    ("in its place", vote("immature"), included(4), Step.CONFIRM),
    ("in its place, deep", vote("immature"), included(10), Step.MATURE),
    ("in another block", vote("immature"), included(4, "d"), Step.ORPHAN),
    ("in another block, deep", vote("immature"), included(10, "d"), Step.ORPHAN),
    ("at another index, which no block does", vote("immature"), included(4, "c", 1), Step.ORPHAN),
    ("no longer in a block, it waits for another", vote("immature"), WAITS, Step.ORPHAN),
    ("no longer in a block, and none can have it", vote("immature"), beside(HEIGHT), Step.ORPHAN),
    ("a void in another block goes on there", vote("orphan"), included(1, "d", 0, 60), Step.MOVE),
    ("however deep", vote("orphan"), included(99, "d"), Step.MOVE),
    ("unless nobody watches it", vote("orphan", watched=False), included(1, "d"), Step.NOTHING),
    ("a void back in its place", vote("orphan"), included(2), Step.REINSTATE),
    ("for another amount than it was", vote("orphan"), included(2, amount=49), Step.DISPUTE),
    ("a void that waits", vote("orphan"), WAITS, Step.NOTHING),
    ("a final vote in its place", vote("mature", watched=False), included(11), Step.NOTHING),
    ("a final vote in another block is lost", vote("mature", watched=False), included(4, "d"), Step.LOSE),
    ("a final vote in no block is lost", vote("mature", watched=False), WAITS, Step.LOSE),
    ("a lost vote in another block goes on there", vote("lost"), included(1, "d"), Step.MOVE),
    ("a lost vote back in its place", vote("lost"), included(1), Step.FIND),
    ("for another amount", vote("lost"), included(1, amount=0), Step.DISPUTE),
]


@pytest.mark.parametrize(("subject", "seen", "step"), [case[1:] for case in VOTES], ids=[case[0] for case in VOTES])
def test_accounting_found_vote_takes_the_right_step(subject: FoundBlock, seen: Seen, step: Step) -> None:
    status, tip_height = seen
    assert next_step(subject, status, tip_height=tip_height, maturity=MATURITY, now_ms=1000) is step


@pytest.mark.parametrize(
    ("state", "limit_ms"),
    [("rejected", REJECTED_WATCH_MS), ("orphan", ORPHAN_WATCH_MS), ("lost", LOST_WATCH_MS), ("submitted", None)],
)
def test_accounting_found_block_is_not_watched_for_ever(state: Any, limit_ms: int | None) -> None:
    subject = block(state, credited=False)
    for age_ms, step in (
        (limit_ms or 0, Step.NOTHING),
        ((limit_ms or 10**12) + 1, Step.RETIRE if limit_ms else Step.NOTHING),
    ):
        assert next_step(subject, BlockStatus(False), tip_height=None, maturity=MATURITY, now_ms=age_ms) is step
