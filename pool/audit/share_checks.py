"""Shares by themselves: each header hash once, and each row under a log, route and chain set that are there.

The database does not enforce either (docs/adr/0022), so this reads every share that is kept one by one. Hashes are
looked at in parts of their range, so that memory holds for any number of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from sqlalchemy import ColumnElement, Connection, and_, exists, func, select

from chains.primitives.share_kernel import SeenHashes
from pool.audit.finding import LINES_LIMIT, Finding
from pool.progress import Tell, silent
from pool.storage.tables import chain_sets, routes, share_logs, shares

PART_SHARES = 1 << 23
"""Hashes held at a time, in some 130 MB."""

TOLD_SHARES = 1_000_000
FETCH_ROWS = 10_000
SUSPECTS_LIMIT = 500
REFERENCES = {"log_id": share_logs, "route_id": routes, "chain_set_id": chain_sets}


def check_shares(connection: Connection, tell: Tell = silent) -> list[Finding]:
    """Findings of the rule `shares`."""
    count = connection.execute(select(func.count()).select_from(shares)).scalar_one()
    names = {row.id: row.name for row in connection.execute(select(share_logs.c.id, share_logs.c.name))}
    return [*_lost(connection, names), *_twice(connection, names, count, tell)]


def _lost(connection: Connection, names: dict[int, str]) -> Iterator[Finding]:
    """Shares that refer to a row that is not there."""
    for name, table in REFERENCES.items():
        column = shares.c[name]
        query = select(shares.c.log_id, shares.c.sequence, column.label("id"))
        query = query.where(~exists(select(table.c.id).where(table.c.id == column))).limit(LINES_LIMIT)
        for row in connection.execute(query):
            log = names.get(row.log_id, f"log {row.log_id}")
            text = f"sequence {row.sequence} is under row {row.id} of {table.name}, there is none"
            yield Finding("shares", log, text)


def _twice(connection: Connection, names: dict[int, str], count: int, tell: Tell) -> Iterator[Finding]:
    suspects: set[bytes] = set()
    done = 0
    for part in _parts(count):
        seen = SeenHashes(max(1, min(count, PART_SHARES)))
        query = select(shares.c.header_hash).where(part).execution_options(yield_per=FETCH_ROWS)
        for header_hash in connection.execute(query).scalars():
            if not seen.add(header_hash) and len(suspects) < SUSPECTS_LIMIT:
                suspects.add(header_hash)
            done += 1
            if done % TOLD_SHARES == 0:
                tell("header hashes", done, count)
    if not suspects:
        return
    places: dict[bytes, list[str]] = defaultdict(list)
    query = select(shares.c.header_hash, shares.c.log_id, shares.c.sequence).where(shares.c.header_hash.in_(suspects))
    for row in connection.execute(query.order_by(shares.c.log_id, shares.c.sequence)):
        places[row.header_hash].append(f"sequence {row.sequence} of {names.get(row.log_id, row.log_id)}")
    for header_hash, where in places.items():
        if len(where) > 1:
            text = f"this header hash counts {len(where)} times: {', '.join(where)}"
            yield Finding("shares", header_hash[::-1].hex(), text)


def _parts(count: int) -> Iterator[ColumnElement[bool]]:
    """The range of hashes in parts of about PART_SHARES; its beginning is random."""
    number = min(256, -(-count // PART_SHARES) or 1)
    bounds = [bytes([256 * part // number]) for part in range(number)]
    for part, low in enumerate(bounds):
        column = shares.c.header_hash
        yield column >= low if part == number - 1 else and_(column >= low, column < bounds[part + 1])
