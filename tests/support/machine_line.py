"""What lies between a maker of jobs and machines that follow it, in memory: pool/storage/redis_feed.py, no Redis."""

from __future__ import annotations

import asyncio

from pool.blocks.stream_entry import TransportAwayError

Entries = list[tuple[bytes, bytes]]


def _id(number: int) -> bytes:
    return b"%d-0" % number


def _number(entry_id: bytes) -> int:
    return int(entry_id.partition(b"-")[0])


class MemoryLine:
    """`is_away` makes every call fail; `flush` forgets everything, as an emptied Redis."""

    def __init__(self) -> None:
        self.is_away = False
        self.pieces: Entries = []
        self.place_of_whole: bytes | None = None
        self.blocks: dict[str, bytes] = {}
        self.tickets: Entries = []
        self.claims: dict[str, str] = {}
        self._last = 0

    def flush(self) -> None:
        self.pieces, self.place_of_whole, self.blocks, self.tickets, self.claims = [], None, {}, [], {}

    def say(self, content: bytes) -> bytes:
        """As anybody could."""
        self._last += 1
        self.pieces.append((_id(self._last), content))
        return _id(self._last)

    async def claim_maker(self, owner: str, keep_ms: int) -> str:
        return self._claim("maker", owner, owner, keep_ms)

    async def claim_machine(self, number: int, family: str, owner: str, keep_ms: int) -> str:
        return self._claim(str(number), family, owner, keep_ms)

    def _claim(self, key: str, family: str, owner: str, keep_ms: int) -> str:
        self._ask()
        if not self.claims.get(key, family).startswith(family):
            return self.claims[key]
        self.claims[key] = owner
        if keep_ms == 1:
            del self.claims[key]
        return owner

    async def publish(self, sealed: bytes, *, whole: bool) -> bytes:
        self._ask()
        place = self.say(sealed)
        if whole:
            self.place_of_whole, self.pieces = place, self.pieces[-1:]
        return place

    async def whole(self) -> bytes | None:
        self._ask()
        return self.place_of_whole

    async def pieces_from(self, entry_id: bytes) -> Entries:
        self._ask()
        return [piece for piece in self.pieces if _number(piece[0]) >= _number(entry_id)][:16]

    async def pieces_after(self, entry_id: bytes, wait_ms: int) -> Entries:
        return await self._after("pieces", entry_id)

    async def found_after(self, entry_id: bytes, wait_ms: int) -> Entries:
        return await self._after("tickets", entry_id)

    async def found(self, ticket: str) -> bytes | None:
        self._ask()
        return self.blocks.get(ticket)

    async def forget_found(self, ticket: str, ids: list[bytes]) -> None:
        self._ask()
        self.blocks.pop(ticket, None)
        self.tickets = [entry for entry in self.tickets if entry[0] not in ids]

    async def tell(self, ticket: str, sealed: bytes) -> None:
        self._ask()
        self.blocks[ticket] = sealed
        self._last += 1
        self.tickets.append((_id(self._last), ticket.encode()))

    async def is_told(self, ticket: str) -> bool:
        self._ask()
        return ticket in self.blocks

    async def _after(self, name: str, entry_id: bytes) -> Entries:
        for _ in range(2):
            self._ask()
            found = [entry for entry in getattr(self, name) if _number(entry[0]) > _number(entry_id)]
            if found:
                return found[:16]
            await asyncio.sleep(0.01)
        return []

    def _ask(self) -> None:
        if self.is_away:
            raise TransportAwayError("away")
