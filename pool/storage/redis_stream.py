"""Redis as the transport between front ends and the accountant: a stream per pool, and what each side tells the other.

    parapool:{POOL}:shares      the stream; entries are pool/blocks/stream_entry.py, read by the group `accountant`
    parapool:{POOL}:consumed    by share log: how far it is stored in SQL, SEGMENT:OFFSET
    parapool:{POOL}:wanted      by share log: TICKET:SEGMENT:OFFSET, feed again from there
    parapool:{POOL}:booked      CHAIN-HASH of found blocks whose answer is in SQL, until the front end has read it
    parapool:{POOL}:reserves    by chain: what the operator has for buying shares, in smallest units
    parapool:{POOL}:accountant  there while an accountant is at work

Nothing here is the truth: front ends keep their share logs, SQL keeps the books, and both write these keys again after
Redis lost them. So Redis needs no persistence, and its loss costs a second of feeding again. The braces keep a pool's
keys on one node of a cluster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from redis.exceptions import ResponseError

from pool.blocks.stream_entry import TransportAwayError
from pool.blocks.stream_news import FeedAgain, FrontEndNews
from pool.shares.record import Position
from pool.storage.redis_connection import asked, connection

GROUP = "accountant"
FIELD = b"e"
ALIVE_S = 15
"""An accountant that has not been heard of for so long is not at work."""


class RedisStream:
    """One process's connection. Every call raises TransportAwayError when Redis does not do what it is asked."""

    def __init__(self, url: str, pool: str, name: str) -> None:
        """`name` is this process's own, for the consumer group. Raises ValueError for a URL that is none."""
        self._redis = connection(url, "parapool")
        self._name = name
        self._stream = f"parapool:{{{pool}}}:shares"
        self._consumed = f"parapool:{{{pool}}}:consumed"
        self._wanted = f"parapool:{{{pool}}}:wanted"
        self._booked = f"parapool:{{{pool}}}:booked"
        self._reserves = f"parapool:{{{pool}}}:reserves"
        self._accountant = f"parapool:{{{pool}}}:accountant"

    async def close(self) -> None:
        await self._redis.aclose()

    # -- the front end's side ----------------------------------------------------------------------------------------

    async def append(self, entries: Sequence[bytes]) -> None:
        """Adds entries in order. When it raises, some may have been added: the same ones may be sent again."""
        pipeline = self._redis.pipeline(transaction=False)
        for entry in entries:
            pipeline.xadd(self._stream, {FIELD: entry})
        await asked(pipeline.execute())

    async def news(self, log: str) -> FrontEndNews:
        """What the accountant says about a share log."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.hget(self._consumed, log)
        pipeline.hget(self._wanted, log)
        pipeline.exists(self._accountant)
        pipeline.hgetall(self._reserves)
        consumed, wanted, attended, reserves = await asked(pipeline.execute())
        again = None
        if wanted is not None:
            ticket, _, place = wanted.decode().partition(":")
            again = FeedAgain(ticket, _position(place))
        place = None if consumed is None else _position(consumed.decode())
        return FrontEndNews(place, again, bool(attended), _reserves(reserves))

    async def booked(self, names: Sequence[str]) -> list[str]:
        """Which of these found blocks have their answer in SQL."""
        found = await asked(self._redis.hmget(self._booked, list(names)))
        return [name for name, value in zip(names, found, strict=True) if value is not None]

    async def forget_booked(self, names: Sequence[str]) -> None:
        await asked(self._redis.hdel(self._booked, *names))

    # -- the accountant's side ---------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Makes stream and group when they are not there."""
        try:
            await asked(self._redis.xgroup_create(self._stream, GROUP, id="0", mkstream=True))
        except TransportAwayError as error:
            if not (isinstance(error.__cause__, ResponseError) and "BUSYGROUP" in str(error)):
                raise

    async def reclaim(self, count: int) -> list[tuple[bytes, bytes]]:
        """The oldest entries that were given to a consumer, this one or one that died, and never acknowledged."""
        answer = await asked(self._redis.xautoclaim(self._stream, GROUP, self._name, 0, "0-0", count=count))
        return [(entry_id, fields[FIELD]) for entry_id, fields in answer[1] if FIELD in fields]

    async def read(self, count: int) -> list[tuple[bytes, bytes]]:
        """The next entries as (id, content), none when there are none."""
        answer = await asked(self._redis.xreadgroup(GROUP, self._name, {self._stream: ">"}, count=count))
        streams = answer.items() if isinstance(answer, dict) else answer
        return [(entry_id, fields.get(FIELD, b"")) for _, entries in streams for entry_id, fields in entries]

    async def done(self, ids: Sequence[bytes], consumed: Mapping[str, Position], booked: Sequence[str]) -> None:
        """These entries, and all before them, are committed in SQL: they leave the stream, and the front ends hear of
        it. What a full Redis still takes comes first, so that it gets room again.
        """
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.xack(self._stream, GROUP, *ids)
        pipeline.xtrim(self._stream, minid=_after(ids[-1]), approximate=False)
        await asked(pipeline.execute())
        await self.publish(consumed, {}, booked)

    async def publish(
        self,
        consumed: Mapping[str, Position],
        again: Mapping[str, FeedAgain],
        booked: Sequence[str] = (),
        reserves: Mapping[str, int] | None = None,
    ) -> None:
        """Tells front ends how far their logs are stored, and which have to be fed again, what the reserves are; and
        that we are at work."""
        pipeline = self._redis.pipeline(transaction=False)
        if consumed:
            pipeline.hset(self._consumed, mapping={log: _text(place) for log, place in consumed.items()})
        if again:
            mapping = {log: f"{wish.ticket}:{_text(wish.position)}" for log, wish in again.items()}
            pipeline.hset(self._wanted, mapping=mapping)
        if booked:
            pipeline.hset(self._booked, mapping=dict.fromkeys(booked, "1"))
        if reserves:
            pipeline.hset(self._reserves, mapping=dict(reserves))
        pipeline.set(self._accountant, self._name, ex=ALIVE_S)
        await asked(pipeline.execute())

    async def length(self) -> int:
        """Entries in the stream."""
        return int(await asked(self._redis.xlen(self._stream)))


def _text(position: Position) -> str:
    return f"{position.segment}:{position.offset}"


def _reserves(found: Mapping[bytes, bytes]) -> dict[str, int]:
    try:
        return {chain.decode(): int(amount) for chain, amount in found.items()}
    except ValueError as error:
        raise TransportAwayError("somebody else writes into the pool's keys: a reserve is no whole number") from error


def _position(text: str) -> Position:
    try:
        segment, offset = (int(part) for part in text.split(":"))
    except ValueError as error:
        raise TransportAwayError(f"somebody else writes into the pool's keys: {text[:40]!r} is no place") from error
    return Position(segment, offset)


def _after(entry_id: bytes) -> bytes:
    """The smallest id after this one."""
    milliseconds, _, number = entry_id.partition(b"-")
    return b"%s-%d" % (milliseconds, int(number) + 1)
