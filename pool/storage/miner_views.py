"""What a miner's own page shows beside pool/storage/views.py: hashrate over time, workers of the last day, payments and
what the next payout depends on. Amounts are in smallest units, hashrates in hashes per second.

The same rule holds: nothing here shows which addresses shared a login, nor which address a payout was registered for. A
payment to a registered address has no transaction id here, as its outputs would tell where it went.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, and_, func, select

from pool.ledger.account import available, immature
from pool.storage.payout_tables import chain_holds, payout_batches, payout_outputs, payout_quarantine, payouts
from pool.storage.recent_shares import HALF
from pool.storage.settings_tables import account_settings, frozen_scripts
from pool.storage.tables import accounts, balances, blocks, credits, routes, share_logs, share_sums, shares
from pool.storage.views import HOUR_MS

STEP_MS = 5 * 60 * 1000
DAY_HOURS, WEEK_HOURS = 24, 168
FRESH_HOURS = 3
"""The hour that runs and those before it that may not be added up yet (pool/storage/retention.py): read from shares."""

LEAST_STEP_MS = 10 * 60 * 1000
"""From so long on the hour that runs is a point of its own."""

ROUTES_LIMIT = 64
"""Whoever knows an address can log in under it with any others: the newest of its routes are looked at."""

SEEN_SHARES = 5000
"""The newest shares that are looked at for the workers of the last day and the best share."""

SEEN_WORKERS = 1000
PAYMENTS_LIMIT = 200
CREDITS_FOR_RATE = 2000
SENT = ("broadcast", "confirming", "settled")
PREPARED = ("planned", "built", "signed")


def is_known(connection: Connection, address: str) -> bool:
    """Whether anything was ever mined for an address."""
    own = select(accounts.c.id).where(accounts.c.address == address).limit(1)
    login = select(routes.c.id).where(routes.c.login_parent == address).limit(1)
    return connection.execute(own).first() is not None or connection.execute(login).first() is not None


def hashrates(connection: Connection, address: str, now_ms: int) -> dict[str, dict[str, Any]] | None:
    """By span (`1h`, `24h`, `7d`): the points of its plot, oldest first, each over `step_ms`, the last one ending at
    `end_ms`. A point is None where nothing is on record. None for an address that nothing was mined for.
    """
    if not is_known(connection, address):
        return None
    route_ids = _routes(connection, address)
    hour_ms = now_ms - now_ms % HOUR_MS
    fresh = _weights(connection, route_ids, hour_ms - (FRESH_HOURS - 1) * HOUR_MS, now_ms, HOUR_MS)
    first_ms = hour_ms - WEEK_HOURS * HOUR_MS
    known = _summed(connection, route_ids, first_ms, hour_ms - (FRESH_HOURS - 1) * HOUR_MS)
    week: list[int | None] = []
    for start_ms in range(first_ms, hour_ms + 1, HOUR_MS):
        span_ms = min(HOUR_MS, now_ms - start_ms)
        if start_ms >= hour_ms - (FRESH_HOURS - 1) * HOUR_MS:
            weight: int | None = fresh.get((start_ms - hour_ms) // HOUR_MS + FRESH_HOURS - 1, 0)
        else:
            weight = known.get(start_ms)
        if span_ms >= LEAST_STEP_MS:
            week.append(None if weight is None else weight * 1000 // span_ms)
    end_ms = now_ms if now_ms - hour_ms >= LEAST_STEP_MS else hour_ms
    steps = HOUR_MS // STEP_MS
    recent = _weights(connection, route_ids, now_ms - HOUR_MS, now_ms, STEP_MS)
    return {
        "1h": _series(STEP_MS, now_ms, [recent.get(step, 0) * 1000 // STEP_MS for step in range(steps)]),
        "24h": _series(HOUR_MS, end_ms, week[-DAY_HOURS:]),
        "7d": _series(HOUR_MS, end_ms, week[-WEEK_HOURS:]),
    }


def seen(connection: Connection, address: str, now_ms: int) -> dict[str, Any]:
    """Out of the newest shares of the last day: when each worker sent its last one, and the smallest header hash.

    The hash is that of the proof of work only where that is SHA-256d.
    """
    route_ids = _routes(connection, address)
    last_ms: dict[str, int] = {}
    best: tuple[bytes, int] | None = None
    count = 0
    for route_id in route_ids:
        query = select(shares.c.time_ms, shares.c.worker, shares.c.header_hash).where(
            shares.c.route_id == route_id, shares.c.time_ms > now_ms - DAY_HOURS * HOUR_MS
        )
        query = query.order_by(shares.c.time_ms.desc()).limit(SEEN_SHARES // len(route_ids))
        for time_ms, worker, header_hash in connection.execute(query):
            count += 1
            last_ms[worker] = max(time_ms, last_ms.get(worker, 0))
            displayed = header_hash[::-1]
            if best is None or displayed < best[0]:
                best = (displayed, time_ms)
    newest = sorted(last_ms.items(), key=lambda item: (-item[1], item[0]))[:SEEN_WORKERS]
    found = None if best is None else {"hash": best[0].hex(), "time_ms": best[1], "shares": count}
    return {"workers": [{"name": name, "last_share_ms": time_ms} for name, time_ms in newest], "best": found}


def payments(connection: Connection, address: str, cursor: str | None = None, limit: int = 50) -> dict[str, Any] | None:
    """What was or is being paid to the accounts of an address, newest first; None for an unknown address.

    `state` is prepared, sent, paid or waiting (on hold, or overtaken). Raises ValueError for a cursor of another kind.
    """
    if not is_known(connection, address):
        return None
    batch, output = payout_batches.c, payout_outputs.c
    query: Any = (
        select(
            payouts.c.id, payouts.c.chain, payouts.c.address, payouts.c.gross, payouts.c.state, payouts.c.txid,
            func.coalesce(payouts.c.net, output.net).label("net"),
            func.coalesce(payouts.c.fee_part, output.fee_part).label("fee"),
            batch.state.label("batch_state"), batch.txid.label("batch_txid"), batch.confirmations, batch.created_ms,
            batch.settled_ms,
        )
        .join(accounts, accounts.c.id == payouts.c.account_id)
        .join(payout_batches, batch.id == payouts.c.batch_id)
        .join(payout_outputs, and_(output.batch_id == batch.id, output.payout_id == payouts.c.id), isouter=True)
        .where(accounts.c.address == address, accounts.c.kind == "miner", payouts.c.state != "void")
    )  # fmt: skip
    if cursor is not None:
        created_ms, payout_id = _payment_place(cursor)
        older = and_(batch.created_ms == created_ms, payouts.c.id < payout_id)
        query = query.where((batch.created_ms < created_ms) | older)
    limit = max(1, min(limit, PAYMENTS_LIMIT))
    rows = connection.execute(
        query.order_by(batch.created_ms.desc(), payouts.c.id.desc()).limit(limit + 1)
    ).all()
    last = rows[limit - 1] if len(rows) > limit else None
    return {
        "items": [_payment(row, address) for row in rows[:limit]],
        "cursor": None if last is None else f"{last.created_ms}-{last.id}",
    }


def payout_facts(connection: Connection, address: str, now_ms: int) -> dict[str, dict[str, Any]]:
    """By chain, for the account of an address that is paid there: what the next payout depends on."""
    found = {}
    query = select(accounts).where(accounts.c.address == address, accounts.c.kind == "miner")
    for account in connection.execute(query.order_by(accounts.c.chain)).all():
        names = (available(account.id), immature(account.id))
        sums = select(balances.c.account, balances.c.amount).where(balances.c.chain == account.chain)
        amounts = {row.account: row.amount for row in connection.execute(sums.where(balances.c.account.in_(names)))}
        column = account_settings.c
        own = select(column.minimum_payout).where(
            column.chain == account.chain, column.kind == "miner", column.script_hex == account.script_hex
        )
        frozen = select(frozen_scripts.c.script_hex).where(frozen_scripts.c.script_hex == account.script_hex)
        refused = select(payout_quarantine.c.account_id).where(payout_quarantine.c.account_id == account.id).limit(1)
        held = select(chain_holds.c.id).where(chain_holds.c.chain == account.chain, chain_holds.c.released_ms.is_(None))
        planned = select(func.max(payout_batches.c.created_ms)).where(
            payout_batches.c.chain == account.chain, payout_batches.c.kind == "payout", payout_batches.c.state != "void"
        )
        found[account.chain] = {
            "available": amounts.get(names[0], 0),
            "immature": amounts.get(names[1], 0),
            "own_minimum": connection.execute(own).scalar_one_or_none(),
            "frozen": connection.execute(frozen).first() is not None,
            "refused_address": connection.execute(refused).first() is not None,
            "chain_on_hold": connection.execute(held.limit(1)).first() is not None,
            "last_planned_ms": connection.execute(planned).scalar_one_or_none(),
            "earned_7d": _earned(connection, account.id, now_ms - WEEK_HOURS * HOUR_MS),
        }
    return found


def _routes(connection: Connection, address: str) -> list[int]:
    query = select(routes.c.id).where(routes.c.login_parent == address).order_by(routes.c.id.desc())
    return list(connection.execute(query.limit(ROUTES_LIMIT)).scalars())


def _weights(connection: Connection, route_ids: list[int], from_ms: int, to_ms: int, step_ms: int) -> dict[int, int]:
    """Sums of weights by step, counted from `from_ms` on. In two halves: SQLite's SUM fails beyond 63 bits."""
    step = ((shares.c.time_ms - from_ms) // step_ms).label("step")
    query = select(step, func.sum(shares.c.weight // HALF), func.sum(shares.c.weight % HALF)).where(
        shares.c.route_id.in_(route_ids), shares.c.time_ms >= from_ms, shares.c.time_ms < to_ms, shares.c.stale == 0
    )
    return {int(row[0]): int(row[1]) * HALF + int(row[2]) for row in connection.execute(query.group_by(step))}


def _summed(connection: Connection, route_ids: list[int], from_ms: int, to_ms: int) -> dict[int, int]:
    """Weight by hour, for the hours that were added up."""
    hours = list(range(from_ms, to_ms, HOUR_MS))
    own = select(share_sums.c.hour_ms, share_sums.c.weight).where(
        share_sums.c.hour_ms.in_(hours),
        share_sums.c.log_id.in_(select(share_logs.c.id)),
        share_sums.c.route_id.in_(route_ids),
    )
    found: dict[int, int] = {}
    for row in connection.execute(own):
        found[row.hour_ms] = found.get(row.hour_ms, 0) + int(row.weight)
    for hour_ms in hours:
        if hour_ms not in found:
            any_row = select(share_sums.c.hour_ms).where(share_sums.c.hour_ms == hour_ms).limit(1)
            if connection.execute(any_row).first() is not None:
                found[hour_ms] = 0
    return found


def _series(step_ms: int, end_ms: int, points: list[int] | list[int | None]) -> dict[str, Any]:
    return {"step_ms": step_ms, "end_ms": end_ms, "points": points}


def _payment(row: Row[Any], address: str) -> dict[str, Any]:
    if row.state == "settled":
        state = "paid"
    elif row.batch_state in SENT:
        state = "sent"
    else:
        state = "prepared" if row.batch_state in PREPARED else "waiting"
    txid = row.txid if row.state == "settled" else row.batch_txid
    shown = row.address == address and state in ("paid", "sent") and txid is not None
    return {
        "chain": row.chain,
        "amount": row.gross,
        "fee": row.fee,
        "net": row.net,
        "state": state,
        "txid": bytes(txid)[::-1].hex() if shown else None,
        "elsewhere": row.address != address,
        "confirmations": row.confirmations,
        "created_ms": row.created_ms,
        "settled_ms": row.settled_ms,
    }


def _payment_place(cursor: str) -> tuple[int, str]:
    created_ms, _, payout_id = cursor.partition("-")
    if not (created_ms.isascii() and created_ms.isdigit() and len(created_ms) <= 16 and payout_id):
        raise ValueError("cursor: expected the cursor of a previous page")
    return int(created_ms), payout_id


def _earned(connection: Connection, account_id: int, since_ms: int) -> int:
    """Credits of blocks found since a time that stand, out of the newest CREDITS_FOR_RATE."""
    newest = (
        select(credits.c.block_id, credits.c.amount)
        .where(credits.c.account_id == account_id)
        .order_by(credits.c.block_id.desc())
        .limit(CREDITS_FOR_RATE)
        .subquery()
    )
    query = select(func.sum(newest.c.amount)).join_from(newest, blocks, blocks.c.id == newest.c.block_id)
    query = query.where(blocks.c.found_ms >= since_ms, blocks.c.state.in_(("immature", "mature")))
    return int(connection.execute(query).scalar() or 0)
