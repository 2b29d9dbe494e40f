"""Miners' settings as they are read: by the HTTP API, which shows part of it to anybody, and by the operator."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, and_, or_, select

from pool.miners.settings_message import Destination
from pool.storage.settings_store import last_number
from pool.storage.settings_tables import account_settings, frozen_scripts, settings_messages

MESSAGES_LIMIT = 50


def miner_settings(connection: Connection, miner: Destination, parent: str) -> dict[str, Any]:
    """What is set for a parent address: the number its next message may have, whether and why it is frozen, and per
    chain its minimum (smallest units) and registered address, None where the pool's or the account's own holds.
    """
    script_hex = miner.script.hex()
    column = account_settings.c
    own = or_(column.kind == "held", and_(column.kind == "miner", column.chain == parent))
    query = select(account_settings).where(column.script_hex == script_hex, own).order_by(column.chain)
    reason = select(frozen_scripts.c.reason).where(frozen_scripts.c.script_hex == script_hex)
    return {
        "address": miner.address,
        "next_number": last_number(connection, script_hex) + 1,
        "frozen": connection.execute(reason).scalar_one_or_none(),
        "chains": {
            row.chain: {"minimum_payout": row.minimum_payout, "registered": row.payout_address}
            for row in connection.execute(query)
            if row.minimum_payout is not None or row.payout_address is not None
        },
    }


def messages_of(connection: Connection, miner: Destination) -> list[dict[str, Any]]:
    """The newest MESSAGES_LIMIT of what the miner signed and the operator did, newest first, word for word."""
    column = settings_messages.c
    query = select(column.source, column.number, column.message, column.signature, column.received_ms)
    query = query.where(column.script_hex == miner.script.hex()).order_by(column.id.desc()).limit(MESSAGES_LIMIT)
    return [dict(row._mapping) for row in connection.execute(query)]
