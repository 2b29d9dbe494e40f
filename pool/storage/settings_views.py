"""Miners' settings as they are read: by the HTTP API, which shows part of it to anybody, and by the operator."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, or_, select

from pool.miners.notice_target import without_targets
from pool.miners.settings_message import Destination
from pool.storage.account_store import available_balance
from pool.storage.notice_store import notice_of
from pool.storage.settings_store import last_number
from pool.storage.settings_tables import account_settings, frozen_scripts, settings_messages
from pool.storage.tables import accounts, route_accounts, routes

MESSAGES_LIMIT = 50
NAMED_LIMIT = 100


class AccountSeen(NamedTuple):
    """An account of a script; `available` in smallest units."""

    id: int
    chain: str
    held: bool
    available: int


def miner_settings(connection: Connection, miner: Destination, parent: str) -> dict[str, Any]:
    """What is set for a parent address: the number its next message may have, whether and why it is frozen, and per
    chain its minimum (smallest units) and registered address, None where the pool's or the account's own holds; its
    offline notice in words, without the place, None without one.
    """
    script_hex = miner.script.hex()
    column = account_settings.c
    own = or_(column.kind == "held", and_(column.kind == "miner", column.chain == parent))
    query = select(account_settings).where(column.script_hex == script_hex, own).order_by(column.chain)
    reason = select(frozen_scripts.c.reason).where(frozen_scripts.c.script_hex == script_hex)
    notice = notice_of(connection, script_hex)
    return {
        "address": miner.address,
        "offline_notice": None if notice is None else str(notice),
        "next_number": last_number(connection, script_hex) + 1,
        "frozen": connection.execute(reason).scalar_one_or_none(),
        "chains": {
            row.chain: {"minimum_payout": row.minimum_payout, "registered": row.payout_address}
            for row in connection.execute(query)
            if row.minimum_payout is not None or row.payout_address is not None
        },
    }


def messages_of(connection: Connection, miner: Destination) -> list[dict[str, Any]]:
    """The newest MESSAGES_LIMIT of what the miner signed and the operator did, newest first; word for word, but for
    the place of an offline notice.
    """
    column = settings_messages.c
    query = select(column.source, column.number, column.message, column.signature, column.received_ms)
    query = query.where(column.script_hex == miner.script.hex()).order_by(column.id.desc()).limit(MESSAGES_LIMIT)
    rows = [dict(row._mapping) for row in connection.execute(query)]
    return [row | {"message": without_targets(row["message"])} if row["source"] == "miner" else row for row in rows]


def accounts_of(connection: Connection, miner: Destination) -> list[AccountSeen]:
    """Every account of the address's script, on whatever chain."""
    query = select(accounts.c.id, accounts.c.chain, accounts.c.kind)
    rows = connection.execute(query.where(accounts.c.script_hex == miner.script.hex()).order_by(accounts.c.id)).all()
    return [
        AccountSeen(row.id, row.chain, row.kind == "held", available_balance(connection, row.chain, row.id))
        for row in rows
    ]


def named_addresses(connection: Connection, miner: Destination) -> list[tuple[str, str]]:
    """(chain, address) of the first NAMED_LIMIT accounts that logins of a parent address named beside it. For the
    operator alone: anybody may have named them, and no public answer tells.
    """
    query = (
        select(accounts.c.chain, accounts.c.address)
        .join(route_accounts, route_accounts.c.account_id == accounts.c.id)
        .join(routes, routes.c.id == route_accounts.c.route_id)
        .where(routes.c.login_parent == miner.address, accounts.c.script_hex != miner.script.hex())
        .distinct()
        .order_by(accounts.c.chain, accounts.c.address)
        .limit(NAMED_LIMIT)
    )
    return [(row.chain, row.address) for row in connection.execute(query)]
