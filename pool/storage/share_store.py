"""Shares, routes and accounts in SQL: filled from the share log in batches, read backwards for a window.

A batch and the position it reaches are one transaction, so a share is never consumed twice or skipped; a header hash
counts once even if it was logged twice (known_hashes.py). Everything here takes an open connection and leaves the
commit to its caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from sqlalchemy import Connection, Table, func, select, update

from pool.accounting.books_away import UnusableLogError
from pool.shares.record import (
    AccountKey,
    LoggedShare,
    Position,
    Route,
    ShareLine,
    ShareRecord,
    ShareRun,
    run_of,
)
from pool.storage import front_ends
from pool.storage.database import add_missing, add_missing_tuples
from pool.storage.known_hashes import KnownHashes
from pool.storage.pool_window import SolvingPlace, WindowPlace, last_sequences
from pool.storage.pps_store import PpsAccrual
from pool.storage.tables import accounts, chain_sets, route_accounts, routes, share_logs, share_solves, shares

COLUMNS = (
    "log_id", "sequence", "time_ms", "route_id", "worker", "weight", "chain_set_id", "header_hash", "stale",
)  # fmt: skip

IN_ROWS = 500

CACHE_LIMIT = 100_000
"""Routes remembered by their digest; logins are free, so strangers decide how many there are."""


class SequenceReusedError(UnusableLogError):
    """The log gave a sequence to a second share: its files were lost or restored. Nothing has been stored."""


class StoredMeanwhileError(Exception):
    """Shares are there that this process did not know of. Nothing has been stored; after `forget` it knows them."""


class ShareStore:
    """The shares of one share log. Remembers row ids between batches; `forget` after a rolled-back transaction."""

    def __init__(self, log_name: str, pool: str | None = None, hashes: KnownHashes | None = None) -> None:
        """`pool` is the pool that the log belongs to, by default the one of its name. `hashes` are common to the stores
        of one thread over one database.
        """
        self._log_name = log_name
        self._pool = log_name if pool is None else pool
        self._log_id: int | None = None
        self._routes: dict[bytes, int] = {}
        self._chain_sets: dict[tuple[str, ...], int] = {}
        self._pps = PpsAccrual()
        self._hashes = KnownHashes() if hashes is None else hashes

    def forget(self) -> None:
        self._log_id = None
        self._routes.clear()
        self._chain_sets.clear()
        self._pps.forget()
        self._hashes.forget()

    def log_id(self, connection: Connection) -> int:
        """The row of this log, made at its first use."""
        if self._log_id is None:
            self._log_id = front_ends.register(connection, self._log_name, self._pool)
        return self._log_id

    def position(self, connection: Connection) -> tuple[Position, int]:
        """How far the log is consumed, and the highest sequence ever stored; zeros before the first batch."""
        query = select(share_logs.c.segment, share_logs.c.byte_offset, share_logs.c.sequence)
        row = connection.execute(query.where(share_logs.c.name == self._log_name)).one_or_none()
        return (Position(row.segment, row.byte_offset), row.sequence) if row else (Position(0, 0), 0)

    def store(
        self, connection: Connection, batch: ShareRun | Sequence[LoggedShare], position: Position, now_ms: int
    ) -> int:
        """Adds a batch, in log order, and moves the position. Returns how many shares were new.

        Raises SequenceReusedError when a share collides with another one's sequence.
        """
        log_id = self.log_id(connection)
        stored = last = 0
        if batch:
            run = batch if isinstance(batch, ShareRun) else run_of(batch)
            last = run.lines[-1].sequence
            stored = self._store(connection, log_id, run, now_ms)
        row = share_logs.c
        last = max(last, self.position(connection)[1])
        values = {"segment": position.segment, "byte_offset": position.offset, "sequence": last, "updated_ms": now_ms}
        connection.execute(update(share_logs).where(row.id == log_id).values(**values))
        self._hashes.stored_last(log_id, last)
        return stored

    def _store(self, connection: Connection, log_id: int, run: ShareRun, now_ms: int) -> int:
        self._hashes.refresh(connection)
        known = self._hashes.stored(connection, log_id, run.lines)
        lines = [line for place, line in enumerate(run.lines) if place not in known] if known else run.lines
        route_ids = self._route_ids(connection, run, lines)
        numbers = dict.fromkeys(line.chain_set for line in lines)
        set_ids = {number: self._chain_set_id(connection, run.chain_sets[number]) for number in numbers}
        rows = [
            (
                log_id, line.sequence, line.time_ms, route_ids[line.route], line.worker, line.weight,
                set_ids[line.chain_set], line.header_hash, 1 if line.stale else 0,
            )
            for line in lines
        ]  # fmt: skip
        if add_missing_tuples(connection, shares, COLUMNS, rows) != len(rows):
            self._raise_reused(connection, log_id, lines)
        buying = {number for number in set_ids if self._pps.bought(run.chain_sets[number])}
        if buying:
            bought = [
                (run.chain_sets[line.chain_set], route_ids[line.route], line.weight)
                for line in lines
                if line.chain_set in buying and not line.stale
            ]
            self._pps.accrue(connection, bought, self.accounts_of, now_ms)
        for line in run.lines:
            if line.solved:
                self._add_solves(connection, log_id, line)
        return len(rows)

    def add(self, connection: Connection, share: ShareRecord, route: Route, now_ms: int) -> None:
        """Adds the share that solved a block, told by the block's own record: a crash may have taken it from the log.

        When the log has it, it is passed over there, its header hash being known.
        """
        log_id = self.log_id(connection)
        run = run_of([LoggedShare(Position(0, 0), share, route)])
        line = run.lines[0]
        self._hashes.refresh(connection)
        if not self._hashes.is_stored(connection, log_id, line):
            route_id = self._route_ids(connection, run, run.lines)[line.route]
            set_id = self._chain_set_id(connection, share.chains)
            row = (
                log_id, line.sequence, line.time_ms, route_id, line.worker, line.weight, set_id, line.header_hash,
                int(line.stale),
            )  # fmt: skip
            added = add_missing_tuples(connection, shares, COLUMNS, [row])
            if added and not share.stale and self._pps.bought(share.chains):
                self._pps.accrue(connection, [(share.chains, route_id, share.weight)], self.accounts_of, now_ms)
        self._add_solves(connection, log_id, line)

    def _add_solves(self, connection: Connection, log_id: int, line: ShareLine) -> None:
        solved = {"log_id": log_id, "sequence": line.sequence}
        rows = [solved | {"chain": chain, "block_hash_hex": block[::-1].hex()} for chain, block in line.solved]
        add_missing(connection, share_solves, rows)

    def time_ms(self, connection: Connection, sequence: int) -> int | None:
        """When the share of this sequence was received; None when it is not stored."""
        query = select(shares.c.time_ms).where(shares.c.log_id == self.log_id(connection))
        return connection.execute(query.where(shares.c.sequence == sequence)).scalar_one_or_none()

    def last_sequence(self, connection: Connection, until_ms: int) -> int:
        """The newest share received up to a time; 0 when there is none."""
        query = select(func.max(shares.c.sequence)).where(shares.c.log_id == self.log_id(connection))
        return connection.execute(query.where(shares.c.time_ms <= until_ms)).scalar() or 0

    def window_place(
        self, connection: Connection, chain: str, block_hash_hex: str, last_sequence: int, found_ms: int
    ) -> WindowPlace:
        """Which of the pool's shares may be in a window that ends with this log's `last_sequence`. Other front ends'
        shares count up to the time of that share; when it is not stored, up to `found_ms`.
        """
        log_id = self.log_id(connection)
        sets = connection.execute(select(chain_sets.c.id, chain_sets.c.names)).all()
        counting = frozenset(row.id for row in sets if chain in row.names.split(","))
        solves = share_solves.c
        logs = {log_id, *front_ends.log_ids(connection, self._pool)}
        solved = select(solves.log_id, solves.sequence).where(
            solves.chain == chain, solves.block_hash_hex == block_hash_hex, solves.log_id.in_(logs)
        )
        solvers = frozenset((row.log_id, row.sequence) for row in connection.execute(solved))
        solve_ms = self.time_ms(connection, last_sequence)
        place = SolvingPlace(log_id, last_sequence, found_ms if solve_ms is None else solve_ms)
        return WindowPlace(last_sequences(connection, logs, place), counting, solvers)

    def accounts_of(self, connection: Connection, chain: str, route_ids: Sequence[int]) -> dict[int, int]:
        """Route id to the account id that earns on `chain`; routes that do not know the chain are held for the
        parent.
        """
        found: dict[int, int] = {}
        for start in range(0, len(route_ids), 500):
            part = route_ids[start : start + 500]
            query = select(route_accounts.c.route_id, route_accounts.c.account_id)
            query = query.where(route_accounts.c.chain == chain, route_accounts.c.route_id.in_(part))
            found.update((row.route_id, row.account_id) for row in connection.execute(query))
        for route_id in route_ids:
            if route_id not in found:
                found[route_id] = self._held_account(connection, chain, route_id)
        return found

    def _held_account(self, connection: Connection, chain: str, route_id: int) -> int:
        """The account of a chain that the route was made without (it was configured later)."""
        query = (
            select(route_accounts.c.chain, accounts.c.kind, accounts.c.script_hex, accounts.c.address)
            .join(accounts, accounts.c.id == route_accounts.c.account_id)
            .where(route_accounts.c.route_id == route_id)
        )
        known = {row.chain: AccountKey(row.kind, row.script_hex, row.address) for row in connection.execute(query)}
        login_parent = connection.execute(select(routes.c.login_parent).where(routes.c.id == route_id)).scalar_one()
        return _account_id(connection, chain, Route(b"", login_parent, known).account(chain))

    def _route_ids(self, connection: Connection, run: ShareRun, lines: Sequence[ShareLine]) -> dict[bytes, int]:
        """By digest, of the routes that these lines name."""
        if len(self._routes) >= CACHE_LIMIT:
            self._routes.clear()
        known = self._routes
        digests = dict.fromkeys(line.route for line in lines)
        return {digest: known.get(digest) or self._route_id(connection, run.routes[digest]) for digest in digests}

    def _route_id(self, connection: Connection, route: Route) -> int:
        values = {"digest": route.digest, "login_parent": route.login_parent}
        route_id = _row_id(connection, routes, {"digest": route.digest}, values)
        rows = [
            {"route_id": route_id, "chain": chain, "account_id": _account_id(connection, chain, key)}
            for chain, key in route.accounts.items()
        ]
        add_missing(connection, route_accounts, rows)
        self._routes[route.digest] = route_id
        return route_id

    def _chain_set_id(self, connection: Connection, chains: tuple[str, ...]) -> int:
        found = self._chain_sets.get(chains)
        if found is None:
            names = ",".join(sorted(set(chains)))
            found = self._chain_sets[chains] = _row_id(connection, chain_sets, {"names": names}, {"names": names})
        return found

    def _raise_reused(self, connection: Connection, log_id: int, lines: Sequence[ShareLine]) -> NoReturn:
        """Tells which share has a sequence that another one has."""
        hashes = {line.sequence: line.header_hash for line in lines}
        sequences = list(hashes)
        for start in range(0, len(sequences), IN_ROWS):
            query = select(shares.c.sequence, shares.c.header_hash).where(shares.c.log_id == log_id)
            for row in connection.execute(query.where(shares.c.sequence.in_(sequences[start : start + IN_ROWS]))):
                if row.header_hash != hashes[row.sequence]:
                    raise SequenceReusedError(
                        f"share log {self._log_name}: sequence {row.sequence} already belongs to another share"
                    )
        raise StoredMeanwhileError(f"share log {self._log_name}: another process has stored some of these shares")


def _account_id(connection: Connection, chain: str, key: AccountKey) -> int:
    unique = {"chain": chain, "kind": key.kind, "script_hex": key.script_hex}
    return _row_id(connection, accounts, unique, unique | {"address": key.address})


def _row_id(connection: Connection, table: Table, unique: dict[str, Any], values: dict[str, Any]) -> int:
    """The id of the row with these unique values, added if it is not there."""
    query = select(table.c.id).where(*(table.c[name] == value for name, value in unique.items()))
    row_id = connection.execute(query).scalar_one_or_none()
    if row_id is None:
        add_missing(connection, table, [values])
        row_id = connection.execute(query).scalar_one()
    return int(row_id)
