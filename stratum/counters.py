"""What the server counts, as plain integers: a metrics page reads them, nothing on the hot path pays for labels."""

from __future__ import annotations

from collections import Counter


class Counters:
    """All ever-growing; the labels are fixed words of this package, never a stranger's text."""

    __slots__ = ("accepted", "bans", "closed", "connections", "messages", "parse_errors", "rejected")

    def __init__(self) -> None:
        self.connections: Counter[str] = Counter()  # by result: accepted, or why turned away
        self.closed: Counter[str] = Counter()  # by reason
        self.rejected: Counter[str] = Counter()  # submissions, by StratumError.reason
        self.parse_errors: Counter[str] = Counter()  # by Malformed.kind
        self.accepted = 0
        self.messages = 0
        self.bans = 0
