"""A state derived along the best path: steps are done one after another, and undone in the opposite order.

The walk knows neither what a record is nor which path is best; whoever keeps the tree of blocks or proofs tells it
where the new path leaves the old one. It keeps the outcome of every step on its path, so that "what became of this
block" has one answer, and the undo values of the last `keep` steps, or of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from chains.walk.outcome import Applied, Ignored, State

Record = TypeVar("Record")
Undo = TypeVar("Undo")


class TooDeepError(Exception):
    """A move back to a step whose undo values are no longer kept, or that is not on the path."""


class Outcome(StrEnum):
    """What a step did. A gap carried nothing for this state, a void carried a record that did nothing."""

    APPLIED = "applied"
    IGNORED = "ignored"
    GAP = "gap"


@dataclass(frozen=True, slots=True)
class Step(Generic[Record]):
    """One element of a path: its id (32 bytes), and its record for this state, None when it has none."""

    id: bytes
    record: Record | None


@dataclass(frozen=True, slots=True)
class Done(Generic[Record]):
    """A step with what became of it; `reason` says why it was ignored, `ignored` which of its parts were.
    `position` counts steps from 1."""

    id: bytes
    position: int
    record: Record | None
    outcome: Outcome
    reason: str = ""
    ignored: tuple[tuple[bytes, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Moved(Generic[Record]):
    """What a move changed: steps undone, newest first, and steps done, oldest first."""

    undone: tuple[Done[Record], ...]
    done: tuple[Done[Record], ...]


class Walk(Generic[Record, Undo]):
    """The path from `base` (the id of what the state starts from) to `tip`, and the state there."""

    def __init__(self, state: State[Record, Undo], base: bytes, keep: int | None = None) -> None:
        self.state = state
        self.base = base
        self._keep = keep
        self._path: list[Done[Record]] = []
        self._undos: dict[int, Applied[Undo]] = {}
        self._position: dict[bytes, int] = {base: 0}

    @property
    def tip(self) -> bytes:
        return self._path[-1].id if self._path else self.base

    def __len__(self) -> int:
        """How many steps the path has."""
        return len(self._path)

    def __contains__(self, step_id: bytes) -> bool:
        """Whether a step, or the base, is on the path."""
        return step_id in self._position

    def get(self, step_id: bytes) -> Done[Record] | None:
        """What became of a step of the path; None when it is not on it, and for the base."""
        position = self._position.get(step_id, 0)
        return self._path[position - 1] if position else None

    def steps_since(self, position: int) -> Sequence[Done[Record]]:
        """The steps after the first `position` ones, oldest first."""
        return self._path[position:]

    def move(self, fork: bytes, steps: Sequence[Step[Record]]) -> Moved[Record]:
        """Undo every step after `fork`, then do `steps`. Raises TooDeepError, with nothing changed, when the fork is
        not on the path or lies below what can be undone."""
        position = self._position.get(fork)
        if position is None:
            raise TooDeepError(f"{fork.hex()} is not on the path")
        if self._keep is not None and len(self._path) - position > self._keep:
            raise TooDeepError(f"{len(self._path) - position} steps back, {self._keep} are kept")
        undone = tuple(self._back() for _ in range(len(self._path) - position))
        return Moved(undone, tuple(self._forth(step) for step in steps))

    def _back(self) -> Done[Record]:
        applied = self._undos.pop(len(self._path), None)
        if applied is not None:
            self.state.undo(applied.undo)
        last = self._path.pop()
        del self._position[last.id]
        return last

    def _forth(self, step: Step[Record]) -> Done[Record]:
        if step.id in self._position:
            raise ValueError(f"{step.id.hex()} is on the path already")
        position = len(self._path) + 1
        done = self._do(step, position)
        self._path.append(done)
        self._position[step.id] = position
        if self._keep is not None:
            self._undos.pop(position - self._keep, None)
        return done

    def _do(self, step: Step[Record], position: int) -> Done[Record]:
        if step.record is None:
            return Done(step.id, position, None, Outcome.GAP)
        result = self.state.apply(step.record)
        if isinstance(result, Ignored):
            return Done(step.id, position, step.record, Outcome.IGNORED, result.reason)
        self._undos[position] = result
        return Done(step.id, position, step.record, Outcome.APPLIED, "", result.ignored)
