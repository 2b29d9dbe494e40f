"""What the HTTP API shows, read from the books as plain values. Amounts are in smallest units, hashrates in hashes
per second.

A view never shows which addresses shared a login: hashrate and workers appear only under the login's parent address, an
auxiliary address shows what its own script earned and nothing else, and credits held for want of an address appear
under the parent address they wait for. Credits of a block are ordered by amount and address, never by the order of
logins.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, case, func, or_, select

from pool.ledger.account import ASSET_IMMATURE, ASSET_WALLET, INCOME_FEE, SUSPENSE_UNEXPLAINED, available, immature
from pool.storage.recent_shares import HALF, RecentShares
from pool.storage.tables import accounts, balances, blocks, credits, routes, share_logs, shares

MINUTES_5_MS = 5 * 60 * 1000
HOUR_MS = 60 * 60 * 1000
LEAST_COVERED_MS = 10_000
"""A rate is never over less: a share in the first seconds says little."""

WORKERS_LIMIT = 1000
CREDITS_LIMIT = 100
BLOCK_CREDITS_LIMIT = 1000
PAGE_LIMIT = 500


_TELLS = or_(blocks.c.superseded == 0, blocks.c.state != "orphan")
"""Leaves out the voids of votes that are told of by another row, in another block."""


def pool_overview(
    connection: Connection, now_ms: int, started_ms: int = 0, recent: RecentShares | None = None
) -> dict[str, Any]:
    """The whole pool: hashrate, who is mining, and per chain the blocks by state and the sums of the ledger. The
    process that asks began at `started_ms`; `recent` is what it has read of the shares so far, and `whole` tells
    whether that is all of the last hour by now."""
    covered_5m_ms, covered_1h_ms = _covered_ms(connection, now_ms, started_ms)
    totals = (recent or RecentShares()).totals(connection, now_ms)
    return {
        "hashrate_5m": totals.weight_5m * 1000 // covered_5m_ms,
        "hashrate_1h": totals.weight_1h * 1000 // covered_1h_ms,
        "shares_1h": totals.shares_1h,
        "last_share_ms": totals.last_share_ms,
        "whole": totals.whole,
        "drained_ms": _drained_ms(connection),
        "miners": totals.miners,
        "workers": totals.workers,
        "chains": _chain_sums(connection),
    }


def _drained_ms(connection: Connection) -> int | None:
    """The time up to which the shares of every front end are stored; None before the first has told one."""
    told = select(func.min(share_logs.c.drained_ms)).where(share_logs.c.drained_ms > 0)
    return connection.execute(told.where(share_logs.c.written_off_ms.is_(None))).scalar()


def chain_blocks(
    connection: Connection,
    chain: str | None,
    cursor: str | None = None,
    limit: int = 50,
    among: Collection[str] | None = None,
) -> dict[str, Any]:
    """Found blocks and votes, newest first, of one chain, of those `among`, or of all. `cursor` is what the previous
    page gave. Raises ValueError for a cursor of another kind.
    """
    query = select(blocks).where(_TELLS).order_by(blocks.c.id.desc())
    if chain is not None:
        query = query.where(blocks.c.chain == chain)
    if among is not None:
        query = query.where(blocks.c.chain.in_(sorted(among)))
    if cursor is not None:
        if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
            raise ValueError("cursor: expected the cursor of a previous page")
        query = query.where(blocks.c.id < int(cursor))
    limit = max(1, min(limit, PAGE_LIMIT))
    rows = connection.execute(query.limit(limit + 1)).all()
    more = len(rows) > limit
    return {"items": [_block(row) for row in rows[:limit]], "cursor": str(rows[limit - 1].id) if more else None}


def block_with_credits(
    connection: Connection, chain: str, hash_hex: str, cursor: str | None = None, limit: int = 1000
) -> dict[str, Any] | None:
    """One block with some of its credits, the largest first; None when it is not ours. Credits of an orphan are listed
    and void. `cursor` is what the previous page gave. Raises ValueError for a cursor of another kind.
    """
    if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 9):
        raise ValueError("cursor: expected the cursor of a previous page")
    row = None
    for column in (blocks.c.vote_hash_hex, blocks.c.hash_hex):  # one by one, so that each is found by its index
        # Of a vote's rows the one that tells of it now; of several losses the first.
        telling = select(blocks).where(blocks.c.chain == chain, column == hash_hex)
        telling = telling.order_by(blocks.c.superseded, blocks.c.id).limit(1)
        row = row or connection.execute(telling).one_or_none()
    if row is None:
        return None
    amount = func.sum(credits.c.amount).label("amount")
    grouped = (
        select(accounts.c.address, accounts.c.kind, amount)
        .join(accounts, accounts.c.id == credits.c.account_id)
        .where(credits.c.block_id == row.id)
        .group_by(accounts.c.address, accounts.c.kind)
    )
    start, limit = int(cursor or 0), max(1, min(limit, BLOCK_CREDITS_LIMIT))
    ordered = grouped.order_by(amount.desc(), accounts.c.address, accounts.c.kind).offset(start).limit(limit)
    items = [
        {"miner": item.address, "amount": int(item.amount), "held": item.kind == "held"}
        for item in connection.execute(ordered)
    ]
    total = connection.execute(select(func.count()).select_from(grouped.subquery())).scalar_one()
    more = start + len(items) < total and bool(items)
    return _block(row) | {
        "credits": items, "credits_total": total, "cursor": str(start + len(items)) if more else None,
    }  # fmt: skip


def miner(connection: Connection, address: str, now_ms: int, started_ms: int = 0) -> dict[str, Any] | None:
    """One address: hashrate and workers if logins have it as parent, balances and credits of its own. None if unknown.

    Balances per chain: `immature` (may still be voided), `available`, and `held` (earned by logins of this parent
    address that gave no address for the chain; final or not).
    """
    own = connection.execute(select(accounts).where(accounts.c.address == address)).all()
    logins = connection.execute(select(routes.c.id).where(routes.c.login_parent == address)).scalars().all()
    if not own and not logins:
        return None
    workers = _workers(connection, address, now_ms, started_ms) if logins else []
    return {
        "address": address,
        "hashrate_5m": sum(worker["hashrate_5m"] for worker in workers),
        "hashrate_1h": sum(worker["hashrate_1h"] for worker in workers),
        "workers": workers,
        "balances": _balances(connection, own),
        "credits": _credits(connection, address),
    }


def block_counts(connection: Connection) -> dict[tuple[str, str], int]:
    """How many found blocks are in each state, by (chain, state)."""
    counts = select(blocks.c.chain, blocks.c.state, func.count().label("number")).where(_TELLS)
    rows = connection.execute(counts.group_by(blocks.c.chain, blocks.c.state))
    return {(row.chain, row.state): row.number for row in rows}


def _work(now_ms: int) -> list[ColumnElement[int]]:
    """Sums of weights over 5 minutes and an hour, each in two halves: SQLite's SUM fails beyond 63 bits."""
    recent = shares.c.time_ms > now_ms - MINUTES_5_MS
    high, low = shares.c.weight // HALF, shares.c.weight % HALF
    return [
        func.sum(case((recent, high), else_=0)),
        func.sum(case((recent, low), else_=0)),
        func.sum(high),
        func.sum(low),
    ]


def _covered_ms(connection: Connection, now_ms: int, started_ms: int) -> tuple[int, int]:
    """How much of the last 5 minutes and of the last hour the pool was there for shares: all but the time between the
    last share before the process began and its beginning. So rates are right from a pool's first minute and after a
    stop; what other processes over the same books took meanwhile leaves little to take off."""
    before_ms = connection.execute(select(func.max(shares.c.time_ms)).where(shares.c.time_ms < started_ms)).scalar()

    def covered(span_ms: int) -> int:
        away_ms = started_ms - max(before_ms or 0, now_ms - span_ms)
        return max(LEAST_COVERED_MS, span_ms - max(0, away_ms))

    return covered(MINUTES_5_MS), covered(HOUR_MS)


def _rate(high: int | None, low: int | None, span_ms: int) -> int:
    return (int(high or 0) * HALF + int(low or 0)) * 1000 // span_ms


def _chain_sums(connection: Connection) -> dict[str, Any]:
    """Per chain: blocks by state, the newest block, and what the ledger holds."""
    chains: dict[str, dict[str, Any]] = {}

    def entry(chain: str) -> dict[str, Any]:
        return chains.setdefault(
            chain,
            {
                "blocks": {state: 0 for state in ("submitted", "immature", "mature", "orphan", "rejected", "lost")},
                "last_block": None,
                "immature": 0,
                "available": 0,
                "fee": 0,
                "unexplained": 0,
                "coins": 0,
            },
        )

    counts = select(blocks.c.chain, blocks.c.state, func.count().label("number"), func.max(blocks.c.id).label("newest"))
    newest: dict[str, int] = {}
    for row in connection.execute(counts.where(_TELLS).group_by(blocks.c.chain, blocks.c.state)):
        entry(row.chain)["blocks"][row.state] = row.number
        newest[row.chain] = max(newest.get(row.chain, 0), row.newest)
    for block in connection.execute(select(blocks).where(blocks.c.id.in_(newest.values()))):
        entry(block.chain)["last_block"] = _block(block)
    part = case(
        (balances.c.account.like("liab.%.immature"), "immature"),
        (balances.c.account.like("liab.%"), "available"),
        (balances.c.account == INCOME_FEE, "fee"),
        (balances.c.account == SUSPENSE_UNEXPLAINED, "unexplained"),
        (balances.c.account.in_((ASSET_IMMATURE, ASSET_WALLET)), "coins"),
        else_="other",
    )
    sums = select(balances.c.chain, part.label("part"), func.sum(balances.c.amount).label("amount"))
    for row in connection.execute(sums.group_by(balances.c.chain, part)):
        if row.part != "other":
            entry(row.chain)[row.part] = int(row.amount)
    return chains


def _workers(connection: Connection, login_parent: str, now_ms: int, started_ms: int) -> list[dict[str, Any]]:
    """The workers that sent a share within the hour, last one first."""
    covered_5m_ms, covered_1h_ms = _covered_ms(connection, now_ms, started_ms)
    last = func.max(shares.c.time_ms)
    query = (
        select(shares.c.worker, last, *_work(now_ms))
        .join(routes, routes.c.id == shares.c.route_id)
        .where(routes.c.login_parent == login_parent, shares.c.time_ms > now_ms - HOUR_MS, shares.c.stale == 0)
        .group_by(shares.c.worker)
        .order_by(last.desc(), shares.c.worker)
        .limit(WORKERS_LIMIT)
    )
    return [
        {
            "name": row[0],
            "last_share_ms": row[1],
            "hashrate_5m": _rate(row[2], row[3], covered_5m_ms),
            "hashrate_1h": _rate(row[4], row[5], covered_1h_ms),
        }
        for row in connection.execute(query)
    ]


def _balances(connection: Connection, own: Any) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for account in own:
        names = {immature(account.id): "immature", available(account.id): "available"}
        query = select(balances.c.account, balances.c.amount).where(
            balances.c.chain == account.chain, balances.c.account.in_(names)
        )
        sums = found.setdefault(account.chain, {"immature": 0, "available": 0, "held": 0})
        for row in connection.execute(query):
            sums["held" if account.kind == "held" else names[row.account]] += row.amount
    return dict(sorted(found.items()))


def _credits(connection: Connection, address: str) -> list[dict[str, Any]]:
    query = (
        select(blocks, accounts.c.kind, credits.c.amount)
        .join(credits, credits.c.block_id == blocks.c.id)
        .join(accounts, accounts.c.id == credits.c.account_id)
        .where(accounts.c.address == address, _TELLS)
        .order_by(blocks.c.id.desc())
        .limit(CREDITS_LIMIT)
    )
    return [
        {
            "chain": row.chain,
            "height": row.height,
            "hash": row.vote_hash_hex or row.hash_hex,
            "state": row.state,
            "amount": row.amount,
            "held": row.kind == "held",
            "found_ms": row.found_ms,
        }
        for row in connection.execute(query)
    ]


def _block(row: Row[Any]) -> dict[str, Any]:
    """A block; `container` and `index` tell in which block a vote is, or was, None of others."""
    return {
        "chain": row.chain,
        "height": row.height,
        "hash": row.vote_hash_hex or row.hash_hex,
        "container": row.container_hash_hex,
        "index": None if row.container_hash_hex is None else row.event_index,
        "state": row.state,
        "reward": row.reward,
        "fee": row.fee,
        "confirmations": row.confirmations,
        "found_ms": row.found_ms,
        "reason": row.reason,
    }
