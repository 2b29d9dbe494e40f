"""How the submission of a found block ends: at one node, and of several nodes or proofs together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from chains.kind import SubmitAnswer, SubmitResult
from pool.blocks.solution_store import Outcome

GIVEN_UP = "given_up"
"""An answer that never came says nothing about the block: it may be on the chain, so the books go on looking for it."""
UNBUILT = "unbuilt"
"""No block could be made of the solve: an error of ours."""

OUTCOMES: dict[SubmitResult, Outcome] = {
    SubmitResult.ACCEPTED: "accepted",
    SubmitResult.DUPLICATE: "accepted",
    SubmitResult.INCONCLUSIVE: "unknown",
    SubmitResult.REJECTED: "rejected",
    SubmitResult.STALE: "rejected",
}
_RANKS = (*(result.value for result in OUTCOMES), GIVEN_UP)
_CLOSING = frozenset({SubmitResult.ACCEPTED.value, SubmitResult.DUPLICATE.value, SubmitResult.STALE.value})


class Ending(NamedTuple):
    """A word for the metrics, what the books are told, and the node's reason."""

    word: str
    outcome: Outcome
    reason: str = ""

    @property
    def is_refused(self) -> bool:
        return self.word == SubmitResult.REJECTED.value

    @property
    def is_trouble(self) -> bool:
        return self.is_refused or self.word == GIVEN_UP

    @property
    def closes(self) -> bool:
        """After it no further proof of an auxiliary block can earn anything: it is found, or its node forgot it."""
        return self.word in _CLOSING


def answered(answer: SubmitAnswer, *, first_try: bool) -> Ending:
    """A node forgets its template once it took the block, too: after a try whose answer was lost, "stale" does not tell
    what became of it."""
    unsure = answer.result is SubmitResult.STALE and not first_try
    return Ending(answer.result.value, "unknown" if unsure else OUTCOMES[answer.result], answer.reason)


def given_up(error: Exception) -> Ending:
    return Ending(GIVEN_UP, "unknown", f"given up: {error}")


def best(endings: Iterable[Ending]) -> Ending:
    """The one that counts of several nodes' or proofs'."""
    return min(endings, key=lambda ending: _RANKS.index(ending.word))
