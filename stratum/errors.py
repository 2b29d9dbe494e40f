"""The refusals a miner can get, each one the three-element array of the Stratum `error` member.

Codes 20 to 24 are slush's original table as eloipool's stratumserver.py has it, 25 is its later companion, and -3 is
what the reference server answers to an unknown method. The text is for people; a program should read the code.
"""

from __future__ import annotations

import msgspec


class StratumError:
    """A refusal: `code`, `text` for people, `reason` as a metric label, and `penalty` as the ladder counts it.

    penalty 1.0: the submission was worthless; 0.5: honest miners do that when the tip moves (stale, duplicate);
    0.0: not the miner's fault.
    """

    __slots__ = ("code", "penalty", "reason", "text", "wire")

    def __init__(self, code: int, text: str, reason: str, penalty: float = 1.0) -> None:
        self.code = code
        self.text = text
        self.reason = reason
        self.penalty = penalty
        self.wire: bytes = b"[%d,%b,null]" % (code, msgspec.json.encode(text))

    def __repr__(self) -> str:
        return f"StratumError({self.code}, {self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StratumError) and self.wire == other.wire

    def __hash__(self) -> int:
        return hash(self.wire)


def other(text: str, penalty: float = 1.0) -> StratumError:
    """Error 20 with a sentence that says what was expected."""
    return StratumError(20, text, "other", penalty)


def unauthorized(text: str) -> StratumError:
    """Error 24 with the reason why this login was refused."""
    return StratumError(24, text, "unauthorized")


STALE = StratumError(21, "Stale job", "stale", penalty=0.5)
UNKNOWN_JOB = StratumError(21, "Job not found", "unknown_job", penalty=0.5)
DUPLICATE = StratumError(22, "Duplicate share", "duplicate", penalty=0.5)
LOW_DIFFICULTY = StratumError(23, "Low difficulty share", "low_difficulty")
UNAUTHORIZED = StratumError(24, "Unauthorized worker", "unauthorized")
NOT_SUBSCRIBED = StratumError(25, "Not subscribed", "not_subscribed")
METHOD_NOT_FOUND = StratumError(-3, "Method not found", "method_not_found", penalty=0.0)
