"""The hash chain of the ledger in SQL (pool/ledger/link.py): every posted group is linked to the one before it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select

from pool.ledger.link import FIRST, link_hash
from pool.ledger.transfer import Transfer, TransferGroup
from pool.storage.tables import ledger_links, transfer_groups, transfers


class Link(NamedTuple):
    """One link of a chain's groups; numbers run from 1."""

    number: int
    group_id: str
    hash: bytes


def link(connection: Connection, group: TransferGroup, created_ms: int) -> None:
    """Links a group that has just been written."""
    last = _last(connection, group.chain)
    number, previous = (last.number, last.hash) if last else (0, FIRST)
    row = {
        "chain": group.chain,
        "number": number + 1,
        "group_id": group.id,
        "hash": link_hash(previous, group, created_ms),
    }
    connection.execute(insert(ledger_links), [row])


def link_first(connection: Connection) -> int:
    """Links the groups that a version without links wrote, oldest first, and returns how many. Only while nothing is
    linked at all, right after the migration: from then on a group without a link is one that was slipped in.
    """
    if connection.execute(select(ledger_links.c.number).limit(1)).first() is not None:
        return 0
    query = select(transfer_groups).order_by(transfer_groups.c.created_ms, transfer_groups.c.id)
    groups = connection.execute(query).all()
    for row in groups:
        link(connection, _group(connection, row), row.created_ms)
    return len(groups)


def all_links(connection: Connection, chain: str) -> Iterator[Link]:
    """A chain's links in their order."""
    query = select(ledger_links.c.number, ledger_links.c.group_id, ledger_links.c.hash)
    for row in connection.execute(query.where(ledger_links.c.chain == chain).order_by(ledger_links.c.number)):
        yield Link(*row)


def broken_link(connection: Connection, chain: str) -> str | None:
    """Where the chain of hashes does not hold, in words; None when it holds from the first group to the last."""
    previous, expected = FIRST, 1
    for number, group_id, stored in all_links(connection, chain):
        if number != expected:
            return f"link {expected} is missing"
        row = connection.execute(select(transfer_groups).where(transfer_groups.c.id == group_id)).one()
        if link_hash(previous, _group(connection, row), row.created_ms) != stored:
            return f"link {number}: {group_id} is not as it was written, or not where it was"
        previous, expected = stored, expected + 1
    linked = select(ledger_links.c.group_id).where(ledger_links.c.group_id == transfer_groups.c.id)
    query = select(transfer_groups.c.id).where(transfer_groups.c.chain == chain, ~linked.exists())
    slipped_in = connection.execute(query.order_by(transfer_groups.c.id).limit(1)).scalar_one_or_none()
    return None if slipped_in is None else f"{slipped_in} is not linked to the groups before it"


def _last(connection: Connection, chain: str) -> Any:
    query = select(ledger_links.c.number, ledger_links.c.hash).where(ledger_links.c.chain == chain)
    return connection.execute(query.order_by(ledger_links.c.number.desc()).limit(1)).one_or_none()


def _group(connection: Connection, row: Any) -> TransferGroup:
    query = select(transfers.c.debit, transfers.c.credit, transfers.c.amount)
    items = connection.execute(query.where(transfers.c.group_id == row.id).order_by(transfers.c.id))
    return TransferGroup(row.id, row.chain, row.kind, tuple(Transfer(*item) for item in items))
