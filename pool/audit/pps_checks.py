"""Bought shares once more: what every account earned by the shares that are stored (one by one, or summed by the hour),
against what the books have summed; and what was credited of it, against the ledger.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction

from sqlalchemy import Connection, func, select

from pool.accounting.pps import owed, worth
from pool.audit.finding import Finding
from pool.ledger.account import available
from pool.ledger.pps import KIND
from pool.shares.scheme import Counted, Rate, read_word
from pool.storage import pps_store
from pool.storage.audit_window import accounts_of_routes
from pool.storage.scheme_tables import pps_rates
from pool.storage.tables import chain_sets, share_logs, share_sums, shares, transfer_groups, transfers

HALF = 2**32
HOUR_MS = 3_600_000
FOLDED = Fraction(1, 2**200)
"""What folding may have rounded off, many times over."""

Earned = dict[str, dict[int, Fraction]]
"""Worth by chain and account."""


def check_pps(connection: Connection) -> tuple[list[Finding], list[str]]:
    """Findings, and notes about what could not be checked. Nothing for books in which no share was ever bought."""
    chains = list(connection.execute(select(pps_rates.c.chain).distinct().order_by(pps_rates.c.chain)).scalars())
    if not chains:
        return [], []
    found: list[Finding] = []
    notes: list[str] = []
    earned, gone = _earned(connection), _are_gone(connection)
    for chain in chains:
        standings = {standing.account_id: standing for standing in pps_store.standings(connection, chain)}
        credited = _credited(connection, chain)
        for account_id in sorted(standings.keys() | credited.keys() | earned.get(chain, {}).keys()):
            standing = standings.get(account_id) or pps_store.PpsStanding(account_id, Fraction(0), 0)
            subject = f"{chain} {available(account_id)}"
            booked = credited.get(account_id, 0)
            if booked != standing.credited:
                text = f"{standing.credited} were credited for shares, its transfers give {booked}"
                found.append(Finding("pps", subject, text))
            if owed(standing.cumulative, 0) < standing.credited:
                text = f"{standing.credited} were credited, its shares are worth {_shown(standing.cumulative)}"
                found.append(Finding("pps", subject, text))
            difference = earned.get(chain, {}).get(account_id, Fraction(0)) - standing.cumulative
            if not 0 <= difference < FOLDED and not (gone and difference < 0):
                worth_now = _shown(standing.cumulative + difference)
                text = f"its shares are summed to {_shown(standing.cumulative)}, they are worth {worth_now}"
                found.append(Finding("pps", subject, text))
        if gone:
            notes.append(f"{chain}: bought shares are no longer stored, not even as sums; what is was compared")
    return found, notes


def _earned(connection: Connection) -> Earned:
    """The exact worth of all stored shares that were bought."""
    bought: dict[int, list[Counted]] = {}
    for row in connection.execute(select(chain_sets.c.id, chain_sets.c.names)):
        words = [read_word(word) for word in row.names.split(",") if ":" in word]
        priced = [word for word in words if word.rate is not None and word.rate.reward > 0]
        if priced:
            bought[row.id] = priced
    weights: defaultdict[tuple[int, int], int] = defaultdict(int)
    for log_id in connection.execute(select(share_logs.c.id)).scalars().all():
        for route_id, set_id, weight in _weights(connection, log_id, list(bought)):
            weights[route_id, set_id] += weight
    accrued: defaultdict[tuple[str, int], list[tuple[Rate, int]]] = defaultdict(list)
    owners: dict[str, dict[int, int]] = {}
    for chain in {counted.chain for priced in bought.values() for counted in priced}:
        owners[chain] = accounts_of_routes(connection, chain, sorted({route_id for route_id, _ in weights}))
    for (route_id, set_id), weight in weights.items():
        for counted in bought[set_id]:
            account_id = owners[counted.chain].get(route_id)
            if account_id is not None and counted.rate is not None:
                accrued[counted.chain, account_id].append((counted.rate, weight))
    earned: Earned = {}
    for (chain, account_id), items in accrued.items():
        earned.setdefault(chain, {})[account_id] = worth(items)
    return earned


def _weights(connection: Connection, log_id: int, set_ids: list[int]) -> Iterator[tuple[int, int, int]]:
    """(route, chain set, weight) of a log's shares: one by one from the first hour of which none was deleted, before
    that as sums of hours.
    """
    from_ms = _whole_from_ms(connection, log_id)
    high, low = func.sum(shares.c.weight // HALF), func.sum(shares.c.weight % HALF)  # SQLite's SUM fails past 63 bits
    key = (shares.c.route_id, shares.c.chain_set_id)
    query = select(*key, high, low).where(shares.c.log_id == log_id, shares.c.time_ms >= from_ms, shares.c.stale == 0)
    for route_id, set_id, high_sum, low_sum in connection.execute(
        query.where(shares.c.chain_set_id.in_(set_ids)).group_by(*key)
    ):
        yield route_id, set_id, int(high_sum) * HALF + int(low_sum)
    sums = select(share_sums.c.route_id, share_sums.c.chain_set_id, share_sums.c.weight)
    sums = sums.where(share_sums.c.log_id == log_id, share_sums.c.hour_ms < from_ms)
    for row in connection.execute(sums.where(share_sums.c.chain_set_id.in_(set_ids))):
        yield row.route_id, row.chain_set_id, int(row.weight)


def _whole_from_ms(connection: Connection, log_id: int) -> int:
    """The beginning of the first hour of which no share of a log was deleted; 0 when none ever was."""
    oldest = select(shares.c.sequence, shares.c.time_ms).where(shares.c.log_id == log_id)
    first = connection.execute(oldest.order_by(shares.c.sequence).limit(1)).one_or_none()
    if first is not None and first.sequence == 1:  # a log's first sequence is 1
        return 0
    last_ms = connection.execute(select(func.max(share_sums.c.hour_ms)).where(share_sums.c.log_id == log_id)).scalar()
    if last_ms is None:
        return 0
    return int(last_ms if first is None else first.time_ms // HOUR_MS * HOUR_MS) + HOUR_MS


def _credited(connection: Connection, chain: str) -> dict[int, int]:
    """What the ledger credited for shares, by account."""
    query = select(transfers.c.credit, func.sum(transfers.c.amount)).join(
        transfer_groups, transfer_groups.c.id == transfers.c.group_id
    )
    query = query.where(transfer_groups.c.kind == KIND, transfers.c.chain == chain).group_by(transfers.c.credit)
    return {int(account.split(".")[1]): int(amount) for account, amount in connection.execute(query)}


def _are_gone(connection: Connection) -> bool:
    """Whether some shares are stored neither one by one nor in sums."""
    summed = set(connection.execute(select(share_sums.c.log_id).distinct()).scalars())
    firsts = select(shares.c.log_id, func.min(shares.c.sequence)).group_by(shares.c.log_id)
    return any(first > 1 and log_id not in summed for log_id, first in connection.execute(firsts))


def _shown(value: Fraction) -> str:
    return f"{float(value):.6f}"
