"""Measures what the books alone cost per share: a share log read, stored in SQL and kept up, on the books' own thread.

    .venv/bin/python tests/bench/measure_books.py [--database sqlite|postgresql] [--miners 100] [--seconds 10]

Writes a share log, brings its first part into an empty database as fast as it goes (bulk), then the rest as it becomes
durable at --rate shares a second (paced), through the services of a pool. CPU time is that of the books' thread, of
the whole process, and of PostgreSQL's sessions where there are any; beside it stands a loop of the machine's own speed,
because figures of two machines, or of a busy one, compare only by their ratio to it. `PYTHONPATH=TREE` measures another
tree.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import random
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

if "PYTHONPATH" not in os.environ:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(1, str(Path(__file__).resolve().parents[1]))

import msgspec
from sqlalchemy import func, select, text

from pool.services.bookkeeping import Bookkeeping, wall_ms
from pool.services.log_ingest import LogIngest
from pool.shares.log_segment import frame, segment_path
from pool.shares.record import AccountKey, ChainSet, Position, Route, SegmentStart, ShareLine
from pool.shares.share_log_reader import ShareLogReader
from pool.storage.books import SqlBooks
from pool.storage.database import Database, sqlite_url, upgrade
from pool.storage.tables import shares

CHAINS = ("main", "first", "second", "third", "alpha", "beta")
SEGMENT_SHARES = 500_000


class WrittenLog:
    """A share log that lies on the disk and becomes durable share by share. Implements ShareSource."""

    def __init__(self, directory: Path, count: int, miners: int, rate: int) -> None:
        self._ends: list[Position] = []
        self.durable_sequence = 0
        encode, chance = msgspec.msgpack.Encoder().encode, random.Random(1)
        routes = []
        for number in range(miners):
            keys = {chain: AccountKey("miner", f"0014{number:040x}", f"{chain}1{number:038x}") for chain in CHAINS}
            routes.append(Route(number.to_bytes(16, "big"), f"bc1q{number:038x}", keys))
        first_ms = wall_ms() - 1000 * count // rate
        for start in range(0, count, SEGMENT_SHARES):
            segment = start // SEGMENT_SHARES + 1
            with segment_path(directory, segment).open("wb") as file:
                head = frame(encode(SegmentStart(1, segment, start + 1, first_ms))) + frame(encode(ChainSet(0, CHAINS)))
                file.write(head + b"".join(frame(encode(route)) for route in routes))
                for sequence in range(start + 1, min(count, start + SEGMENT_SHARES) + 1):
                    route = chance.choice(routes)
                    time_ms, hashed = first_ms + 1000 * sequence // rate, chance.randbytes(32)
                    line = ShareLine(sequence, time_ms, route.digest, "w1", 4295032833, 0, hashed, False, ())
                    file.write(frame(encode(line)))
                    self._ends.append(Position(segment, file.tell()))
        self._reader = ShareLogReader(directory, self._durable)
        self.read_from = self._reader.read_from
        self.read_run = getattr(self._reader, "read_run", None)  # a tree of before it had none

    def _durable(self) -> Position:
        return self._ends[self.durable_sequence - 1] if self.durable_sequence else Position(1, 0)

    @property
    def appended_sequence(self) -> int:
        return self.durable_sequence

    def trim(self, position: Position) -> int:
        return 0


class NoSolutions:
    changes = 0

    def open_names(self) -> set[tuple[str, str]]:
        return set()

    def open_record(self, chain: str, block_hash_hex: str) -> None:
        return None

    def closed_solutions(self) -> list[object]:
        return []

    def booked(self, chain: str, block_hash_hex: str) -> None: ...


class Meter:
    """Processor seconds: of the books' thread, the process, and PostgreSQL's session."""

    def __init__(self, executor: ThreadPoolExecutor, database: Database) -> None:
        self._executor = executor
        self._session = 0
        if database.engine.dialect.name == "postgresql":
            with database.read() as connection:  # the pool of connections gives the books the same one
                self._session = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()

    def read(self) -> tuple[float, float, float]:
        session = int(Path(f"/proc/{self._session}/schedstat").read_text().split()[0]) / 1e9 if self._session else 0.0
        return self._executor.submit(time.thread_time).result(), time.process_time(), session


def machine_us() -> float:
    """µs of a fixed piece of work, the least of three."""
    found = []
    for _ in range(3):
        began = time.thread_time()
        data = b"x" * 80
        for _ in range(20_000):
            data = hashlib.sha256(data).digest()
        found.append((time.thread_time() - began) * 1e6 / 20_000)
    return min(found)


async def measure(options: argparse.Namespace, folder: Path, database: Database) -> None:
    paced = options.rate * options.seconds
    source = WrittenLog(folder, options.bulk + paced, options.miners, options.rate)
    executor = ThreadPoolExecutor(1)
    ingest = LogIngest(source, NoSolutions(), SqlBooks(database), wall_ms)  # type: ignore[arg-type]
    books = Bookkeeping(ingest, SqlBooks(database), {}, {}, executor)
    meter = Meter(executor, database)
    source.durable_sequence = min(1000, options.bulk)
    await books.catch_up()

    def tell(name: str, before: tuple[float, float, float], count: int) -> None:
        spent = [(after - start) * 1e6 / count for start, after in zip(before, meter.read(), strict=True)]
        machine = machine_us()
        print(
            f"{name}: {spent[0]:.2f} us/share in the books' thread, {spent[1]:.2f} in the process,"
            f" {spent[2]:.2f} in PostgreSQL's session; calibration {machine:.3f} us,"
            f" thread/calibration {spent[0] / machine:.1f}", flush=True,
        )  # fmt: skip

    before, count = meter.read(), options.bulk - source.durable_sequence
    source.durable_sequence = options.bulk
    began = time.monotonic()
    await books.catch_up()
    print(f"{count / (time.monotonic() - began):.0f} shares/s")
    tell("bulk ", before, count)
    running = asyncio.create_task(books.run())
    await asyncio.sleep(1.0)
    before, began = meter.read(), time.monotonic()
    while (done := int((time.monotonic() - began) * options.rate)) < paced:
        source.durable_sequence = options.bulk + done
        await asyncio.sleep(0.05)
    source.durable_sequence = options.bulk + paced
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await books.catch_up()
    tell("paced", before, paced)
    with database.read() as connection:
        stored = connection.execute(select(func.count()).select_from(shares)).scalar_one()
        assert stored == options.bulk + paced, stored
    executor.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--bulk", type=int, default=200_000, help="shares that are there already")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rate", type=int, default=1000, help="shares a second")
    parser.add_argument("--miners", type=int, default=100)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if options.database == "postgresql":
            from support.postgresql import PostgresqlServer

            server = PostgresqlServer()
            stack.callback(server.close)
            url = stack.enter_context(server.database(empty=True))
        else:
            url = sqlite_url(folder / "pool.db")
        upgrade(url)
        database = Database(url)
        stack.callback(database.close)
        (folder / "shares").mkdir()
        asyncio.run(measure(options, folder / "shares", database))


if __name__ == "__main__":
    main()
