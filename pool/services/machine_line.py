"""The line between the maker of jobs and the machines that follow it: what each end asks of it, and how often.

pool/storage/redis_feed.py is such a line. Every call raises TransportAwayError while it is down.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

RETRY_S = 0.5
WAIT_MS = 1000
"""Who asks for what is new waits so long for it."""

Entries = Sequence[tuple[bytes, bytes]]


class MakerLine(Protocol):
    """The maker's end."""

    async def claim_maker(self, owner: str, keep_ms: int) -> str: ...

    async def publish(self, sealed: bytes, *, whole: bool) -> bytes: ...

    async def whole(self) -> bytes | None: ...

    async def pieces_from(self, entry_id: bytes) -> Entries: ...

    async def found_after(self, entry_id: bytes, wait_ms: int) -> Entries: ...

    async def found(self, ticket: str) -> bytes | None: ...

    async def forget_found(self, ticket: str, ids: Sequence[bytes]) -> None: ...


class MachineLine(Protocol):
    """A machine's end."""

    async def claim_machine(self, number: int, family: str, owner: str, keep_ms: int) -> str: ...

    async def whole(self) -> bytes | None: ...

    async def pieces_from(self, entry_id: bytes) -> Entries: ...

    async def pieces_after(self, entry_id: bytes, wait_ms: int) -> Entries: ...

    async def tell(self, ticket: str, sealed: bytes) -> None: ...

    async def is_told(self, ticket: str) -> bool: ...
