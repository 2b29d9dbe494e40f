"""Several front ends, one pool: a window waits for all of them and holds the shares of all (incident P17).

P17: at a pool of fifteen servers the reward system ran before all of them had delivered; one block was missed, the next
one paid twice, and the operator lost 2.3 BTC.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from bookkeeping_world import CHAINS, TERMS, FakeLog, World
from sqlalchemy import select, update
from storage_samples import block_hash_hex, header_hash, make_route, solution

from pool.blocks.solution_store import SolutionStore
from pool.services.bookkeeping import Bookkeeping
from pool.services.log_ingest import LogIngest
from pool.shares.watermark import Watermark
from pool.storage import front_ends, views
from pool.storage.books import SqlBooks
from pool.storage.database import Database
from pool.storage.front_ends import LogOfAnotherPoolError
from pool.storage.tables import share_logs

ANNA, BERT = make_route("anna"), make_route("bert")


class Second:
    """A further front end of the world's pool, in a process of its own."""

    def __init__(self, world: World, name: str = "main/second") -> None:
        self.world = world
        self.log = FakeLog()
        self.database = Database(world.url)
        self.books = SqlBooks(self.database, name, "main")
        self.solutions = SolutionStore(world.folder / name.replace("/", "-"))
        self.now_ms = world.now_ms
        self.ingest = LogIngest(self.log, self.solutions, self.books, lambda: self.now_ms)
        self.bookkeeping = Bookkeeping(
            self.ingest, self.books, world.chains, TERMS, world.executor, now_ms=lambda: self.now_ms,
        )  # fmt: skip

    async def take_in(self) -> None:
        """Its shares into the books, and how far it has drained; the world's process follows the blocks."""
        await self.ingest.step(self.bookkeeping._in_thread, False)

    def share(self, sequence: int, time_ms: int, number: int) -> None:
        self.log.append(sequence, BERT, time_ms=time_ms, header_hash=header_hash(number))

    def close(self) -> None:
        self.database.close()


@pytest.fixture
def world(tmp_path: Path, url: str) -> Iterator[World]:
    made = World(tmp_path, url)
    yield made
    made.close()


@pytest.fixture
def second(world: World) -> Iterator[Second]:
    made = Second(world)
    yield made
    made.close()


async def test_incident_p17_a_window_waits_for_the_slow_front_end(world: World, second: Second) -> None:
    second.now_ms = 1000
    await second.take_in()  # known to the books, drained to a time before the solve
    world.log.append(1, ANNA, time_ms=3000)
    world.chains["alpha"].mine(5, height=5)
    world.log.append(2, ANNA, time_ms=5000, solved=(("alpha", bytes.fromhex(block_hash_hex(5))[::-1]),))
    world.solutions.put(solution("alpha", 5, 2, found_ms=5000))
    await world.settle()
    assert world.state(5)[0] == "submitted", "the other front end may have shares of this window"

    second.share(1, 2000, 900)
    second.share(2, 4000, 901)
    second.share(3, 6000, 902)  # after the solve
    second.now_ms = 6500
    await second.take_in()
    await world.settle()
    assert world.state(5)[0] == "submitted", "two seconds are left to its clock"

    second.now_ms = 7000
    second.ingest.hurry()
    await second.take_in()
    await world.settle()
    assert world.state(5)[0] == "immature"
    assert world.credits(5) == {("held", "anna"): 495, ("held", "bert"): 495}
    assert world.dump()["audit"] == []


async def test_front_ends_credit_each_block_once_whichever_of_them_found_it(world: World, second: Second) -> None:
    world.chains["alpha"].mine(5, height=5)
    world.chains["alpha"].mine(6, height=6)
    world.log.append(1, ANNA, time_ms=3000, solved=(("alpha", bytes.fromhex(block_hash_hex(5))[::-1]),))
    world.solutions.put(solution("alpha", 5, 1, found_ms=3000))
    solved = (("alpha", bytes.fromhex(block_hash_hex(6))[::-1]),)
    second.log.append(1, BERT, time_ms=4000, header_hash=header_hash(900), solved=solved)
    second.solutions.put(solution("alpha", 6, 1, found_ms=4000))
    world.books.register()
    for _ in range(3):
        await second.take_in()
        await world.bookkeeping.step()
    assert world.state(5)[0] == world.state(6)[0] == "immature"
    assert world.credits(5) == {("held", "anna"): 990}
    assert world.credits(6) == {("held", "anna"): 495, ("held", "bert"): 495}


async def test_front_ends_written_off_are_not_waited_for_until_they_are_back(world: World, second: Second) -> None:
    second.now_ms = 1000
    await second.take_in()
    world.chains["alpha"].mine(5, height=5)
    world.log.append(1, ANNA, time_ms=5000, solved=(("alpha", bytes.fromhex(block_hash_hex(5))[::-1]),))
    world.solutions.put(solution("alpha", 5, 1))
    await world.settle()
    assert world.state(5)[0] == "submitted"
    with world.database.write() as connection:
        assert not front_ends.write_off(connection, "main", "nobody", 8000)
        assert front_ends.write_off(connection, "main", "main/second", 8000)
    await world.settle()
    assert world.state(5)[0] == "immature"

    def written_off() -> list[int | None]:
        with world.database.read() as connection:
            return [log.written_off_ms for log in front_ends.front_ends(connection, "main")]

    second.books.drain(Watermark(0, 7999), 9000)  # what was on its way when it died
    assert written_off() == [None, 8000]
    second.books.drain(Watermark(0, 8001), 9000)
    assert written_off() == [None, None]


def test_front_ends_watermark_never_goes_back(world: World) -> None:
    world.books.drain(Watermark(10, 5000), 0)
    world.books.drain(Watermark(7, 6000), 0)
    world.books.drain(Watermark(12, 100), 0)
    with world.database.read() as connection:
        assert [log.drained for log in front_ends.front_ends(connection, "main")] == [Watermark(12, 6000)]


def test_front_ends_name_belongs_to_one_pool(world: World) -> None:
    world.books.drain(Watermark(1, 1), 0)
    with pytest.raises(LogOfAnotherPoolError, match="'main' belongs to the pool 'main', not to 'else'"):
        SqlBooks(world.database, "main", "else").drain(Watermark(1, 1), 0)


def test_front_ends_adopt_a_log_of_a_version_that_knew_no_pools(world: World) -> None:
    world.books.drain(Watermark(1, 1), 0)
    with world.database.write() as connection:
        connection.execute(update(share_logs).values(pool=""))
    SqlBooks(world.database).drain(Watermark(2, 2), 0)
    with world.database.read() as connection:
        assert connection.execute(select(share_logs.c.pool)).scalars().all() == ["main"]


async def test_front_ends_one_process_follows_the_blocks(world: World, second: Second) -> None:
    assert world.books.take_lead(10_000, 20_000)
    world.chains["alpha"].mine(5, height=5)
    world.log.append(1, ANNA, time_ms=5000, solved=(("alpha", bytes.fromhex(block_hash_hex(5))[::-1]),))
    world.solutions.put(solution("alpha", 5, 1))
    await world.ingest.step(world.bookkeeping._in_thread, True)
    await second.bookkeeping.step()
    await asyncio.sleep(0)
    assert world.state(5)[0] == "submitted", "the second one leaves it to the leader"
    await world.settle()
    assert world.state(5)[0] == "immature"
    assert set(CHAINS) == set(world.chains)


def test_front_ends_figures_are_as_old_as_the_slowest_one(world: World) -> None:
    def drained_ms() -> int | None:
        with world.database.read() as connection:
            found: int | None = views.pool_overview(connection, 9000)["drained_ms"]
            return found

    assert drained_ms() is None
    world.books.drain(Watermark(1, 8000), 8000)
    SqlBooks(world.database, "main/second", "main").drain(Watermark(1, 3000), 3000)
    assert drained_ms() == 3000
    with world.database.write() as connection:
        front_ends.write_off(connection, "main", "main/second", 9000)
    assert drained_ms() == 8000
