"""The line between machines over a real Redis: claims that one holds, pieces in order, blocks until an answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import count
from types import SimpleNamespace

import pytest
import pytest_asyncio
from support.redis import PASSWORD, RedisServer

from pool.blocks.stream_entry import TransportAwayError
from pool.storage import redis_connection
from pool.storage.redis_feed import ENTRIES_AT_ONCE, RedisFeed

_pools = count()


@pytest_asyncio.fixture(loop_scope="session")
async def feeds(redis_server: RedisServer) -> AsyncIterator[tuple[RedisFeed, RedisFeed]]:
    """The maker's and a machine's, of a pool of their own."""
    name = f"feed {next(_pools)}"
    pair = RedisFeed(redis_server.url, name), RedisFeed(redis_server.url, name)
    yield pair
    for feed in pair:
        await feed.close()


async def test_storage_redis_feed_a_claim_is_one_processs_until_its_time_is_over(
    feeds: tuple[RedisFeed, RedisFeed],
) -> None:
    one, other = feeds
    assert await one.claim_maker("one", 60_000) == "one"
    assert await other.claim_maker("other", 60_000) == "one"
    assert await one.claim_maker("one", 1) == "one"
    await asyncio.sleep(0.05)
    assert await other.claim_maker("other", 60_000) == "other"

    assert await one.claim_machine(3, "family", "family eu 1", 60_000) == "family eu 1"
    assert await other.claim_machine(3, "stranger", "stranger us 1", 60_000) == "family eu 1"
    assert await other.claim_machine(4, "stranger", "stranger us 1", 60_000) == "stranger us 1"
    assert await other.claim_machine(3, "family", "family eu 2", 60_000) == "family eu 2", "the same data_dir, later"
    assert await one.claim_machine(3, "family eu 1", "family eu 1", 60_000) == "family eu 2", "the earlier one hears it"


async def test_storage_redis_feed_pieces_begin_with_the_newest_whole_one(feeds: tuple[RedisFeed, RedisFeed]) -> None:
    maker, machine = feeds
    assert await machine.whole() is None
    for number in range(3):
        await maker.publish(b"%d" % number, whole=False)
    place = await maker.publish(b"whole", whole=True)
    assert await machine.whole() == place
    later = [await maker.publish(b"later %d" % number, whole=False) for number in range(ENTRIES_AT_ONCE + 3)]
    assert await machine.pieces_from(b"0") == await machine.pieces_from(place), "what lies before it is dropped"
    found = await machine.pieces_from(place)
    assert [content for _, content in found[:2]] == [b"whole", b"later 0"] and len(found) == ENTRIES_AT_ONCE
    rest = await machine.pieces_after(found[-1][0], 1000)
    assert [entry_id for entry_id, _ in found[1:] + rest] == later
    begun = time.monotonic()
    waiting = asyncio.ensure_future(machine.pieces_after(later[-1], 4000))
    await asyncio.sleep(0.1)
    await maker.publish(b"now", whole=False)
    assert [content for _, content in await waiting] == [b"now"] and time.monotonic() - begun < 3


async def test_storage_redis_feed_blocks_stay_until_they_are_answered(feeds: tuple[RedisFeed, RedisFeed]) -> None:
    maker, machine = feeds
    block = bytes(8 << 20)  # 4 MB in hex
    for _ in range(2):
        await machine.tell("ticket", block)
    tickets = await maker.found_after(b"0", 1000)
    assert [ticket for _, ticket in tickets] == [b"ticket", b"ticket"]
    assert await maker.found("ticket") == block and await machine.is_told("ticket")
    await maker.forget_found("ticket", [entry_id for entry_id, _ in tickets])
    assert await maker.found("ticket") is None and not await machine.is_told("ticket")
    assert await maker.found_after(b"0", 10) == []
    await maker.forget_found("ticket", [])


async def test_storage_redis_feed_tells_an_outage_without_the_password() -> None:
    feed = RedisFeed(f"redis://:{PASSWORD}@127.0.0.1:1/0", "nobody")
    with pytest.raises(TransportAwayError) as told:
        await feed.whole()
    assert PASSWORD not in str(told.value) and "127.0.0.1" in str(told.value)
    await feed.close()


async def test_storage_redis_feed_a_large_block_has_the_time_of_a_slow_line(
    feeds: tuple[RedisFeed, RedisFeed], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_connection, "TIMEOUT_S", 0.05)
    monkeypatch.setattr(redis_connection, "SLOWEST_BYTES_PER_S", 1000)
    _, machine = feeds
    redis = machine._redis

    class Slow:
        """A pipeline on whose line a thousand bytes take a third of a second."""

        def __init__(self) -> None:
            self._pipeline = redis.pipeline(transaction=True)
            self.hset, self.xadd = self._pipeline.hset, self._pipeline.xadd

        async def execute(self) -> object:
            await asyncio.sleep(0.3)
            return await self._pipeline.execute()

    monkeypatch.setattr(machine, "_redis", SimpleNamespace(pipeline=lambda transaction: Slow(), hexists=redis.hexists))
    with pytest.raises(TransportAwayError, match="no answer within"):
        await machine.tell("small", b"x" * 10)
    await machine.tell("large", b"x" * 10_000)
    monkeypatch.setattr(redis_connection, "TIMEOUT_S", 5.0)
    assert await machine.is_told("large")
    monkeypatch.setattr(machine, "_redis", redis)

    async def slow_xadd(*given: object) -> bytes:
        await asyncio.sleep(0.3)
        return b"1-0"

    monkeypatch.setattr(redis_connection, "TIMEOUT_S", 0.05)
    monkeypatch.setattr(machine, "_redis", SimpleNamespace(xadd=slow_xadd))
    assert await machine.publish(b"x" * 10_000, whole=False) == b"1-0"
    with pytest.raises(TransportAwayError, match="no answer within"):
        await machine.publish(b"x" * 10, whole=False)
    monkeypatch.setattr(machine, "_redis", redis)
