"""The books as an audit reads them: everything in one snapshot, nothing written, only SQL that every database knows.

What the bookkeeping wrote is read here so that it can be held against itself: blocks, credits, transfers, balances.
The shares of a block's window are in audit_window.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, func, inspect, make_url, or_, select
from sqlalchemy.exc import SQLAlchemyError

from pool.shares.scheme import Scheme
from pool.storage.database import Database
from pool.storage.tables import (
    accounts,
    balances,
    blocks,
    credits,
    share_logs,
    transfer_groups,
    transfers,
)

FETCH_ROWS = 2000
PAID = ("immature", "mature")


class NoBooksError(Exception):
    """There are no books to read. The text is for people and holds no password."""


class StoredTransfer(NamedTuple):
    """A transfer with the group it names; `group_chain` is None when there is no such group."""

    id: int
    group_id: str
    chain: str
    debit: str
    credit: str
    amount: int
    group_chain: str | None


class StoredGroup(NamedTuple):
    id: str
    chain: str
    kind: str


class StoredCredit(NamedTuple):
    """What an account earned from an income event of a block. `weight` as stored, a decimal of expected hashes; `held`
    for a parent.
    """

    account_id: int
    chain: str
    address: str
    held: bool
    weight: str
    amount: int
    event_index: int = 0


class AccountMove(NamedTuple):
    """What one group changed in one ledger account; `amount` is positive when it grew as a liability grows."""

    kind: str
    created_ms: int
    account: str
    amount: int


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """A block with the share log that found it. Amounts in smallest units, None before the first credit; hashes and
    target displayed hex."""

    id: int
    chain: str
    hash_hex: str
    height: int
    state: str
    reward: int | None
    fee: int | None
    log_id: int
    log_name: str
    pool: str
    share_sequence: int
    target_hex: str
    found_ms: int
    orphaned_times: int
    scheme: Scheme | None
    lost_times: int
    vote_hash_hex: str | None = None
    container_hash_hex: str | None = None
    event_index: int = 0

    @property
    def solve_hex(self) -> str:
        """The hash that its share solved."""
        return self.vote_hash_hex or self.hash_hex


@contextmanager
def snapshot(url: str) -> Iterator[Connection]:
    """One consistent view of the books for as long as the block lasts; writers do not wait for it, nor it for them.

    Raises NoBooksError when there are none, or none that this version can read.
    """
    try:
        place = make_url(url)
        if place.get_backend_name() == "sqlite" and not (place.database and Path(place.database).is_file()):
            raise NoBooksError(f"there are no books yet: {place.database}")
        database = Database(url, read_only=True)
        try:
            with database.engine.connect() as connection:
                if connection.dialect.name == "postgresql":
                    # Every statement of the transaction sees what the first one saw.
                    connection.execution_options(isolation_level="REPEATABLE READ")
                if not inspect(connection).has_table(blocks.name):
                    raise NoBooksError("there are no books in this database yet")
                yield connection
        finally:
            database.close()
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise NoBooksError(f"the books cannot be read: {reason}") from error


def transfer_count(connection: Connection) -> int:
    return int(connection.execute(select(func.count()).select_from(transfers)).scalar_one())


def all_transfers(connection: Connection) -> Iterator[StoredTransfer]:
    """Every transfer in the order it was written."""
    query = select(
        transfers.c.id,
        transfers.c.group_id,
        transfers.c.chain,
        transfers.c.debit,
        transfers.c.credit,
        transfers.c.amount,
        transfer_groups.c.chain.label("group_chain"),
    ).join_from(transfers, transfer_groups, transfer_groups.c.id == transfers.c.group_id, isouter=True)
    return (StoredTransfer(*row) for row in _stream(connection, query.order_by(transfers.c.id)))


def all_groups(connection: Connection) -> Iterator[StoredGroup]:
    query = select(transfer_groups.c.id, transfer_groups.c.chain, transfer_groups.c.kind)
    return (StoredGroup(*row) for row in _stream(connection, query.order_by(transfer_groups.c.id)))


def all_balances(connection: Connection) -> dict[str, dict[str, int]]:
    """Stored balances by chain and account."""
    found: dict[str, dict[str, int]] = {}
    for row in connection.execute(select(balances.c.chain, balances.c.account, balances.c.amount)):
        found.setdefault(row.chain, {})[row.account] = row.amount
    return found


def balances_of(connection: Connection, chain: str, names: Sequence[str]) -> dict[str, int]:
    """Stored balances of these accounts; those without a row are left out."""
    query = select(balances.c.account, balances.c.amount).where(balances.c.chain == chain)
    return {row.account: row.amount for row in connection.execute(query.where(balances.c.account.in_(names)))}


def account_chains(connection: Connection) -> dict[int, str]:
    """Account id to its chain."""
    return {row.id: row.chain for row in _stream(connection, select(accounts.c.id, accounts.c.chain))}


def all_blocks(connection: Connection) -> list[StoredBlock]:
    """Every found block, oldest first."""
    return [_block(row) for row in connection.execute(_blocks().order_by(blocks.c.id))]


def find_block(connection: Connection, chain: str, hash_hex: str) -> StoredBlock | None:
    query = _blocks().where(blocks.c.chain == chain, blocks.c.hash_hex == hash_hex)
    row = connection.execute(query).one_or_none()
    return None if row is None else _block(row)


def doubly_paid_heights(connection: Connection) -> list[tuple[str, int, int]]:
    """(chain, height, number) where more is paid for than one block of ours, or than one vote at each index of one."""
    number = func.count()
    block = func.coalesce(blocks.c.container_hash_hex, blocks.c.hash_hex)
    query = select(blocks.c.chain, blocks.c.height, number).where(blocks.c.state.in_(PAID))
    query = query.group_by(blocks.c.chain, blocks.c.height)
    query = query.having(or_(func.count(block.distinct()) > 1, number > func.count(blocks.c.event_index.distinct())))
    return [(row[0], row[1], row[2]) for row in connection.execute(query.order_by(blocks.c.chain, blocks.c.height))]


def doubly_paid_votes(connection: Connection) -> list[tuple[str, str, int]]:
    """(chain, vote, number) where a vote is paid for in more than one place."""
    number = func.count()
    query = select(blocks.c.chain, blocks.c.vote_hash_hex, number).where(blocks.c.state.in_(PAID))
    query = query.where(blocks.c.vote_hash_hex.is_not(None)).group_by(blocks.c.chain, blocks.c.vote_hash_hex)
    rows = connection.execute(query.having(number > 1).order_by(blocks.c.chain, blocks.c.vote_hash_hex))
    return [(row[0], row[1], row[2]) for row in rows]


def credits_of(connection: Connection, block_id: int) -> list[StoredCredit]:
    """A block's credits, older accounts first."""
    query = (
        select(
            credits.c.account_id,
            accounts.c.chain,
            accounts.c.address,
            accounts.c.kind,
            credits.c.weight,
            credits.c.amount,
            credits.c.event_index,
        )
        .join(accounts, accounts.c.id == credits.c.account_id)
        .where(credits.c.block_id == block_id)
        .order_by(credits.c.event_index, credits.c.account_id)
    )
    return [
        StoredCredit(
            row.account_id, row.chain, row.address, row.kind == "held", row.weight, row.amount, row.event_index
        )
        for row in connection.execute(query)
    ]


def accounts_at(connection: Connection, address: str) -> list[tuple[int, str, bool]]:
    """(id, chain, held) of every account that shows this address."""
    query = select(accounts.c.id, accounts.c.chain, accounts.c.kind).where(accounts.c.address == address)
    rows = connection.execute(query.order_by(accounts.c.chain, accounts.c.kind.desc(), accounts.c.id))
    return [(row.id, row.chain, row.kind == "held") for row in rows]


def credits_to(connection: Connection, account_id: int) -> list[tuple[StoredBlock, str, int]]:
    """(block, weight, amount) of everything an account earned, oldest block first."""
    query = _blocks().add_columns(credits.c.weight, credits.c.amount)
    query = query.join(credits, credits.c.block_id == blocks.c.id).where(credits.c.account_id == account_id)
    rows = connection.execute(query.order_by(blocks.c.id))
    return [(_block(row), row.weight, row.amount) for row in rows]


def moves_of(connection: Connection, chain: str, names: Sequence[str]) -> list[AccountMove]:
    """Every movement of these liability accounts, in the order written."""
    query = select(
        transfer_groups.c.kind,
        transfer_groups.c.created_ms,
        transfers.c.debit,
        transfers.c.credit,
        transfers.c.amount,
    ).join(transfer_groups, transfer_groups.c.id == transfers.c.group_id)
    query = query.where(transfers.c.chain == chain, or_(transfers.c.debit.in_(names), transfers.c.credit.in_(names)))
    moves = []
    for row in connection.execute(query.order_by(transfers.c.id)):
        if row.credit in names:
            moves.append(AccountMove(row.kind, row.created_ms, row.credit, row.amount))
        if row.debit in names:
            moves.append(AccountMove(row.kind, row.created_ms, row.debit, -row.amount))
    return moves


def _stream(connection: Connection, query: Any) -> Any:
    return connection.execute(query.execution_options(yield_per=FETCH_ROWS))


def _blocks() -> Any:
    log = (share_logs.c.name.label("log_name"), share_logs.c.pool)
    return select(blocks, *log).join(share_logs, share_logs.c.id == blocks.c.log_id)


def _block(row: Row[Any]) -> StoredBlock:
    return StoredBlock(
        id=row.id,
        chain=row.chain,
        hash_hex=row.hash_hex,
        height=row.height,
        state=row.state,
        reward=row.reward,
        fee=row.fee,
        log_id=row.log_id,
        log_name=row.log_name,
        pool=row.pool or row.log_name,
        share_sequence=row.share_sequence,
        target_hex=row.target_hex,
        found_ms=row.found_ms,
        orphaned_times=row.orphaned_times,
        scheme=row.scheme,
        lost_times=row.lost_times,
        vote_hash_hex=row.vote_hash_hex,
        container_hash_hex=row.container_hash_hex,
        event_index=row.event_index,
    )
