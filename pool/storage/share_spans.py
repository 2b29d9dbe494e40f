"""Sums of shares by stretches of their log's sequence, from which a found block's window is read quickly.

A span is SPAN_SHARES sequences of one log. Its sums are written once all of it is stored, per chain set: how many
shares count, their weight, when the earliest was received, and the weight of each route. They hold nothing that the
shares do not, and no version of the program can leave them wrong: the database itself (migration 0008) deletes a span's
sums when a share of it is added, changed or deleted. Without them the same sums are made from the shares, which is
slower.

What reads takes an open connection.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, func, insert, literal_column, or_, select

from pool.accounting.window_runs import Run
from pool.storage import front_ends
from pool.storage.database import Database
from pool.storage.tables import share_logs, share_spans, shares

SPAN_BITS = 16
SPAN_SHARES = 1 << SPAN_BITS
"""The triggers of migration 0008 know this number."""

PART_BITS = 10
"""Where a window begins and ends, and in spans without sums, runs are this many sequences."""

LOW_BITS = 31
"""Weights are added up in two halves, as SQLite's sum of whole numbers ends at 2**63."""

HEADERS = 256
FETCH_SPANS = 16

ROUTE_WEIGHTS = "routes", "weights"


class SpanSums:
    """Writes the sums of one pool's spans. Synchronous; a step is one transaction and safe to repeat."""

    def __init__(self, database: Database, pool: str) -> None:
        self._database = database
        self._pool = pool

    def step(self) -> bool:
        """The sums of one span, the newest of a log that is stored whole and has none; False when there is none.

        A log's oldest span is left alone, as its shares are the next to be deleted.
        """
        with self._database.read() as connection:
            if _next_span(connection, self._pool) is None:
                return False
        with self._database.write() as connection:
            span = _next_span(connection, self._pool)
            if span is not None:
                connection.execute(insert(share_spans), _span_rows(connection, *span))
        return span is not None


def _next_span(connection: Connection, pool: str) -> tuple[int, int] | None:
    for log_id in sorted(front_ends.log_ids(connection, pool)):
        number = _next_number(connection, log_id)
        if number is not None:
            return log_id, number
    return None


def _next_number(connection: Connection, log_id: int) -> int | None:
    oldest = _oldest_sequence(connection, log_id)
    if oldest is None:
        return None
    stored = connection.execute(select(share_logs.c.sequence).where(share_logs.c.id == log_id)).scalar_one()
    query = select(share_spans.c.number).where(share_spans.c.log_id == log_id).distinct()
    known = set(connection.execute(query).scalars())
    number: int = (stored >> SPAN_BITS) - 1
    while number > oldest >> SPAN_BITS:
        if number not in known:
            newest = _newest_before(connection, log_id, (number + 1) << SPAN_BITS)
            if newest is None or newest >> SPAN_BITS == number:
                return None if newest is None else number
            number = newest >> SPAN_BITS  # nothing between: sequences leave a gap at a start
        else:
            number -= 1
    return None


def _span_rows(connection: Connection, log_id: int, number: int) -> list[dict[str, Any]]:
    column = shares.c
    query = select(
        column.chain_set_id,
        column.route_id,
        func.sum(1 - column.stale).label("shares"),
        *_weight_sums(column.stale == 0),
        func.min(case((column.stale == 0, column.time_ms))).label("oldest_ms"),
    )
    first = number << SPAN_BITS
    query = query.where(column.log_id == log_id, column.sequence >= first, column.sequence < first + SPAN_SHARES)
    found: dict[int, dict[str, Any]] = {}
    for row in connection.execute(query.group_by(column.chain_set_id, column.route_id)):
        span = found.setdefault(
            row.chain_set_id, {"shares": 0, "weight": 0, "oldest_ms": None, **{name: [] for name in ROUTE_WEIGHTS}}
        )
        if row.shares:
            span["shares"] += int(row.shares)
            span["weight"] += (weight := _weight(row))
            span["oldest_ms"] = min(row.oldest_ms, span["oldest_ms"] or row.oldest_ms)
            span["routes"].append(row.route_id)
            span["weights"].append(weight)
    return [
        {
            "log_id": log_id,
            "number": number,
            "chain_set_id": chain_set_id,
            "shares": span["shares"],
            "weight": str(span["weight"]),
            "oldest_ms": span["oldest_ms"],
            "route_weights": json.dumps([span[name] for name in ROUTE_WEIGHTS], separators=(",", ":")),
        }
        for chain_set_id, span in found.items()
    ]


class CountingShares:
    """What of one log counts for a block: the chain sets that hold its chain, and its solvers, whatever they are."""

    def __init__(self, connection: Connection, log_id: int, counting: frozenset[int], solvers: frozenset[int]) -> None:
        """`solvers` are sequences of this log."""
        self._connection = connection
        self._log_id = log_id
        self._counting = counting
        self._solvers = solvers
        column = shares.c
        counts = and_(column.stale == 0, column.chain_set_id.in_(counting))
        self._counts = and_(column.log_id == log_id, or_(counts, column.sequence.in_(solvers)) if solvers else counts)
        self._solved_spans = {sequence >> SPAN_BITS for sequence in solvers}

    def runs(self, last_sequence: int) -> Iterator[Run]:
        """All counting shares up to a sequence, newest first: whole spans where they have sums."""
        oldest = _oldest_sequence(self._connection, self._log_id)
        number = last_sequence >> SPAN_BITS
        if oldest is None:
            return
        yield from self._parts(number << SPAN_BITS, last_sequence)
        summed = self._summed(number, oldest >> SPAN_BITS)
        span = next(summed, None)
        number -= 1
        while number >= oldest >> SPAN_BITS:
            while span is not None and span[0] > number:
                span = next(summed, None)
            if span is not None and span[0] == number and number not in self._solved_spans:
                if span[1] is not None:
                    yield span[1]
                number -= 1
                continue
            newest = _newest_before(self._connection, self._log_id, (number + 1) << SPAN_BITS)
            if newest is None:
                return
            number = newest >> SPAN_BITS  # sequences leave a gap at a start
            if span is None or span[0] != number or number in self._solved_spans:
                yield from self._parts(number << SPAN_BITS, newest)
                number -= 1

    def parts(self, run: Run) -> list[Run]:
        """The smaller runs of a span, newest first."""
        return self._parts(run.first, run.last)

    def route_weights(self, runs: Iterable[Run]) -> dict[int, int]:
        """The weight of each route in runs of this log, which come newest first."""
        weights: dict[int, int] = {}
        spans: list[int] = []
        stretches: list[tuple[int, int]] = []
        for run in runs:
            if run.is_span:
                spans.append(run.first >> SPAN_BITS)
            elif stretches and stretches[-1][0] == run.last + 1:
                stretches[-1] = (run.first, stretches[-1][1])
            else:
                stretches.append((run.first, run.last))
        for start in range(0, len(spans), FETCH_SPANS):
            self._add_spans(spans[start : start + FETCH_SPANS], weights)
        column = shares.c
        for first, last in stretches:
            query = select(column.route_id, *_weight_sums()).where(self._counts)
            query = query.where(column.sequence >= first, column.sequence <= last).group_by(column.route_id)
            for row in self._connection.execute(query):
                weights[row.route_id] = weights.get(row.route_id, 0) + _weight(row)
        return weights

    def _add_spans(self, numbers: Sequence[int], weights: dict[int, int]) -> None:
        column = share_spans.c
        query = select(column.route_weights).where(column.log_id == self._log_id, column.number.in_(numbers))
        for text in self._connection.execute(query.where(column.chain_set_id.in_(self._counting))).scalars():
            for route_id, weight in zip(*json.loads(text), strict=True):
                weights[route_id] = weights.get(route_id, 0) + weight

    def _summed(self, before: int, oldest: int) -> Iterator[tuple[int, Run | None]]:
        """The spans that have sums, newest first; no run where nothing in them counts."""
        column = share_spans.c
        while True:
            query = select(column.number).where(column.log_id == self._log_id, column.number < before)
            query = query.where(column.number >= oldest).distinct().order_by(column.number.desc()).limit(HEADERS)
            numbers = list(self._connection.execute(query).scalars())
            if not numbers:
                return
            sums = select(column.number, column.shares, column.weight, column.oldest_ms)
            sums = sums.where(column.log_id == self._log_id, column.chain_set_id.in_(self._counting), column.shares > 0)
            found: dict[int, Run] = {}
            for row in self._connection.execute(sums.where(column.number.between(numbers[-1], numbers[0]))):
                run = self._run(row.number << SPAN_BITS, SPAN_BITS, row.shares, int(row.weight), row.oldest_ms)
                known = found.get(row.number)
                found[row.number] = run if known is None else known._replace(
                    shares=known.shares + run.shares,
                    weight=known.weight + run.weight,
                    oldest_ms=min(known.oldest_ms, run.oldest_ms),
                )  # fmt: skip
            yield from ((number, found.get(number)) for number in numbers)
            before = numbers[-1]

    def _parts(self, first: int, last: int) -> list[Run]:
        column = shares.c
        part = column.sequence.op(">>")(_literal(PART_BITS)).label("part")
        query = select(part, func.count().label("shares"), *_weight_sums(), func.min(column.time_ms).label("oldest_ms"))
        query = query.where(self._counts, column.sequence >= first, column.sequence <= last)
        found = []
        for row in self._connection.execute(query.group_by(part).order_by(part.desc())):
            run = self._run(row.part << PART_BITS, PART_BITS, row.shares, _weight(row), row.oldest_ms)
            found.append(run._replace(last=min(run.last, last)))
        return found

    def _run(self, first: int, bits: int, counted: int, weight: int, oldest_ms: int) -> Run:
        last = first + (1 << bits) - 1
        return Run(self._log_id, first, last, counted, weight, oldest_ms, bits == SPAN_BITS)


def _oldest_sequence(connection: Connection, log_id: int) -> int | None:
    return connection.execute(select(func.min(shares.c.sequence)).where(shares.c.log_id == log_id)).scalar()


def _newest_before(connection: Connection, log_id: int, sequence: int) -> int | None:
    query = select(func.max(shares.c.sequence)).where(shares.c.log_id == log_id, shares.c.sequence < sequence)
    return connection.execute(query).scalar()


def _literal(number: int) -> ColumnElement[int]:
    """A number in the statement's own text, so that a database sees that grouped expressions are the same."""
    return literal_column(str(number))


def _weight_sums(condition: ColumnElement[bool] | None = None) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    halves = shares.c.weight.op(">>")(_literal(LOW_BITS)), shares.c.weight.op("&")(_literal((1 << LOW_BITS) - 1))
    high, low = (half if condition is None else case((condition, half), else_=0) for half in halves)
    return func.sum(high).label("high"), func.sum(low).label("low")


def _weight(row: Any) -> int:
    return (int(row.high) << LOW_BITS) + int(row.low)
