"""Redis between the maker of jobs and the machines that serve miners: what is said in each direction, and who is who.

    parapool:{POOL}:jobs        a stream: what the maker says, sealed; begins with the newest whole piece
    parapool:{POOL}:jobs-whole  the id of that piece: where somebody begins who knows nothing
    parapool:{POOL}:found       by ticket: found blocks for the maker, sealed, until they are answered
    parapool:{POOL}:found-at    a stream of their tickets
    parapool:{POOL}:maker       who publishes, with an expiry
    parapool:{POOL}:machine:N   who is machine N, with an expiry

All of it is written again by whoever is at work after Redis lost it. What entries hold: pool/services/feed_seal.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pool.storage.redis_connection import asked, connection

FIELD = b"e"
ENTRIES_AT_ONCE = 16

Entries = list[tuple[bytes, bytes]]

# Takes or renews a claim, one that is free or begins with our own name. Returns who has it.
_CLAIM = """
local holder = redis.call('GET', KEYS[1])
if not holder or string.sub(holder, 1, #ARGV[1]) == ARGV[1] then
    redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
    return ARGV[2]
end
return holder
"""


class RedisFeed:
    """One process's connections. Every call raises TransportAwayError when Redis does not do what it is asked."""

    def __init__(self, url: str, pool: str) -> None:
        """Raises ValueError for a URL that is none."""
        self._redis = connection(url, "parapool-feed")
        self._jobs = f"parapool:{{{pool}}}:jobs"
        self._whole = f"parapool:{{{pool}}}:jobs-whole"
        self._found = f"parapool:{{{pool}}}:found"
        self._found_at = f"parapool:{{{pool}}}:found-at"
        self._maker = f"parapool:{{{pool}}}:maker"
        self._machine = f"parapool:{{{pool}}}:machine"

    async def close(self) -> None:
        await self._redis.aclose()

    # -- who is who --------------------------------------------------------------------------------------------------

    async def claim_maker(self, owner: str, keep_ms: int) -> str:
        """Makes us the maker unless somebody is; who it is now."""
        return await self._claim(self._maker, owner, owner, keep_ms)

    async def claim_machine(self, number: int, family: str, owner: str, keep_ms: int) -> str:
        """Makes us machine `number` unless somebody else is whose name does not begin with `family`; who it is now."""
        return await self._claim(f"{self._machine}:{number}", family, owner, keep_ms)

    async def _claim(self, key: str, family: str, owner: str, keep_ms: int) -> str:
        found: bytes = await asked(self._redis.eval(_CLAIM, 1, key, family, owner, keep_ms))
        return found.decode(errors="replace")

    # -- the maker's side --------------------------------------------------------------------------------------------

    async def publish(self, sealed: bytes, *, whole: bool) -> bytes:
        """Says it to all machines; what lies before a whole piece is dropped. Its id. When it raises, it may have been
        said all the same."""
        entry_id: bytes = await asked(self._redis.xadd(self._jobs, {FIELD: sealed}), len(sealed))
        if whole:
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.set(self._whole, entry_id)
            pipeline.xtrim(self._jobs, minid=entry_id, approximate=False)
            await asked(pipeline.execute())
        return entry_id

    async def whole(self) -> bytes | None:
        """The id of the newest whole piece."""
        found: bytes | None = await asked(self._redis.get(self._whole))
        return found

    async def found_after(self, entry_id: bytes, wait_ms: int) -> Entries:
        """The tickets that came after this place; `0` for all that have no answer."""
        return await self._after(self._found_at, entry_id, wait_ms)

    async def found(self, ticket: str) -> bytes | None:
        content: bytes | None = await asked(self._redis.hget(self._found, ticket))
        return content

    async def forget_found(self, ticket: str, ids: Sequence[bytes]) -> None:
        """It is answered; `ids` are where its ticket was read."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.hdel(self._found, ticket)
        if ids:
            pipeline.xdel(self._found_at, *ids)
        await asked(pipeline.execute())

    # -- a machine's side --------------------------------------------------------------------------------------------

    async def pieces_from(self, entry_id: bytes) -> Entries:
        """From this piece on."""
        found: Any = await asked(self._redis.xrange(self._jobs, min=entry_id, count=ENTRIES_AT_ONCE))
        return [(place, fields.get(FIELD, b"")) for place, fields in found]

    async def pieces_after(self, entry_id: bytes, wait_ms: int) -> Entries:
        """What came after this one; waits so long for something."""
        return await self._after(self._jobs, entry_id, wait_ms)

    async def tell(self, ticket: str, sealed: bytes) -> None:
        """A found block; told again, it takes its own place."""
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.hset(self._found, ticket, sealed)
        pipeline.xadd(self._found_at, {FIELD: ticket})
        await asked(pipeline.execute(), len(sealed))

    async def is_told(self, ticket: str) -> bool:
        """Whether the maker can still find it."""
        return bool(await asked(self._redis.hexists(self._found, ticket)))

    async def _after(self, stream: str, entry_id: bytes, wait_ms: int) -> Entries:
        answer: Any = await asked(self._redis.xread({stream: entry_id}, count=ENTRIES_AT_ONCE, block=wait_ms))
        streams = answer.items() if isinstance(answer, dict) else answer or ()
        return [(place, fields.get(FIELD, b"")) for _, entries in streams for place, fields in entries]
