"""Income events in SQL: what each proof of a block paid, with the terms it was credited by, kept for ever.

Everything takes an open connection and leaves the commit to its caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple, cast

from sqlalchemy import Connection, Row, func, insert, select

from pool.accounting.window import WindowShare
from pool.shares.scheme import Scheme
from pool.storage.scheme_tables import income_events
from pool.storage.tables import blocks, credits


class ShareRef(NamedTuple):
    """A share by its log and sequence, with the time it was received, which outlives the share itself."""

    log_id: int
    sequence: int
    time_ms: int


@dataclass(frozen=True, slots=True)
class Terms:
    """What an event was credited by. `factor` and `window_min_ms` are of PPLNS windows only; None is not known."""

    fee_ppm: int | None = None
    factor: Fraction | None = None
    window_min_ms: int | None = None


@dataclass(frozen=True, slots=True)
class IncomeEvent:
    """What one proof of a block paid. reward = fee + operator + unexplained + credits, in smallest units.

    `total_weight` is that of its window, or of the solving share under SOLO; `oldest` and `newest` are the window's
    ends. What books of before the terms were kept do not tell is None.
    """

    block_id: int
    index: int
    reward: int
    fee: int
    operator: int
    unexplained: int
    scheme: Scheme
    terms: Terms
    total_weight: int
    share_count: int | None = None
    oldest: ShareRef | None = None
    newest: ShareRef | None = None

    @property
    def divided(self) -> int:
        """What the credits add up to."""
        return self.reward - self.fee - self.operator - self.unexplained


def ref_of(share: WindowShare | None) -> ShareRef | None:
    return None if share is None else ShareRef(share.log_id, share.sequence, share.time_ms)


def add(connection: Connection, event: IncomeEvent) -> None:
    """The event's row; before its block turns immature."""
    factor = event.terms.factor
    row: dict[str, Any] = {
        "block_id": event.block_id,
        "event_index": event.index,
        "reward": event.reward,
        "fee": event.fee,
        "operator_amount": event.operator,
        "unexplained": event.unexplained,
        "scheme": event.scheme,
        "fee_ppm": event.terms.fee_ppm,
        "factor": None if factor is None else str(factor),
        "window_min_ms": event.terms.window_min_ms,
        "total_weight": str(event.total_weight),
        "share_count": event.share_count,
    }
    for end, ref in (("oldest", event.oldest), ("newest", event.newest)):
        values = (None, None, None) if ref is None else ref
        row |= dict(zip((f"{end}_log_id", f"{end}_sequence", f"{end}_ms"), values, strict=True))
    connection.execute(insert(income_events), [row])


def of_block(connection: Connection, block_id: int) -> list[IncomeEvent]:
    """A block's events by index; none before its first credit.

    A block that a version without income events credited has one whose terms are unknown.
    """
    query = select(income_events).where(income_events.c.block_id == block_id).order_by(income_events.c.event_index)
    events = [_event(row) for row in connection.execute(query)]
    return events or _untold(connection, block_id)


def add_credits(
    connection: Connection, block_id: int, index: int, amounts: Mapping[int, int], weights: Mapping[int, int]
) -> None:
    """What each account earns from an event, with the weight it was earned by."""
    rows = [
        {
            "block_id": block_id,
            "event_index": index,
            "account_id": account_id,
            "weight": str(weights[account_id]),
            "amount": amount,
        }
        for account_id, amount in sorted(amounts.items())
    ]
    if rows:
        connection.execute(insert(credits), rows)


def credited_amounts(connection: Connection, block_id: int, index: int) -> dict[int, int]:
    """Account id to amount of one event, as credited."""
    query = select(credits.c.account_id, credits.c.amount).where(credits.c.block_id == block_id)
    rows = connection.execute(query.where(credits.c.event_index == index))
    return {row.account_id: row.amount for row in rows}


def _untold(connection: Connection, block_id: int) -> list[IncomeEvent]:
    block = connection.execute(select(blocks.c.reward, blocks.c.fee).where(blocks.c.id == block_id)).one()
    if block.reward is None or block.fee is None:
        return []
    weights = select(credits.c.weight).where(credits.c.block_id == block_id)
    total_weight = sum(int(weight) for weight in connection.execute(weights).scalars())
    amounts = select(func.coalesce(func.sum(credits.c.amount), 0)).where(credits.c.block_id == block_id)
    unexplained = block.reward - block.fee - int(connection.execute(amounts).scalar_one())
    return [IncomeEvent(block_id, 0, block.reward, block.fee, 0, unexplained, "pplns", Terms(), total_weight)]


def _event(row: Row[Any]) -> IncomeEvent:
    return IncomeEvent(
        block_id=row.block_id,
        index=row.event_index,
        reward=row.reward,
        fee=row.fee,
        operator=row.operator_amount,
        unexplained=row.unexplained,
        scheme=cast(Scheme, row.scheme),
        terms=Terms(row.fee_ppm, None if row.factor is None else Fraction(row.factor), row.window_min_ms),
        total_weight=int(row.total_weight),
        share_count=row.share_count,
        oldest=_ref(row.oldest_log_id, row.oldest_sequence, row.oldest_ms),
        newest=_ref(row.newest_log_id, row.newest_sequence, row.newest_ms),
    )


def _ref(log_id: int | None, sequence: int | None, time_ms: int | None) -> ShareRef | None:
    return None if log_id is None or sequence is None or time_ms is None else ShareRef(log_id, sequence, time_ms)
