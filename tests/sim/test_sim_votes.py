"""The books of a chain of votes under everything that can go wrong; and that the simulator would see it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sim_oracle import is_found
from sim_seeds import Job, play_all
from support.points import some
from votes_run import run_votes

from chains.kind import BlockStatus
from pool.accounting import found_block
from pool.accounting.found_block import Step
from pool.services import block_following
from pool.storage import block_store

Patch = pytest.MonkeyPatch

SEEDS = 30
EVERY_POINT_SEED = 12
SHORT_STEPS = 4


def test_sim_votes_hold_for_every_seed() -> None:
    tally = play_all([Job("votes", seed) for seed in range(SEEDS)])
    assert not tally.failures, str(tally)
    for happened in ("crashes", "moved", "mature", "orphan", "reinstate", "loss", "lost", "submitted"):
        assert tally.counts[happened] > 0, f"no run had {happened}"


def test_sim_votes_hold_with_a_crash_at_every_point() -> None:
    points = run_votes(EVERY_POINT_SEED, quiet=True, steps=SHORT_STEPS).points
    jobs = [Job("short-votes", EVERY_POINT_SEED, crash_at=at) for at in some(range(1, points + 1), 6)]
    tally = play_all(jobs)
    assert points > 50
    assert not tally.failures, str(tally)


def never_elsewhere(patch: Patch) -> None:
    """A vote in another block counts as if it were where it was credited."""
    patch.setattr(found_block, "_in_place", lambda block, status: True)


def never_goes_on(patch: Patch) -> None:
    """A vote that is in another block is void, and that is all."""
    patch.setattr(found_block, "_elsewhere", lambda block: Step.ORPHAN if block.state == "immature" else Step.NOTHING)


def pays_beside(patch: Patch) -> None:
    """A vote is credited in a second place while it is paid in the first."""
    elsewhere = found_block._elsewhere
    patch.setattr(
        found_block, "_elsewhere", lambda block: Step.MOVE if block.state == "immature" else elsewhere(block)
    )
    patch.setattr(block_store, "paid_against", lambda *_: None)


def waits_for_ever(patch: Patch) -> None:
    """A vote whose block left counts on while it waits for another."""
    next_step = block_following.next_step

    def stepping(block: Any, status: BlockStatus, **rest: Any) -> Step:
        waits = status.found and status.confirmations <= 0 and block.place is not None
        return Step.NOTHING if waits else next_step(block, status, **rest)

    patch.setattr(block_following, "next_step", stepping)


PLANTED: list[Callable[[Patch], None]] = [never_elsewhere, never_goes_on, pays_beside, waits_for_ever]


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_sim_finds_a_planted_mistake_with_votes(plant: Callable[[Patch], None], monkeypatch: Patch) -> None:
    plant(monkeypatch)
    assert any(is_found(partial(run_votes, seed, rates=(0.0, 0.0))) for seed in range(60)), "nothing was found"
