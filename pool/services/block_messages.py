"""Found blocks of processes that have no nodes, and how their submission ended: what is said of them on the way."""

from __future__ import annotations

import msgspec

from pool.blocks.solution_store import Outcome, SolutionRecord


class BlockFound(msgspec.Struct, tag="block", frozen=True):
    """To be submitted by whoever has nodes. Told until it is answered; `ticket` is one submission's. `again` tells that
    somebody may have submitted it before, and the answer got lost."""

    ticket: str
    record: SolutionRecord
    again: bool


class BlockAnswered(msgspec.Struct, tag="answered", frozen=True):
    """How the submission of a BlockFound ended: a word, what the books are told, and the node's reason."""

    ticket: str
    word: str
    outcome: Outcome
    reason: str
