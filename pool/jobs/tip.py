"""A parent tip as jobs see it: what is stale belongs to another one."""

from __future__ import annotations

from chains.primitives.share_kernel import SeenHashes


class Tip:
    """Its block hash (natural order), the ids of the jobs on it, oldest first, and the header hashes of the shares
    accepted on it."""

    __slots__ = ("job_ids", "previous_hash", "seen")

    def __init__(self, previous_hash: bytes) -> None:
        self.previous_hash = previous_hash
        self.job_ids: dict[str, None] = {}
        self.seen = SeenHashes()
