"""Measures how long a found block's window takes to read out of many stored shares. Run by hand; CI times nothing.

    .venv/bin/python tests/storage/measure_windows.py --database sqlite --shares 10000000 --routes 10000

One share log, 667 shares a second of random routes and difficulties; half of them count for the block's chain. Filling
writes rows without the program, with header hashes that rise, which is quicker; a window reads none of them.
PostgreSQL is the tests' own (shared_buffers 32 MB, no fsync). Each window is read four times, of which the first is not
shown: the operating system then has the file in its memory. Shown are the quickest and the slowest by the clock, and
the least processor time, PostgreSQL's session included, which tells of the work on a machine with other things to do.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from sqlalchemy import Connection, create_engine, delete, func, insert, select, text  # noqa: E402
from storage_samples import block_hash_hex, logged, make_route  # noqa: E402
from support.postgresql import PostgresqlServer  # noqa: E402

from pool.shares.record import Position  # noqa: E402
from pool.storage.books import SqlBooks  # noqa: E402
from pool.storage.database import Database, sqlite_url, upgrade  # noqa: E402
from pool.storage.share_spans import SpanSums  # noqa: E402
from pool.storage.share_store import ShareStore  # noqa: E402
from pool.storage.tables import chain_sets, routes, share_logs, share_spans, shares  # noqa: E402
from pool.storage.window_reading import ReadWindow, WindowRule, by_sums, one_by_one  # noqa: E402

INTERVAL = Fraction(3, 2)
"""Milliseconds between two shares."""

TURNS = 3
FILL = {
    "sqlite": """
        WITH RECURSIVE numbers(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM numbers WHERE n < :last)
        INSERT INTO shares SELECT 1, n, n * 3 / 2, 1 + abs(random()) % :routes, 'rig',
            4294967296 << (abs(random()) % 12), 1 + abs(random()) % 2,
            CAST(printf('%032d', n) AS BLOB), abs(random()) % 200 = 0 FROM numbers""",
    "postgresql": """
        INSERT INTO shares SELECT 1, n, n * 3 / 2, 1 + floor(random() * :routes)::bigint, 'rig',
            4294967296 << floor(random() * 12)::int, 1 + floor(random() * 2)::bigint,
            convert_to(lpad(n::text, 32, '0'), 'UTF8'), (random() < 0.005)::int
        FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS n""",
}
FILL_SHARES = 500_000
QUICKER = {
    "sqlite": ("PRAGMA foreign_keys = OFF", "PRAGMA synchronous = OFF", "PRAGMA cache_size = -200000"),
    "postgresql": ("SET session_replication_role = replica", "SET maintenance_work_mem = '256MB'",
                   "SET statement_timeout = 0"),
}  # fmt: skip


def fill(database: Database, count: int, route_count: int) -> None:
    name = database.engine.dialect.name
    with database.write() as connection:
        log = {"name": "main", "pool": "main", "segment": 0, "byte_offset": 0, "sequence": count, "updated_ms": 0}
        connection.execute(insert(share_logs), [log])
        connection.execute(insert(chain_sets), [{"names": names} for names in ("alpha,regbtc", "alpha,beta,regbtc")])
        digests = [{"digest": n.to_bytes(16, "big"), "login_parent": f"login{n}"} for n in range(route_count)]
        connection.execute(insert(routes), digests)
    # An engine of its own: without the program's transactions, and no session of the program keeps the settings.
    engine = create_engine(database.engine.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in QUICKER[name]:
            connection.execute(text(statement))
        made_again = []
        if name == "sqlite":
            triggers = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'shares'"
            for trigger, statement in connection.execute(text(triggers)).all():
                connection.execute(text(f"DROP TRIGGER {trigger}"))
                made_again.append(statement)
        for index in shares.indexes:
            index.drop(connection)
        for first in range(1, count + 1, FILL_SHARES):
            last = min(count, first + FILL_SHARES - 1)
            connection.execute(text(FILL[name]), {"first": first, "last": last, "routes": route_count})
        for index in shares.indexes:
            index.create(connection)
        for statement in made_again:
            connection.execute(text(statement))
        if name == "postgresql":
            connection.execute(text("VACUUM ANALYZE"))
    engine.dispose()


def processor_s(database: Database) -> float:
    """Of this process and, on PostgreSQL, of the one session that serves it."""
    own_s = time.process_time()
    if database.engine.dialect.name != "postgresql":
        return own_s
    with database.read() as connection:
        session = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    fields = Path(f"/proc/{session}/stat").read_text().rpartition(")")[2].split()
    return own_s + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def timed(database: Database, work: Callable[[], object], turns: int = TURNS) -> str:
    taken = []
    for _ in range(turns):
        began_s, used_s = time.perf_counter(), processor_s(database)
        work()
        taken.append((time.perf_counter() - began_s, processor_s(database) - used_s))
    clock, used = zip(*taken, strict=True)
    return f"{min(clock):.2f} to {max(clock):.2f} s, {min(used):.2f} s of a processor"


def read(database: Database, way: ReadWindow, last: int, rule: WindowRule) -> int:
    with database.read() as connection:
        place = ShareStore("main").window_place(connection, "beta", block_hash_hex(1), last, 0)
        return way(connection, place, rule).share_count


def weight_of(connection: Connection, last: int, held: int) -> int:
    """Of all shares of the chain among the newest so many."""
    query = select(func.sum(shares.c.weight)).where(shares.c.chain_set_id == 2, shares.c.stale == 0)
    return int(connection.execute(query.where(shares.c.sequence.between(last - held, last))).scalar() or 0)


def windows(database: Database, count: int, limit: int, one_by_one_limit: int, title: str) -> None:
    # Not at the end of what is stored, and not at a span's: the found block is followed by other shares.
    last = count - 31_234
    for held in (100_000, 1_000_000, 5_000_000, last):
        if held > min(last, limit):
            continue
        with database.read() as connection:
            work = weight_of(connection, last, held) - (held == last)
        by_work = WindowRule(work, 1, int(last * INTERVAL), Fraction(0))
        by_time = WindowRule(1, 1, int(last * INTERVAL), held * INTERVAL / 1000)
        for bound, rule in (("work", by_work), ("time", by_time)):
            found = read(database, by_sums, last, rule)
            spent = timed(database, lambda rule=rule: read(database, by_sums, last, rule))  # type: ignore[misc]
            print(f"{title}: window of {held:>10,} sequences by {bound}, {found:>9,} count: {spent}", flush=True)
            if held <= one_by_one_limit:
                assert read(database, one_by_one, last, rule) == found
                spent = timed(database, lambda rule=rule: read(database, one_by_one, last, rule), 1)  # type: ignore[misc]
                print(f"    the same one by one: {spent}", flush=True)


def sum_all(database: Database) -> None:
    sums = SpanSums(database, "main")
    taken_s = []
    more = True
    used_s = processor_s(database)
    while more:
        began_s = time.perf_counter()
        more = sums.step()
        taken_s.append(time.perf_counter() - began_s)
    used_s = processor_s(database) - used_s
    with database.read() as connection:
        columns = func.count(), func.sum(func.length(share_spans.c.route_weights))
        number, size = connection.execute(select(*columns)).one()
    print(f"{len(taken_s) - 1} spans added up, {sum(taken_s) / len(taken_s):.2f} s each, at most {max(taken_s):.2f} s,"
          f" {used_s / len(taken_s):.2f} s of a processor; {number} rows, {int(size):,} bytes of sums",
          flush=True)  # fmt: skip


def writing(database: Database, count: int) -> None:
    """What storing and deleting cost with the triggers there."""
    books = SqlBooks(database)
    route = make_route("anna")
    batches = [
        [logged(n, route, header_hash=n.to_bytes(32, "little")) for n in range(first, first + 1000)]
        for first in range(count + 1, count + 50_001, 1000)
    ]
    def store() -> None:
        for number, batch in enumerate(batches):
            books.store_shares(batch, Position(1, number + 1), 0)

    def discard() -> None:
        for last in range(10_000, 50_001, 10_000):
            with database.write() as connection:
                connection.execute(delete(shares).where(shares.c.log_id == 1, shares.c.sequence <= last))

    print(f"50,000 shares stored in batches of 1,000: {timed(database, store, 1)}")
    print(f"50,000 shares deleted in pieces of 10,000: {timed(database, discard, 1)}")


@contextmanager
def opened(kind: str, folder: str | None) -> Iterator[Database]:
    if kind == "postgresql":
        server = PostgresqlServer()
        try:
            with server.database() as url:
                database = Database(url)
                yield database
                database.close()
        finally:
            server.close()
        return
    with tempfile.TemporaryDirectory(dir=folder) as made:
        url = sqlite_url(Path(made) / "pool.db")
        upgrade(url)
        database = Database(url)
        yield database
        database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=sorted(FILL), required=True)
    parser.add_argument("--shares", type=int, default=10_000_000)
    parser.add_argument("--routes", type=int, default=10_000)
    parser.add_argument("--one-by-one", type=int, default=1_000_000, help="the largest window read share by share, too")
    parser.add_argument("--folder", help="where the SQLite file is made")
    options = parser.parse_args()
    with opened(options.database, options.folder) as database:
        began_s = time.perf_counter()
        fill(database, options.shares, options.routes)
        print(f"{options.database}, {options.shares:,} shares of {options.routes:,} routes;"
              f" filled in {time.perf_counter() - began_s:.0f} s", flush=True)  # fmt: skip
        windows(database, options.shares, 1_000_000, 0, "no sums ")
        sum_all(database)
        windows(database, options.shares, options.shares, options.one_by_one, "with sums")
        writing(database, options.shares)
        print(f"largest memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


if __name__ == "__main__":
    main()
