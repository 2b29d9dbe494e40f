"""Which header hashes are stored, so that one counts once whoever sends it again: docs/adr/0022.

An index over all stored hashes would cost more than everything else that a share costs the books, as each hash falls on
another page of it. What comes a second time is one of two things:
 * a share that was stored already, read once more: the same log and sequence, which the table's key refuses, or a log
   under another name; then its time of receipt is the same, by which it is found;
 * the same header sent again, within the life of its job: the newest hashes are in memory, eight bytes of each.
A hash that memory knows is looked up in the table before a share is passed over.

Used inside of write transactions, which take turns, so nobody else adds shares meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, select

from chains.primitives.share_kernel import SeenHashes
from pool.shares.record import ShareLine
from pool.storage.front_ends import CLOCKS_MS
from pool.storage.tables import share_logs, shares

GENERATION = 1 << 19
"""Hashes of one set; there are two, of which the older one goes when the newer one is full. A thousand shares a second
fill one in nine minutes."""

SPARE = 8
"""A set has room for such a part of a generation more, for the batch that ends it."""

LOAD_ROWS = 1 << 18
"""So many of the newest are read at the start, and at once when other processes have stored more than that."""

HOUR_MS = 3_600_000
IN_ROWS = 500


class Times(NamedTuple):
    """When the oldest and the newest share of a set were received."""

    oldest: int
    newest: int

    def with_times(self, oldest: int, newest: int) -> Times:
        return Times(min(self.oldest, oldest), max(self.newest, newest))


NOTHING = Times(2**63 - 1, -1)


class KnownHashes:
    """Of all share logs of a database. `forget` after a transaction that may have been rolled back."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self._loaded = False
        self._newer, self._older = _generation(), _generation()
        self._newer_ms, self._older_ms = NOTHING, NOTHING
        self._since_ms = -1
        self._sequences: dict[int, int] = {}

    def refresh(self, connection: Connection) -> None:
        """Takes in what other processes have stored."""
        logs = {row.id: row.sequence for row in connection.execute(select(share_logs.c.id, share_logs.c.sequence))}
        behind = {log_id: last for log_id, last in logs.items() if last > self._sequences.get(log_id, 0)}
        new = sum(last - self._sequences.get(log_id, 0) for log_id, last in behind.items())
        if not self._loaded or new > LOAD_ROWS:
            self._load(connection)
        else:
            for log_id, last in behind.items():
                column = shares.c
                query = select(column.time_ms, column.header_hash).where(column.log_id == log_id)
                for time_ms, header_hash in connection.execute(
                    query.where(column.sequence > self._sequences.get(log_id, 0), column.sequence <= last)
                ):
                    self._add(time_ms, header_hash)
        self._sequences = logs

    def stored(self, connection: Connection, log_id: int, lines: Sequence[ShareLine]) -> set[int]:
        """Which of these shares are not to be stored, by their place in `lines`: their header hash is stored, or comes
        earlier in `lines`. The others are known from now on.
        """
        add, older, since_ms = self._newer.add, self._older, self._since_ms
        seen = {place for place, line in enumerate(lines) if not add(line.header_hash) or line.header_hash in older}
        old = {place for place, line in enumerate(lines) if line.time_ms <= since_ms}
        times_ms = [line.time_ms for line in lines]
        self._newer_ms = self._newer_ms.with_times(min(times_ms), max(times_ms))
        if len(self._newer) >= GENERATION:
            self._turn()
        return self._passed_over(connection, log_id, lines, seen, old) if seen or old else set()

    def is_stored(self, connection: Connection, log_id: int, line: ShareLine) -> bool:
        """As `stored`, of a share that its log may have lost and got anew, under another sequence and later: looked for
        among all that was received in the hour since.
        """
        if self.stored(connection, log_id, [line]):
            return True
        found = _among(connection, [line.header_hash], line.time_ms - CLOCKS_MS, line.time_ms + HOUR_MS)
        return next(found, None) is not None

    def stored_last(self, log_id: int, sequence: int) -> None:
        """This process has stored a log up to a sequence."""
        self._sequences[log_id] = max(sequence, self._sequences.get(log_id, 0))

    def _add(self, time_ms: int, header_hash: bytes) -> None:
        self._newer.add(header_hash)
        self._newer_ms = self._newer_ms.with_times(time_ms, time_ms)
        if len(self._newer) >= GENERATION:
            self._turn()

    def _turn(self) -> None:
        self._since_ms = max(self._since_ms, self._older_ms.newest)
        self._older, self._older_ms = self._newer, self._newer_ms
        self._newer, self._newer_ms = _generation(), NOTHING

    def _load(self, connection: Connection) -> None:
        self.forget()
        column = shares.c
        oldest = select(column.time_ms).order_by(column.time_ms.desc()).offset(LOAD_ROWS).limit(1)
        self._since_ms = connection.execute(oldest).scalar_one_or_none() or -1
        query = select(column.time_ms, column.header_hash).where(column.time_ms > self._since_ms)
        for time_ms, header_hash in connection.execute(query):
            self._add(time_ms, header_hash)
        self._loaded = True

    @property
    def _oldest_ms(self) -> int:
        """When the oldest share in memory was received."""
        return min(self._newer_ms.oldest, self._older_ms.oldest)

    def _passed_over(
        self, connection: Connection, log_id: int, lines: Sequence[ShareLine], seen: set[int], old: set[int]
    ) -> set[int]:
        """Of those that memory has seen and those older than it, the ones whose hash is stored or comes earlier in
        `lines`.
        """
        suspects = sorted(seen | old)
        # A hash that this batch was the first to bring is no question for the database.
        known = {line.header_hash for place, line in enumerate(lines) if place not in seen and place not in old}
        asked = [line for place in suspects if (line := lines[place]).header_hash not in known]
        stored = set(_stored_hashes(connection, log_id, asked))
        wanted = {lines[place].header_hash for place in seen} - known - stored
        known |= stored
        # What memory has was stored since its oldest share was received, or is older and came again once already.
        known.update(_among(connection, list(wanted), self._oldest_ms - HOUR_MS))
        passed = set()
        for place in suspects:
            header_hash = lines[place].header_hash
            if header_hash in known:
                passed.add(place)
            known.add(header_hash)
        return passed


def _generation() -> SeenHashes:
    return SeenHashes(GENERATION + GENERATION // SPARE)


def _stored_hashes(connection: Connection, log_id: int, lines: Sequence[ShareLine]) -> Iterator[bytes]:
    """The hashes of those shares that are stored under the same sequence or as received at the same time."""
    column = shares.c
    for start in range(0, len(lines), IN_ROWS):
        part = {line.header_hash: line for line in lines[start : start + IN_ROWS]}
        query = select(column.header_hash).where(column.log_id == log_id)
        sequences = [line.sequence for line in part.values()]
        for header_hash in connection.execute(query.where(column.sequence.in_(sequences))).scalars():
            if part.pop(header_hash, None) is not None:
                yield header_hash
        times = {line.time_ms for line in part.values()}
        query = select(column.header_hash).where(column.time_ms.in_(times))
        yield from (found for found in connection.execute(query).scalars() if found in part)


def _among(
    connection: Connection, hashes: Sequence[bytes], after_ms: int, until_ms: int | None = None
) -> Iterator[bytes]:
    """Which of these hashes are stored, received after a time: every row since then is read."""
    column = shares.c
    for start in range(0, len(hashes), IN_ROWS):
        query = select(column.header_hash).where(column.time_ms > after_ms)
        if until_ms is not None:
            query = query.where(column.time_ms <= until_ms)
        yield from connection.execute(query.where(column.header_hash.in_(hashes[start : start + IN_ROWS]))).scalars()
