"""Closings in SQL: one is made of what the books got since the last one, and kept for ever.

A closing is one transaction, and holds no more than so many shares and transfers: the rest is the next one's. It seals
what nothing comes into any more: the shares up to a log's watermark, and groups, which are only ever appended.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, insert, select

from pool.accounting.closing import (
    FIRST_PREVIOUS,
    RUN_SHARES,
    ClosedAmount,
    ClosedChain,
    ClosedCredit,
    ClosedGroup,
    ClosedLog,
    ClosedPayout,
    ClosedTransfer,
    Closing,
    closing_bytes,
    closing_hash,
    run_hash,
    share_root,
)
from pool.ledger.income import event_of
from pool.ledger.link import FIRST as FIRST_LINK
from pool.storage import income_store
from pool.storage.closing_tables import closed_ends, closings
from pool.storage.database import Database, add_missing
from pool.storage.payout_tables import payouts
from pool.storage.tables import accounts, blocks, credits, ledger_links, share_logs, shares, transfer_groups, transfers

MOST_SHARES = 65_536
"""Of one log in one closing: a tenth of a second of the books' one thread."""

MOST_TRANSFERS = 10_000
"""In one closing; a group is never divided, so one of more transfers is a closing's only one."""

IN_ROWS = 500


class StoredClosing(NamedTuple):
    """A closing as it is kept: `data` are its canonical bytes."""

    number: int
    closed_ms: int
    hash: bytes
    data: bytes

    def for_people(self) -> dict[str, int | str]:
        """As JSON has it; bytes are hex in natural order."""
        return {
            "number": self.number, "closed_ms": self.closed_ms, "hash": self.hash.hex(), "bytes": self.data.hex()
        }  # fmt: skip


class Closings:
    """Makes them. `step` is called again and again by whoever keeps the books."""

    def __init__(
        self, database: Database, most_shares: int = MOST_SHARES, most_transfers: int = MOST_TRANSFERS
    ) -> None:
        self._database = database
        self._most_shares = most_shares
        self._most_transfers = most_transfers

    def step(self, now_ms: int) -> bool:
        """Closes what there is, as far as one closing goes. Whether there is more; nothing new makes no closing."""
        with self._database.write() as connection:
            logs = [log for log in self._logs(connection) if log.through_sequence > log.after_sequence]
            chains, more = self._chains(connection)
            if not logs and not chains:
                return False
            number, previous = last(connection)
            closing = Closing(number + 1, previous, now_ms, tuple(logs), tuple(chains))
            data = closing_bytes(closing)
            row = {"number": number + 1, "closed_ms": now_ms, "hash": closing_hash(data), "body": zlib.compress(data)}
            connection.execute(insert(closings), [row])
            for log in logs:
                _move_end(connection, "log", log.name, log.through_sequence)
            for chain in chains:
                _move_end(connection, "chain", chain.name, chain.links_before + len(chain.groups))
        return more or any(log.shares == self._most_shares for log in logs)

    def _logs(self, connection: Connection) -> Iterator[ClosedLog]:
        ends = _ends(connection, "log")
        query = select(share_logs.c.id, share_logs.c.name, share_logs.c.drained_sequence).order_by(share_logs.c.name)
        for row in connection.execute(query).all():
            after = ends.get(row.name, 0)
            if row.drained_sequence > after:
                yield seal_log(connection, row.id, row.name, after, row.drained_sequence, self._most_shares)

    def _chains(self, connection: Connection) -> tuple[list[ClosedChain], bool]:
        """The chains with something new, and whether some of it was left."""
        ends = _ends(connection, "chain")
        found: list[ClosedChain] = []
        left = self._most_transfers
        names = select(ledger_links.c.chain).distinct().order_by(ledger_links.c.chain)
        for name in connection.execute(names).scalars():
            before = ends.get(name, 0)
            groups, whole = _groups(connection, name, before, left)
            left -= sum(len(group.transfers) for group in groups)
            if groups:
                found.append(_chain(connection, name, before, groups))
            if not whole:
                return found, True
        return found, False


def seal_log(
    connection: Connection, log_id: int, name: str, after: int, through: int, most_shares: int = MOST_SHARES
) -> ClosedLog:
    """The stored shares of a log with after < sequence <= through; with more than `most_shares` only the first ones,
    and `through_sequence` is the last of them."""
    row = shares.c
    query = select(row.sequence, row.weight, row.header_hash).where(row.log_id == log_id)
    query = query.where(row.sequence > after, row.sequence <= through).order_by(row.sequence).limit(most_shares)
    leaves, count, last_sequence = [], 0, through
    for run in connection.execute(query).partitions(RUN_SHARES):
        sequences, weights, hashes = zip(*run, strict=True)
        leaves.append(run_hash(sequences, weights, hashes))
        count += len(run)
        last_sequence = sequences[-1]
    return ClosedLog(name, after, last_sequence if count == most_shares else through, count, share_root(leaves))


def last(connection: Connection) -> tuple[int, bytes]:
    """Number and hash of the newest closing; those before the first one when there is none."""
    query = select(closings.c.number, closings.c.hash).order_by(closings.c.number.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return (0, FIRST_PREVIOUS) if row is None else (row.number, row.hash)


def after(connection: Connection, number: int, limit: int) -> list[StoredClosing]:
    """The closings behind a number, oldest first."""
    query = select(closings).where(closings.c.number > number).order_by(closings.c.number).limit(limit)
    rows = connection.execute(query)
    return [StoredClosing(row.number, row.closed_ms, row.hash, zlib.decompress(row.body)) for row in rows]


def _ends(connection: Connection, kind: str) -> dict[str, int]:
    query = select(closed_ends.c.name, closed_ends.c.number).where(closed_ends.c.kind == kind)
    return {row.name: row.number for row in connection.execute(query)}


def _move_end(connection: Connection, kind: str, name: str, number: int) -> None:
    key = {"kind": kind, "name": name}
    if not add_missing(connection, closed_ends, [key | {"number": number}]):
        row = closed_ends.c
        connection.execute(closed_ends.update().where(row.kind == kind, row.name == name).values(number=number))


def _groups(connection: Connection, chain: str, before: int, most: int) -> tuple[list[ClosedGroup], bool]:
    """The groups behind link `before`, in their order, as long as they have at most so many transfers in all, but
    one at least; and whether those are all."""
    links = ledger_links.c
    query = select(transfer_groups).join(ledger_links, links.group_id == transfer_groups.c.id)
    query = query.where(links.chain == chain, links.number > before).order_by(links.number).limit(IN_ROWS)
    rows = connection.execute(query).all()
    moved = select(transfers.c.group_id, transfers.c.debit, transfers.c.credit, transfers.c.amount)
    found: list[ClosedGroup] = []
    for row in rows:
        items = connection.execute(moved.where(transfers.c.group_id == row.id).order_by(transfers.c.id)).all()
        most -= len(items)
        if most < 0 and found:
            return found, False
        held = tuple(ClosedTransfer(item.debit, item.credit, item.amount) for item in items)
        found.append(ClosedGroup(row.id, row.kind, row.created_ms, held))
    return found, len(rows) < IN_ROWS


def _chain(connection: Connection, name: str, before: int, groups: Sequence[ClosedGroup]) -> ClosedChain:
    query = select(ledger_links.c.hash).where(ledger_links.c.chain == name, ledger_links.c.number == before)
    link = connection.execute(query).scalar_one() if before else FIRST_LINK
    credited = tuple(_credit(connection, name, group.id) for group in groups if group.kind == "credit")
    paid = tuple(_payout(connection, name, group.id) for group in groups if group.kind == "settle")
    return ClosedChain(name, before, link, tuple(groups), credited, paid)


def _credit(connection: Connection, chain: str, group_id: str) -> ClosedCredit:
    hash_hex, index = event_of(group_id.removeprefix(f"credit:{chain}:"))
    query = select(blocks.c.id).where(blocks.c.chain == chain, blocks.c.hash_hex == hash_hex)
    block_id = connection.execute(query).scalar_one()
    event = next(event for event in income_store.of_block(connection, block_id) if event.index == index)
    row = credits.c
    columns = (row.account_id, accounts.c.kind, accounts.c.script_hex, row.weight, row.amount)
    earned = select(*columns).join(accounts, accounts.c.id == row.account_id)
    earned = earned.where(row.block_id == block_id, row.event_index == index).order_by(row.account_id)
    amounts = tuple(ClosedAmount(*item) for item in connection.execute(earned))
    return ClosedCredit(group_id, event.scheme, event.reward, event.fee, amounts)


def _payout(connection: Connection, chain: str, group_id: str) -> ClosedPayout:
    row = payouts.c
    query = select(row.account_id, row.script_hex, row.txid, row.vout, row.net, row.fee_part)
    found = connection.execute(query.where(row.id == group_id.removeprefix(f"settle:{chain}:"))).one()
    return ClosedPayout(group_id, *found)
