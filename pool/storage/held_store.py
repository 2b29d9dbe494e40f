"""Held credits in SQL: who may have them, and the transfer that hands them over.

Two ways lead out of a held account: once, to an address that the miner signed for or the operator named; and from a
registration on, whenever something held has become final. A frozen miner's stay where they are.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

from sqlalchemy import Connection, Text, and_, cast, func, literal, select

from pool.ledger.account import available
from pool.ledger.release import release
from pool.miners.settings_message import Destination
from pool.shares.record import AccountKey
from pool.storage import ledger_store
from pool.storage.account_store import account_id, available_balance, find_account
from pool.storage.settings_tables import account_settings, frozen_scripts
from pool.storage.tables import accounts, balances, transfer_groups, transfers

log = logging.getLogger("parapool.books")


class Released(NamedTuple):
    """What a release moved: smallest units, and the address whose account has them now."""

    chain: str
    amount: int
    address: str


def release_held(
    connection: Connection, chain: str, held_script_hex: str, to: Destination, now_ms: int
) -> Released | None:
    """Hands everything final that is held for a parent address's script on `chain` to the account of an address of that
    chain. None, and nothing written, when there is nothing.
    """
    held_id = find_account(connection, chain, "held", held_script_hex)
    amount = 0 if held_id is None else available_balance(connection, chain, held_id)
    if held_id is None or amount <= 0:
        return None
    receiver = account_id(connection, chain, AccountKey("miner", to.script.hex(), to.address))
    group = release(chain, held_id, receiver, _releases(connection, chain, held_id) + 1, amount)
    ledger_store.post(connection, group, now_ms)
    log.info("held credits released chain=%s amount=%d to=%s group=%s", chain, amount, to.address, group.id)
    return Released(chain, amount, to.address)


def release_registered(connection: Connection, chain: str, now_ms: int) -> list[Released]:
    """Hands over what became final in held accounts whose owner registered an address of `chain`."""
    settings, frozen = account_settings.c, frozen_scripts.c
    name = literal("liab.") + cast(accounts.c.id, Text) + literal(".available")
    same = (accounts.c.chain == settings.chain, accounts.c.kind == settings.kind)
    query = (
        select(settings.script_hex, settings.payout_script_hex, settings.payout_address)
        .join(accounts, and_(*same, accounts.c.script_hex == settings.script_hex))
        .join(balances, and_(balances.c.chain == accounts.c.chain, balances.c.account == name))
        .join(frozen_scripts, frozen.script_hex == settings.script_hex, isouter=True)
        .where(settings.chain == chain, settings.kind == "held", settings.payout_script_hex.is_not(None))
        .where(balances.c.amount > 0, frozen.script_hex.is_(None))
        .order_by(accounts.c.id)
    )
    done = []
    for row in connection.execute(query).all():
        to = Destination(row.payout_address, bytes.fromhex(row.payout_script_hex))
        released = release_held(connection, chain, row.script_hex, to, now_ms)
        if released is not None:
            done.append(released)
    return done


def _releases(connection: Connection, chain: str, held_id: int) -> int:
    query = (
        select(func.count())
        .select_from(transfers)
        .join(transfer_groups, transfer_groups.c.id == transfers.c.group_id)
        .where(transfers.c.chain == chain, transfers.c.debit == available(held_id))
        .where(transfer_groups.c.kind == "release")
    )
    return int(connection.execute(query).scalar_one())
