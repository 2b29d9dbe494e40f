"""A window read by sums is the window of its shares one by one, whatever the shares, their sums and their clocks."""

from __future__ import annotations

import random
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest
from sqlalchemy import Connection, delete, func, insert, select, update
from storage_samples import block_hash_hex, header_hash

from pool.accounting.window import WindowShare
from pool.storage import window_reading
from pool.storage.database import Database, add_missing
from pool.storage.pool_window import WindowPlace, pool_shares
from pool.storage.share_spans import SPAN_SHARES, SpanSums
from pool.storage.share_store import ShareStore
from pool.storage.tables import chain_sets, routes, share_logs, share_solves, share_spans, shares
from pool.storage.window_reading import WindowRule, by_sums, one_by_one

SEEDS = range(25)
LOGS = ("main", "second", "third")
LARGEST = 2**63 - 1
STEPS = (1, 40, 900, 5000, 60_000, 300_000)
"""Between two sequences: from many shares in a part of a span to spans without one."""


class Books:
    """Shares written as rows, so that any sequence, time and weight can be one."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._header_hashes = 0
        with database.write() as connection:
            names = ("alpha,regbtc", "regbtc", "alpha")
            connection.execute(insert(chain_sets), [{"names": name} for name in names])
            connection.execute(insert(routes), [{"digest": bytes([n]), "login_parent": str(n)} for n in range(5)])
            log = {"pool": "main", "segment": 0, "byte_offset": 0, "sequence": 0, "updated_ms": 0}
            connection.execute(insert(share_logs), [log | {"name": name} for name in LOGS])

    def add(self, log_id: int, sequence: int, **options: int) -> None:
        self._header_hashes += 1
        row = {
            "log_id": log_id,
            "sequence": sequence,
            "time_ms": sequence,
            "route_id": 1,
            "worker": "",
            "weight": 10,
            "chain_set_id": 1,
            "header_hash": header_hash(self._header_hashes),
            "stale": 0,
        }
        with self.database.write() as connection:
            connection.execute(insert(shares), [row | options])
            highest = select(func.max(shares.c.sequence)).where(shares.c.log_id == log_id).scalar_subquery()
            connection.execute(update(share_logs).where(share_logs.c.id == log_id).values(sequence=highest))

    def empty(self) -> None:
        with self.database.write() as connection:
            for table in (share_solves, shares):
                connection.execute(delete(table))
            connection.execute(update(share_logs).values(sequence=0))
            assert connection.execute(select(func.count()).select_from(share_spans)).scalar_one() == 0

    def summed(self) -> list[tuple[int, int]]:
        with self.database.read() as connection:
            rows = select(share_spans.c.log_id, share_spans.c.number).distinct().order_by(*share_spans.c[:2])
            return [(row.log_id, row.number) for row in connection.execute(rows)]

    def sum_all(self) -> None:
        sums = SpanSums(self.database, "main")
        for _ in range(1000):
            if not sums.step():
                return
        raise AssertionError("there is always more to add up")


@pytest.fixture
def rows(database: Database) -> Books:
    return Books(database)


def place_of(connection: Connection, log: str, last: int, found_ms: int = 0) -> WindowPlace:
    return ShareStore(log, "main").window_place(connection, "alpha", block_hash_hex(1), last, found_ms)


def fill_randomly(rows: Books, rng: random.Random) -> None:
    """Up to three logs; clocks jump and stand still, weights go to the largest, some shares count for nothing."""
    values = []
    solves = []
    highest: dict[int, int] = {}
    for log_id in range(1, rng.randint(1, 3) + 1):
        steps = rng.choices(STEPS, k=rng.randint(1, 3))
        pace_ms = rng.choice((0, 1, 1000))
        largest = rng.choice((1, 20, 20, LARGEST))
        sequence, time_ms = rng.randint(1, 200_000), 10_000_000
        for _ in range(rng.choice((0, 3, 40, 80))):
            sequence += rng.choice(steps)
            time_ms += rng.randint(0, 2) * pace_ms - (rng.randint(0, 5000) if rng.random() < 0.05 else 0)
            number = len(values) + 1
            values.append(
                {
                    "log_id": log_id,
                    "sequence": sequence,
                    "time_ms": time_ms,
                    "route_id": rng.randint(1, 5),
                    "worker": "",
                    "weight": rng.randint(0, largest),
                    "chain_set_id": rng.choice((1, 1, 2, 3)),
                    "header_hash": number.to_bytes(32, "big"),
                    "stale": int(rng.random() < 0.2),
                }
            )
            if rng.random() < 0.03:
                name = {"chain": "alpha", "block_hash_hex": block_hash_hex(1)}
                solves.append({"log_id": log_id, "sequence": sequence} | name)
            highest[log_id] = sequence
    with rows.database.write() as connection:
        if values:
            connection.execute(insert(shares), values)
        if solves:
            connection.execute(insert(share_solves), solves)
        for log_id, sequence in highest.items():
            connection.execute(update(share_logs).where(share_logs.c.id == log_id).values(sequence=sequence))


def change_randomly(rows: Books, rng: random.Random) -> None:
    """What happens to shares after they were added up: one comes late, the oldest go."""
    for log_id in range(1, 4):
        with rows.database.read() as connection:
            query = select(shares.c.sequence).where(shares.c.log_id == log_id).order_by(shares.c.sequence)
            known = list(connection.execute(query).scalars())
        if len(known) > 2 and rng.random() < 0.5:
            free = set(range(known[0], known[0] + 5 * len(known))) - set(known)
            late = rng.choice(sorted(free))
            rows.add(log_id, late, time_ms=10_000_000, weight=7)
        if len(known) > 2 and rng.random() < 0.3:
            with rows.database.write() as connection:
                gone = known[rng.randint(0, len(known) // 2)]
                connection.execute(delete(shares).where(shares.c.log_id == log_id, shares.c.sequence <= gone))


def random_rules(connection: Connection, place: WindowPlace, rng: random.Random) -> Iterator[WindowRule]:
    """Bounds anywhere, and at the end of a share exactly, one less and one more."""
    everything = one_by_one(connection, place, WindowRule(2**80, 1, 10_000_000, Fraction(0))).window.total
    times = [row.time_ms for row in connection.execute(select(shares.c.time_ms))] or [0]
    for _ in range(4):
        work = rng.randint(0, everything + 2)
        if rng.random() < 0.5:
            cut = one_by_one(connection, place, WindowRule(work, 1, 0, Fraction(0)))
            oldest = cut.window.oldest
            work = cut.window.total + (0 if oldest is None else rng.randint(-1, 1))
        end_ms = rng.choice(times)
        window_min_s = Fraction(rng.choice((0, 0, end_ms - rng.choice(times), 10**9)), 1000)
        yield WindowRule(max(0, work), rng.choice((1, 2, Fraction(1, 3))), end_ms, max(Fraction(0), window_min_s))


def test_storage_window_by_sums_is_the_window_of_its_shares(rows: Books) -> None:
    compared = from_sums = 0
    for seed in SEEDS:
        rng = random.Random(seed)
        rows.empty()
        fill_randomly(rows, rng)
        sums = SpanSums(rows.database, "main")
        for _ in range(rng.choice((0, 3, 50))):
            sums.step()
        change_randomly(rows, rng)
        if rng.random() < 0.5:
            sums.step()
        from_sums += bool(rows.summed())
        with rows.database.read() as connection:
            known = list(connection.execute(select(shares.c.sequence, shares.c.time_ms)))
            last, found_ms = rng.choice(known) if known else (1, 0)
            place = place_of(connection, rng.choice(LOGS), last, found_ms)
            for rule in random_rules(connection, place, rng):
                expected = one_by_one(connection, place, rule)
                assert by_sums(connection, place, rule) == expected, f"seed {seed}: {place} {rule}"
                compared += expected.share_count > 0
    assert compared > 30, "windows with shares were compared"
    assert from_sums > 6, "spans had sums"


def three_spans(rows: Books) -> None:
    """Spans 1 to 3 with a share in each quarter; a newer share ends them."""
    for quarter in range(4, 17):
        rows.add(1, quarter * SPAN_SHARES // 4)


def test_storage_span_sums_are_of_whole_spans_but_the_oldest(rows: Books) -> None:
    three_spans(rows)
    rows.add(2, 5)
    rows.sum_all()
    assert rows.summed() == [(1, 2), (1, 3)]
    rows.add(1, 9 * SPAN_SHARES)
    rows.sum_all()
    assert rows.summed() == [(1, 2), (1, 3), (1, 4)], "spans without shares are passed over"


def test_storage_span_sums_go_with_any_change_of_their_shares(rows: Books) -> None:
    three_spans(rows)
    rows.sum_all()
    both = rows.summed()
    column = shares.c
    late = SPAN_SHARES * 2 + 1
    moved = update(shares).where(column.sequence == late).values(sequence=SPAN_SHARES * 3 + 1)
    for change, left in (
        (None, [(1, 3)]),
        (update(shares).where(column.sequence == late).values(weight=11), [(1, 3)]),
        (moved, []),
        (delete(shares).where(column.sequence == SPAN_SHARES * 3 + 1), [(1, 2)]),
        (delete(shares).where(column.sequence < SPAN_SHARES), both),
    ):
        if change is None:
            rows.add(1, late)
        else:
            with rows.database.write() as connection:
                connection.execute(change)
        assert rows.summed() == left
        rows.sum_all()
        assert rows.summed() == both


def test_storage_span_sums_stay_when_a_share_is_passed_over(rows: Books) -> None:
    """A replayed batch stores nothing, so it costs no sums."""
    three_spans(rows)
    rows.sum_all()
    with rows.database.write() as connection:
        known = connection.execute(select(shares).where(shares.c.sequence == 2 * SPAN_SHARES)).one()._asdict()
        assert add_missing(connection, shares, [known]) == 0
    assert rows.summed() == [(1, 2), (1, 3)]


def test_storage_window_is_read_from_the_sums_where_they_are(rows: Books) -> None:
    """Sums that were tampered with show that they are read; what reads one by one never sees them."""
    for quarter in range(4, 41):
        rows.add(1, quarter * SPAN_SHARES // 4)
    rows.sum_all()
    with rows.database.write() as connection:
        changed = update(share_spans).where(share_spans.c.number == 5)
        connection.execute(changed.values(weight="1040", route_weights="[[1],[1040]]"))
    with rows.database.read() as connection:
        place = place_of(connection, "main", 10 * SPAN_SHARES)
        rule = WindowRule(10**6, 1, 10**9, Fraction(0))
        assert one_by_one(connection, place, rule).window.total == 37 * 10
        found = by_sums(connection, place, rule)
        assert found.window.total == 37 * 10 + 1000
        assert found.window.weights == {1: found.window.total}
        assert found.share_count == 37


def test_storage_window_by_sums_reads_few_shares_one_by_one(rows: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    with rows.database.write() as connection:
        values = [
            {
                "log_id": 1, "sequence": number + 1, "time_ms": number, "route_id": 1 + number % 5, "worker": "",
                "weight": 10, "chain_set_id": 1, "header_hash": header_hash(number), "stale": 0,
            }
            for number in range(20_000)
        ]  # fmt: skip
        connection.execute(insert(shares), values)
    read: list[int] = []

    def counting(*arguments: Any) -> Iterator[WindowShare]:
        read.append(0)
        for share in pool_shares(*arguments):
            read[-1] += 1
            yield share

    monkeypatch.setattr(window_reading, "pool_shares", counting)
    with rows.database.read() as connection:
        place = place_of(connection, "main", 20_000)
        everything, half = WindowRule(10**9, 1, 20_000, Fraction(0)), WindowRule(50_000, 2, 20_000, Fraction(11))
        for read_window in (by_sums, one_by_one):
            assert read_window(connection, place, everything).share_count == 20_000
            found = read_window(connection, place, half)
            assert (found.window.total, found.share_count) == (110_000, 11_000), "eleven seconds are more than the work"
    assert max(read[:2]) < 3000, "a part of 1,024 at either end, and where it ends"
    assert read[2:] == [20_000, 11_001]
