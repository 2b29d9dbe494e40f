"""What a kind puts into blocks of votes: 32 bytes in the header and the bytes behind them, read by the kind only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ContentLimits:
    """`body_bytes` is the largest body that a block may have."""

    body_bytes: int


@dataclass(frozen=True, slots=True)
class BuiltContent:
    root: bytes
    body: bytes


class Content(Protocol):
    """The kind's side of a block. What `check` refuses, every node refuses for ever: it may look at nothing but its
    arguments. What depends on the state of the chain is the walk's affair and never makes a block invalid."""

    limits: ContentLimits

    def build(self, previous: bytes) -> BuiltContent:
        """What a leader puts into its block after `previous`."""
        ...

    def check(self, root: bytes, body: bytes) -> str | None:
        """None if the body is the one that the root commits to; otherwise a reason word."""
        ...
