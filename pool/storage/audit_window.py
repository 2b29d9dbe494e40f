"""The claim on a block read once more from the shares that are still stored, by the rules it was credited by.

The rules are those of block_claim, which the bookkeeping credits by. Read-only, unlike the share store: an account that
is missing is told of, never made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from sqlalchemy import Connection, func, select

from pool.shares.record import AccountKey, Route
from pool.shares.scheme import PER_SHARE, Scheme
from pool.storage import front_ends
from pool.storage.audit_views import StoredBlock
from pool.storage.block_claim import read_claim, solving_share
from pool.storage.income_store import ShareRef
from pool.storage.retention import HOUR_MS
from pool.storage.share_store import ShareStore
from pool.storage.tables import accounts, route_accounts, routes, share_sums, shares
from pool.storage.window_reading import one_by_one

IN_ROWS = 500


@dataclass(frozen=True, slots=True)
class RebuiltWindow:
    """A block's claim as the stored shares give it. `scheme` is None when nothing tells it any more.

    `weights` is by account id. A route whose account does not exist has earned nothing yet it should have: its weight
    is in `unknown`. `complete` means that the window ended before the stored shares did, or that no share of this log
    was ever removed at its old end.
    """

    scheme: Scheme | None
    weights: dict[int, int]
    unknown: int
    total: int
    share_count: int
    oldest: ShareRef | None
    newest: ShareRef | None
    complete: bool


def rebuilt_window(
    connection: Connection,
    block: StoredBlock,
    *,
    factor: Fraction | int,
    window_min_ms: int,
    credited_scheme: Scheme = "pplns",
) -> RebuiltWindow:
    """The claim on a block once more. `credited_scheme` is the one it was credited under."""
    store = ShareStore(block.log_name, block.pool)
    solving = solving_share(connection, store, block)
    told = block.scheme is not None or solving is not None
    if solving is None and credited_scheme == "solo":
        return RebuiltWindow(None, {}, 0, 0, 0, None, None, complete=False)
    claim = read_claim(
        connection,
        store,
        block,
        factor=factor,
        window_min_ms=window_min_ms,
        # A block that nothing explains went to the operator of a chain that bought shares at that time.
        chain_scheme=credited_scheme if credited_scheme in PER_SHARE else "pplns",
        # From the shares alone: sums that were wrong would be wrong twice.
        read_window=one_by_one,
    )
    found = accounts_of_routes(connection, block.chain, sorted(claim.weights))
    weights: dict[int, int] = {}
    for route_id, weight in claim.weights.items():
        if route_id in found:
            weights[found[route_id]] = weights.get(found[route_id], 0) + weight
    return RebuiltWindow(
        scheme=claim.scheme if told else None,
        weights=weights,
        unknown=claim.total - sum(weights.values()),
        total=claim.total,
        share_count=claim.share_count,
        oldest=claim.oldest,
        newest=claim.newest,
        complete=claim.ended_early or not _has_lost_shares(connection, block),
    )


def _has_lost_shares(connection: Connection, block: StoredBlock) -> bool:
    """Whether shares of the block's pool, which its window may have held, are no longer stored one by one."""
    logs = {block.log_id, *front_ends.log_ids(connection, block.pool)}
    oldest_ms = connection.execute(select(func.min(shares.c.time_ms)).where(shares.c.log_id.in_(logs))).scalar()
    summed = select(share_sums.c.log_id).where(share_sums.c.log_id.in_(logs), share_sums.c.shares > 0)
    if oldest_ms is not None:
        summed = summed.where(share_sums.c.hour_ms <= oldest_ms - HOUR_MS)
    if connection.execute(summed.limit(1)).first():
        return True
    firsts = select(func.min(shares.c.sequence)).where(shares.c.log_id.in_(logs)).group_by(shares.c.log_id)
    return any(first != 1 for first in connection.execute(firsts).scalars())  # a log's first sequence is 1


def accounts_of_routes(connection: Connection, chain: str, route_ids: Sequence[int]) -> dict[int, int]:
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
