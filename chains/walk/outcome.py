"""What a record did to a state: applied, with the way back, or ignored, with a reason.

Nobody who does not follow a chain can judge its records, so a bad record never rejects the block or proof that carries
it; it is ignored, and every follower ignores it alike (docs/adr/0017).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

Undo_co = TypeVar("Undo_co", covariant=True)
Undo = TypeVar("Undo")
Record_contra = TypeVar("Record_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Applied(Generic[Undo_co]):
    """The record changed the state; `undo` takes exactly that back. `ignored` are parts of the record that did
    nothing: (id, reason)."""

    undo: Undo_co
    ignored: tuple[tuple[bytes, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Ignored:
    """The record left the state as it was; `reason` is a word with hyphens."""

    reason: str


class State(Protocol[Record_contra, Undo]):
    """What is walked. `undo` is called with what `apply` returned, in exactly the opposite order."""

    def apply(self, record: Record_contra) -> Applied[Undo] | Ignored: ...

    def undo(self, undo: Undo) -> None: ...
