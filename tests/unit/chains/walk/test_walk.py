"""The walk: what a reorganisation leaves is what the new path alone would have made."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.walk.outcome import Applied, Ignored
from chains.walk.walk import Outcome, Step, TooDeepError, Walk

BASE = bytes(32)


class Tally:
    """A list of numbers; odd ones are ignored."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def apply(self, record: int) -> Applied[int] | Ignored:
        if record % 2:
            return Ignored("odd")
        self.numbers.append(record)
        return Applied(record)

    def undo(self, undo: int) -> None:
        assert self.numbers.pop() == undo


def steps(branch: int, records: list[int | None]) -> list[Step[int]]:
    return [Step(bytes((branch,)) * 30 + at.to_bytes(2, "big"), record) for at, record in enumerate(records)]


RECORDS = st.lists(st.none() | st.integers(0, 9), max_size=8)


@given(RECORDS, RECORDS, RECORDS)
def test_walk_after_a_reorganisation_equals_the_new_path_alone(
    trunk: list[int | None], old: list[int | None], new: list[int | None]
) -> None:
    state = Tally()
    walk = Walk(state, BASE)
    walk.move(BASE, steps(1, trunk))
    fork = walk.tip
    walk.move(fork, steps(2, old))
    moved = walk.move(fork, steps(3, new))
    assert [done.id for done in moved.undone] == [step.id for step in reversed(steps(2, old))]
    fresh = Tally()
    other = Walk(fresh, BASE)
    other.move(BASE, [*steps(1, trunk), *steps(3, new)])
    assert state.numbers == fresh.numbers
    assert list(walk.steps_since(0)) == list(other.steps_since(0))
    assert walk.tip == other.tip


def test_walk_keeps_the_outcome_of_every_step() -> None:
    walk = Walk(Tally(), BASE)
    path = steps(1, [2, 3, None])
    walk.move(BASE, path)
    found = [walk.get(step.id) for step in path]
    assert [(done.outcome, done.reason, done.position) for done in found if done] == [
        (Outcome.APPLIED, "", 1),
        (Outcome.IGNORED, "odd", 2),
        (Outcome.GAP, "", 3),
    ]
    walk.move(path[0].id, [])
    assert walk.get(path[1].id) is None
    assert path[1].id not in walk
    assert walk.get(BASE) is None
    assert BASE in walk


def test_walk_refuses_what_it_cannot_undo_and_changes_nothing() -> None:
    state = Tally()
    walk = Walk(state, BASE, keep=2)
    path = steps(1, [2, 4, 6])
    walk.move(BASE, path)
    with pytest.raises(TooDeepError, match="3 steps back, 2 are kept"):
        walk.move(BASE, [])
    with pytest.raises(TooDeepError, match="not on the path"):
        walk.move(bytes(31) + b"\x01", [])
    assert state.numbers == [2, 4, 6]
    walk.move(path[0].id, steps(2, [8]))
    assert state.numbers == [2, 8]


def test_walk_refuses_a_step_twice() -> None:
    walk = Walk(Tally(), BASE)
    path = steps(1, [2])
    walk.move(BASE, path)
    with pytest.raises(ValueError, match="on the path already"):
        walk.move(path[0].id, path)
