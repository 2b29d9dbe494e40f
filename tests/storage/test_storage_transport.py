"""Redis between front ends and accountant, on SQLite and PostgreSQL: every share arrives once, whatever Redis loses."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import select, update
from storage_samples import block_hash_hex, solution
from support.postgresql import PostgresqlServer
from support.redis import PASSWORD, RedisServer
from transport_world import TransportWorld, hasten, until

from pool.accounting.books_away import BooksAwayError
from pool.blocks.stream_entry import TransportAwayError
from pool.services import share_feed
from pool.shares.record import Position
from pool.storage import front_ends
from pool.storage.redis_stream import RedisStream
from pool.storage.tables import blocks, share_logs, shares


@pytest.fixture(autouse=True)
def _prepare(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    hasten(monkeypatch)
    caplog.set_level(logging.INFO, "parapool")
    yield
    assert PASSWORD not in caplog.text


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """The test's own, since it stops it."""
    server = RedisServer()
    yield server
    server.close()


@pytest_asyncio.fixture(loop_scope="session")
async def world(tmp_path: Path, url: str, redis_server: RedisServer) -> AsyncIterator[TransportWorld]:
    made = TransportWorld(tmp_path, url, redis_server.url)
    yield made
    await made.close()


@pytest_asyncio.fixture(loop_scope="session")
async def own_world(tmp_path: Path, url: str, own_redis: RedisServer) -> AsyncIterator[TransportWorld]:
    made = TransportWorld(tmp_path, url, own_redis.url)
    yield made
    await made.close()


async def test_transport_brings_the_shares_of_two_front_ends_into_the_books(world: TransportWorld) -> None:
    one, two = world.front_end("one"), world.front_end("two")
    world.accountant("books")
    one.share(450)
    two.share(30)
    await world.all_stored()
    with world.database.read() as connection:
        found = {log.name.rpartition("/")[2]: log for log in front_ends.front_ends(connection, world.pool)}
    assert (found["one"].position, found["one"].sequence) == (one.log.durable_position, 450)
    assert found["two"].sequence == 30


async def test_transport_tells_front_ends_what_the_operator_has_for_buying_shares(
    world: TransportWorld, redis_server: RedisServer
) -> None:
    one, accountant = world.front_end("one"), world.accountant("books")
    accountant.reserves = {"alpha": 10**18, "beta": -3}
    await until(lambda: one.reserves == {"alpha": 10**18, "beta": -3}, "both reserves are heard of")
    accountant.reserves = {"alpha": 0}
    await until(lambda: one.reserves["alpha"] == 0, "the reserve is used up")
    redis_server.ask("hset", f"parapool:{{{world.pool}}}:reserves", "beta", "1.5")
    await until(lambda: "a reserve is no whole number" in one.feed.fault, "nonsense in the keys is told")
    accountant.reserves = {"beta": 7}
    await until(lambda: one.reserves["beta"] == 7 and not one.feed.fault, "and mended by the next word")


async def test_transport_trims_the_stream_behind_the_books_and_only_there(
    world: TransportWorld, redis_server: RedisServer
) -> None:
    one = world.front_end("one")
    key = f"parapool:{{{world.pool}}}:shares"
    redis_server.ask("set", f"parapool:{{{world.pool}}}:accountant", "x")  # an accountant that takes nothing
    one.share(1000)
    await until(lambda: redis_server.ask("xlen", key) >= 5, "the pieces in the stream")
    world.accountant()
    await world.all_stored()
    one.share(1)
    await world.all_stored()
    await until(lambda: redis_server.ask("xlen", key) <= 1, "an empty stream")


async def test_transport_idle_front_end_drains_on(world: TransportWorld) -> None:
    world.front_end("idle")
    world.accountant("books")
    begun_ms = time.time_ns() // 1_000_000

    def drained() -> bool:
        with world.database.read() as connection:
            return [log.drained.time_ms > begun_ms for log in front_ends.front_ends(connection, world.pool)] == [True]

    await until(drained, "its watermark moves without a share")


async def test_transport_flushed_redis_is_fed_again(
    world: TransportWorld, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = world.front_end("one"), world.front_end("two")
    accountant = world.accountant("books")
    one.share(300)
    await world.all_stored()
    await accountant.stop()
    world.accountants.clear()
    one.share(500)
    two.share(5)
    await until(lambda: one.feed.unstored >= 500, "the shares are in Redis only")
    redis_server.ask("flushall")
    world.accountant("books")
    await world.all_stored()
    assert "feeds them again" in caplog.text


async def test_transport_older_database_is_fed_again(world: TransportWorld) -> None:
    """A standby takes over without the last commits: their shares come once more from the front end's log."""
    one = world.front_end("one")
    world.accountant("books")
    one.share(10)
    await world.all_stored()
    with world.database.write() as connection:
        half = connection.execute(select(share_logs.c.segment, share_logs.c.byte_offset)).one()
    one.share(300)
    await world.all_stored()
    with world.database.write() as connection:
        connection.execute(shares.delete().where(shares.c.sequence > 10))
        connection.execute(update(share_logs).values(segment=half.segment, byte_offset=half.byte_offset, sequence=10))
    one.share(1)
    await world.all_stored()


async def test_transport_dead_accountants_entries_are_claimed(world: TransportWorld) -> None:
    one = world.front_end("one")
    dead = RedisStream(world.redis_url, world.pool, "dead")
    await dead.open()
    await dead.publish({}, {})
    one.share(300)
    taken: list[tuple[bytes, bytes]] = []
    while len(taken) < 2:
        taken += await dead.read(10)
        await asyncio.sleep(0.01)
    await dead.close()
    one.share(50)
    world.accountant("next")
    await world.all_stored()


async def test_transport_outage_is_told_once_and_caught_up(
    own_world: TransportWorld, own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    one = own_world.front_end()
    accountant = own_world.accountant()
    one.share(100)
    await own_world.all_stored()
    own_redis.kill()
    one.share(2000)
    await until(lambda: one.feed.fault and accountant.ingest.fault, "both sides notice")
    await asyncio.sleep(0.5)
    own_redis.start()
    await own_world.all_stored()
    await until(lambda: not one.feed.fault and not accountant.ingest.fault, "both sides go on")
    assert caplog.text.count("shares are not fed") == caplog.text.count("shares are fed again") == 1
    assert caplog.text.count("redis is away, shares wait") == caplog.text.count("redis is back") == 1


async def test_transport_full_redis_loses_nothing(own_world: TransportWorld, own_redis: RedisServer) -> None:
    one = own_world.front_end()
    accountant = own_world.accountant()
    one.share(100)
    await own_world.all_stored()
    own_redis.ask("config", "set", "maxmemory", "1kb")
    one.share(3000)
    await until(lambda: "maxmemory" in one.feed.fault and "maxmemory" in accountant.ingest.fault, "it is full")
    own_redis.ask("config", "set", "maxmemory", "0")
    await own_world.all_stored()


async def test_transport_holds_back_what_the_books_do_not_take(
    world: TransportWorld, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An accountant that is away for an hour fills no Redis: the rest waits in the share log."""
    monkeypatch.setattr(share_feed, "UNSTORED_SHARES", 2000)
    one = world.front_end()
    redis_server.ask("set", f"parapool:{{{world.pool}}}:accountant", "x")
    one.share(9000)
    await until(lambda: one.feed.unstored >= 2000, "it stops")
    await asyncio.sleep(0.5)
    assert one.feed.unstored < 2000 + share_feed.PIECE_SHARES * share_feed.PIECES_AT_ONCE
    world.accountant()
    await world.all_stored()


async def test_transport_front_end_that_restarts_goes_on(world: TransportWorld) -> None:
    one = world.front_end("one")
    world.accountant("books")
    one.share(250)
    await one.stop()
    world.front_ends.remove(one)
    again = world.front_end("one")
    again.sent += one.sent
    again.share(10)
    await world.all_stored()


async def test_transport_lets_only_the_leader_read(world: TransportWorld) -> None:
    one = world.front_end("one")
    first, second = world.accountant("a"), world.accountant("b")
    one.share(10)
    await world.all_stored()
    now_ms = time.time_ns() // 1_000_000
    assert first.books.take_lead(now_ms, 20_000) and not second.books.take_lead(now_ms + 1, 20_000)
    assert first.books.take_lead(now_ms + 19_000, 20_000) and not second.books.take_lead(now_ms + 21_000, 20_000)
    assert second.books.take_lead(now_ms + 40_000, 20_000) and not first.books.take_lead(now_ms + 40_001, 20_000)


async def test_transport_brings_found_blocks_and_tells_when_they_are_booked(
    world: TransportWorld, redis_server: RedisServer
) -> None:
    one = world.front_end("one")
    sequence = one.share(3, solved=(("alpha", bytes.fromhex(block_hash_hex(5))[::-1]),))
    one.solutions.put(solution("alpha", 5, sequence))
    accountant = world.accountant("books")

    def state() -> str | None:
        with world.database.read() as connection:
            return connection.execute(select(blocks.c.state)).scalar_one_or_none()

    await until(lambda: state() == "submitted", "the open block is in the books")
    assert (await asyncio.to_thread(accountant.books.watched_blocks, "alpha"))[0].share_sequence == sequence
    redis_server.ask("flushdb")
    one.solutions.outcome("alpha", block_hash_hex(5), "rejected", "a reason")
    await until(lambda: state() == "rejected", "its answer is in the books")
    await until(lambda: not list(one.solutions.closed_solutions()), "the front end knows")
    await until(lambda: redis_server.ask("hlen", f"parapool:{{{world.pool}}}:booked") == 0, "nothing is left in Redis")


async def test_transport_log_that_contradicts_the_books_stays_apart(
    world: TransportWorld, caplog: pytest.LogCaptureFixture
) -> None:
    """A front end lost its share log and kept its name: its numbers are taken. Others do not wait for it."""
    one, good = world.front_end("one"), world.front_end("good")
    world.accountant("books")
    one.share(5)
    await world.all_stored()
    with world.database.write() as connection:
        connection.execute(shares.update().where(shares.c.sequence == 1).values(sequence=6))
    one.share(1)
    await until(lambda: "cannot be stored" in caplog.text, "it is told")
    good.share(3)
    await until(lambda: set(good.sent) <= set(world.stored()), "the others go on")


async def test_transport_catches_up_at_ten_thousand_shares_a_second(world: TransportWorld) -> None:
    """From disk through Redis into SQL, all on one machine. The hour of a large pool's backlog is gone in minutes."""
    one = world.front_end()
    total = 40_000
    for _ in range(total // 1000):
        one.share(1000)
        await asyncio.sleep(0)
    await until(lambda: one.log.pending == 0, "all on disk")
    world.accountant()
    begun = time.process_time(), time.monotonic()
    await until(lambda: world.stored_count() >= total, "all in SQL", 60)
    cpu_s, wall_s = time.process_time() - begun[0], time.monotonic() - begun[1]
    print(f"{total / wall_s:.0f} shares/s, {total / cpu_s:.0f} per second of our processor time")
    assert total / cpu_s > 5_000  # both sides share this process, on whatever machine; apart, twice as many


async def test_transport_refuses_places_that_are_none(world: TransportWorld, redis_server: RedisServer) -> None:
    stream = RedisStream(world.redis_url, world.pool, "x")
    redis_server.ask("hset", f"parapool:{{{world.pool}}}:consumed", "log", "nonsense")
    with pytest.raises(TransportAwayError, match="somebody else writes"):
        await stream.news("log")
    redis_server.ask("hset", f"parapool:{{{world.pool}}}:consumed", "log", "3:99")
    assert (await stream.news("log")).consumed == Position(3, 99)
    await stream.close()




async def test_transport_goes_on_while_the_database_is_away(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The accountant's lag rises, the stream takes what it may, the rest waits on disk; then all catches up."""
    monkeypatch.setattr(share_feed, "UNSTORED_SHARES", 2000)
    server = PostgresqlServer()
    try:
        with server.database() as url:
            world = TransportWorld(tmp_path, url, redis_server.url)
            one, accountant = world.front_end(), world.accountant()
            one.share(10)
            await world.all_stored()
            await asyncio.to_thread(server.stop)
            before_ms = accountant.ingest.caught_up_ms
            one.share(6000)
            await until(lambda: one.feed.unstored >= 2000, "the stream has what it may hold")
            await until(lambda: any(isinstance(error, BooksAwayError) for error in accountant.errors), "it is noticed")
            await asyncio.sleep(0.3)
            assert accountant.ingest.caught_up_ms <= before_ms + 200 and not one.feed.fault
            await asyncio.to_thread(server.start)
            await world.all_stored()
            await until(lambda: accountant.ingest.caught_up_ms > before_ms, "the lag is gone")
            await world.close()
    finally:
        server.close()
