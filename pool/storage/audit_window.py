"""A block's window read once more from the shares that are still stored, by the rules it was credited by.

Read-only, unlike the share store: an account that is missing is told of, never made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from sqlalchemy import Connection, func, select

from pool.accounting.window import WindowShare, pplns_window, target_work
from pool.shares.record import AccountKey, Route
from pool.storage import front_ends
from pool.storage.audit_views import StoredBlock
from pool.storage.share_store import ShareStore
from pool.storage.tables import accounts, route_accounts, routes, share_sums, shares

IN_ROWS = 500


@dataclass(frozen=True, slots=True)
class RebuiltWindow:
    """A block's window as the stored shares give it.

    `weights` is by account id. A route whose account does not exist has earned nothing yet it should have: its weight
    is in `unknown`. `complete` means that the window ended before the stored shares did, or that no share of this log
    was ever removed at its old end. Times are the newest and the oldest share's.
    """

    weights: dict[int, int]
    unknown: int
    total: int
    share_count: int
    oldest_sequence: int | None
    newest_sequence: int | None
    oldest_ms: int | None
    newest_ms: int | None
    complete: bool


def rebuilt_window(
    connection: Connection, block: StoredBlock, *, factor: Fraction | int, window_min_s: float
) -> RebuiltWindow:
    """The window of a block once more, by the rules it was credited by (SqlBooks.credit)."""
    store = ShareStore(block.log_name, block.pool)
    last = block.share_sequence or store.last_sequence(connection, block.found_ms)
    solve_ms = store.time_ms(connection, last)
    rows, counting, solvers = store.window_shares(connection, block.chain, block.hash_hex, last, block.found_ms)
    read = _Counted(rows)
    window = pplns_window(
        read,
        counting_sets=counting,
        solvers=solvers,
        work=target_work(int(block.target_hex, 16)),
        factor=factor,
        end_ms=block.found_ms if solve_ms is None else solve_ms,
        window_min_s=window_min_s,
    )
    found = _accounts_of(connection, block.chain, sorted(window.weights))
    weights: dict[int, int] = {}
    for route_id, weight in window.weights.items():
        if route_id in found:
            weights[found[route_id]] = weights.get(found[route_id], 0) + weight
    ended_early = read.last is not None and read.last != window.oldest
    oldest, newest = window.oldest, window.newest
    return RebuiltWindow(
        weights=weights,
        unknown=window.total - sum(weights.values()),
        total=window.total,
        share_count=read.count - int(ended_early),
        oldest_sequence=window.oldest_sequence,
        newest_sequence=window.newest_sequence,
        oldest_ms=None if oldest is None else oldest.time_ms,
        newest_ms=None if newest is None else newest.time_ms,
        complete=ended_early or not _has_lost_shares(connection, block),
    )


def _has_lost_shares(connection: Connection, block: StoredBlock) -> bool:
    """Whether shares of the block's pool, which its window may have held, are no longer stored one by one."""
    logs = {block.log_id, *front_ends.log_ids(connection, block.pool)}
    if connection.execute(select(share_sums.c.log_id).where(share_sums.c.log_id.in_(logs)).limit(1)).first():
        return True
    firsts = select(func.min(shares.c.sequence)).where(shares.c.log_id.in_(logs)).group_by(shares.c.log_id)
    return any(first != 1 for first in connection.execute(firsts).scalars())  # a log's first sequence is 1


class _Counted:
    """The shares that a window reads, counted on their way."""

    def __init__(self, rows: Iterator[WindowShare]) -> None:
        self._rows = rows
        self.count = 0
        self.last: WindowShare | None = None

    def __iter__(self) -> Iterator[WindowShare]:
        for row in self._rows:
            self.count += 1
            self.last = row
            yield row


def _accounts_of(connection: Connection, chain: str, route_ids: Sequence[int]) -> dict[int, int]:
    """Route id to the account id that earns on `chain`. Unlike the share store's, it adds none that is missing."""
    found: dict[int, int] = {}
    for start in range(0, len(route_ids), IN_ROWS):
        query = select(route_accounts.c.route_id, route_accounts.c.account_id)
        part = route_ids[start : start + IN_ROWS]
        query = query.where(route_accounts.c.chain == chain, route_accounts.c.route_id.in_(part))
        found.update((row.route_id, row.account_id) for row in connection.execute(query))
    for route_id in route_ids:
        if route_id not in found:
            key = _login(connection, route_id).account(chain)
            query = select(accounts.c.id).where(accounts.c.chain == chain, accounts.c.kind == key.kind)
            account_id = connection.execute(query.where(accounts.c.script_hex == key.script_hex)).scalar_one_or_none()
            if account_id is not None:
                found[route_id] = account_id
    return found


def _login(connection: Connection, route_id: int) -> Route:
    query = (
        select(route_accounts.c.chain, accounts.c.kind, accounts.c.script_hex, accounts.c.address)
        .join(accounts, accounts.c.id == route_accounts.c.account_id)
        .where(route_accounts.c.route_id == route_id)
    )
    known = {row.chain: AccountKey(row.kind, row.script_hex, row.address) for row in connection.execute(query)}
    login_parent = connection.execute(select(routes.c.login_parent).where(routes.c.id == route_id)).scalar_one()
    return Route(b"", login_parent, known)
