"""What keeps a chain from paying, and whom a chain cannot pay: holds and the quarantine of bad addresses.

Everything takes an open connection and leaves the commit to its caller, so that a hold is in force with its commit.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, update

from pool.ledger.transfer import LedgerError
from pool.payouts.standing import Hold
from pool.storage.database import add_missing
from pool.storage.payout_tables import chain_holds, payout_quarantine
from pool.storage.tables import accounts

REASON_LIMIT = 500
"""Reasons may hold a node's words; longer ones are cut."""


class NothingHeldError(LedgerError):
    """What is to be let go was never held: one sentence."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An account's address that cannot be paid to."""

    account_id: int
    address: str
    reason: str
    since_ms: int


def place(connection: Connection, chain: str, cause: str, reason: str, now_ms: int) -> bool:
    """Puts a chain on hold. False when this cause holds it already; the first reason stays."""
    row = {"chain": chain, "cause": cause, "reason": reason[:REASON_LIMIT], "placed_ms": now_ms}
    return bool(add_missing(connection, chain_holds, [row]))


def release(connection: Connection, chain: str, cause: str | None, reason: str, now_ms: int) -> int:
    """Ends a hold, or all of a chain's when no cause is named. Returns how many ended."""
    changed = update(chain_holds).where(chain_holds.c.chain == chain, chain_holds.c.released_ms.is_(None))
    if cause is not None:
        changed = changed.where(chain_holds.c.cause == cause)
    return connection.execute(changed.values(released_ms=now_ms, released_reason=reason[:REASON_LIMIT])).rowcount


def release_named(connection: Connection, chain: str, cause: str | None, reason: str, now_ms: int) -> int:
    """The same for a cause that somebody typed. Raises NothingHeldError for one that never held the chain."""
    if cause is not None:
        named = select(chain_holds.c.id).where(chain_holds.c.chain == chain, chain_holds.c.cause == cause).limit(1)
        if connection.execute(named).first() is None:
            raise NothingHeldError(f"{chain} was never on hold with the cause {cause!a}")
    return release(connection, chain, cause, reason, now_ms)


def in_force(connection: Connection, chain: str | None = None) -> list[Hold]:
    """The holds of one chain or of all, the oldest first."""
    query = select(chain_holds).where(chain_holds.c.released_ms.is_(None)).order_by(chain_holds.c.id)
    if chain is not None:
        query = query.where(chain_holds.c.chain == chain)
    return [Hold(row.chain, row.cause, row.reason, row.placed_ms) for row in connection.execute(query)]


def quarantine(connection: Connection, account_id: int, address: str, reason: str, now_ms: int) -> bool:
    """Remembers an address that cannot be paid to. False when it was known."""
    row = {"account_id": account_id, "address": address, "reason": reason[:REASON_LIMIT], "since_ms": now_ms}
    return bool(add_missing(connection, payout_quarantine, [row]))


def end_quarantine(connection: Connection, chain: str, account_id: int) -> int:
    """Lets an account's addresses be tried again. Returns how many there were. Raises NothingHeldError for an account
    that the chain does not have."""
    its_chain = connection.execute(select(accounts.c.chain).where(accounts.c.id == account_id)).scalar_one_or_none()
    if its_chain is None:
        raise NothingHeldError(f"there is no account {account_id}")
    if its_chain != chain:
        raise NothingHeldError(f"account {account_id} is one of {its_chain}, not of {chain}")
    return connection.execute(delete(payout_quarantine).where(payout_quarantine.c.account_id == account_id)).rowcount


def quarantined(connection: Connection, chain: str) -> list[Quarantined]:
    """A chain's addresses that cannot be paid to."""
    column = payout_quarantine.c
    query = select(payout_quarantine).join(accounts, accounts.c.id == column.account_id)
    rows = connection.execute(query.where(accounts.c.chain == chain).order_by(column.account_id, column.address))
    return [Quarantined(row.account_id, row.address, row.reason, row.since_ms) for row in rows]
