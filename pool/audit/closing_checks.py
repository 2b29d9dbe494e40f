"""The audit of the closings: each one's bytes, the chain of their hashes, and that the books still say so.

Roots are computed again from the shares that are still stored; of a stretch that has lost some to retention they cannot
be, which is no fault.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, select

from pool.accounting.closing import (
    FIRST_PREVIOUS,
    ClosedChain,
    ClosedGroup,
    ClosedLog,
    Closing,
    closing_hash,
    read_closing,
)
from pool.audit.finding import Finding
from pool.ledger.link import FIRST as FIRST_LINK
from pool.ledger.link import link_hash
from pool.ledger.transfer import Transfer, TransferGroup
from pool.progress import Tell, silent
from pool.storage import closing_store
from pool.storage.closing_store import StoredClosing
from pool.storage.tables import ledger_links, share_logs

FETCH = 16


def check_closings(connection: Connection, tell: Tell = silent) -> tuple[list[Finding], int]:
    """What is wrong with them, and how many there are."""
    findings: list[Finding] = []
    logs = {row.name: row.id for row in connection.execute(select(share_logs.c.name, share_logs.c.id))}
    number, previous = 0, FIRST_PREVIOUS
    sequences: dict[str, int] = {}
    links: dict[str, tuple[int, bytes]] = {}
    for stored in _all(connection):
        tell("closings", stored.number, None)
        subject = f"closing {stored.number}"
        try:
            closing = read_closing(stored.data)
        except ValueError as error:
            findings.append(Finding("closings", subject, f"cannot be read: {error}"))
            return findings, number
        told = (stored.number, stored.closed_ms, stored.hash)
        if told != (closing.number, closing.closed_ms, closing_hash(stored.data)):
            findings.append(Finding("closings", subject, "its row says something else than its bytes"))
        if closing.number != number + 1 or closing.previous_hash != previous:
            findings.append(Finding("closings", subject, f"does not follow on closing {number}"))
        texts = [*_log_faults(connection, closing, logs, sequences), *_chain_faults(connection, closing, links)]
        findings += [Finding("closings", subject, text) for text in texts]
        number, previous = closing.number, closing_hash(stored.data)
    return findings, number


def _all(connection: Connection) -> Iterator[StoredClosing]:
    number = 0
    while found := closing_store.after(connection, number, FETCH):
        yield from found
        number = found[-1].number


def _log_faults(
    connection: Connection, closing: Closing, logs: dict[str, int], sequences: dict[str, int]
) -> Iterator[str]:
    for closed in closing.logs:
        if closed.after_sequence != sequences.get(closed.name, 0):
            yield f"log {closed.name} does not begin where it ended before"
        sequences[closed.name] = closed.through_sequence
        if closed.name not in logs:
            yield f"log {closed.name} is not in the books"
            continue
        stored = _sealed_again(connection, logs[closed.name], closed)
        if stored.shares > closed.shares:
            yield f"log {closed.name} has {stored.shares - closed.shares} shares more than were sealed"
        elif stored.shares == closed.shares and stored.root != closed.root:
            yield f"log {closed.name} has other shares than were sealed"


def _sealed_again(connection: Connection, log_id: int, closed: ClosedLog) -> ClosedLog:
    ends = closed.after_sequence, closed.through_sequence
    return closing_store.seal_log(connection, log_id, closed.name, *ends, most_shares=closed.shares + 1)


def _chain_faults(
    connection: Connection, closing: Closing, links: dict[str, tuple[int, bytes]]
) -> Iterator[str]:
    for closed in closing.chains:
        if (closed.links_before, closed.link_before) != links.get(closed.name, (0, FIRST_LINK)):
            yield f"{closed.name} does not begin where it ended before"
        link = closed.link_before
        for group in closed.groups:
            link = link_hash(link, _group(closed, group), group.created_ms)
        number = closed.links_before + len(closed.groups)
        links[closed.name] = (number, link)
        query = select(ledger_links.c.hash).where(ledger_links.c.chain == closed.name, ledger_links.c.number == number)
        if connection.execute(query).scalar_one_or_none() != link:
            yield f"{closed.name}: the ledger is another one up to link {number}"


def _group(closed: ClosedChain, group: ClosedGroup) -> TransferGroup:
    return TransferGroup(group.id, closed.name, group.kind, tuple(Transfer(*item) for item in group.transfers))
