"""Miners' settings in SQL: what a signed message changes, what the operator freezes, and what payouts ask of both.

Everything takes an open connection and leaves the commit to its caller, so that a message and all that follows from it
are one transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, delete, func, insert, or_, select, update

from pool.miners.ownership import owned_accounts
from pool.miners.refusal import MinerFrozenError, NumberUsedError, TooManyMessagesError, UnknownMinerError
from pool.miners.settings_message import Destination, SettingsMessage, SettingsRules
from pool.storage.database import add_missing
from pool.storage.held_store import Released, release_held, release_registered
from pool.storage.notice_store import set_notice
from pool.storage.settings_tables import account_settings, frozen_scripts, settings_messages
from pool.storage.tables import accounts, routes

log = logging.getLogger("parapool.books")

DAY_MS = 86_400_000
MAX_MESSAGES_A_DAY = 20
"""Per miner: they are kept for ever, and nobody changes an address that often."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a message: `again` when it had been applied before, and what it released."""

    number: int
    again: bool
    released: tuple[Released, ...] = ()


@dataclass(frozen=True, slots=True)
class PayoutTerms:
    """How an account is paid: its own least amount (None: the pool's), whether it is frozen, and where to, when that is
    another address than the account's own.
    """

    minimum: int | None = None
    frozen: bool = False
    script: bytes | None = None
    address: str | None = None


def payout_terms(connection: Connection, chain: str) -> Mapping[int, PayoutTerms]:
    """The terms of each account of `chain` that has any, by account id; the others are paid as the pool pays.

    A held account is never paid: what its owner registered is where it is released to (pool/storage/held_store.py).
    """
    settings, frozen = account_settings.c, frozen_scripts.c
    same = (settings.chain == accounts.c.chain, settings.kind == accounts.c.kind)
    query = (
        select(
            accounts.c.id, accounts.c.kind, settings.minimum_payout, settings.payout_script_hex,
            settings.payout_address, frozen.script_hex.label("frozen"),
        )
        .join(account_settings, and_(*same, settings.script_hex == accounts.c.script_hex), isouter=True)
        .join(frozen_scripts, frozen.script_hex == accounts.c.script_hex, isouter=True)
        .where(accounts.c.chain == chain, or_(settings.chain.is_not(None), frozen.script_hex.is_not(None)))
    )  # fmt: skip
    terms = {}
    for row in connection.execute(query):
        elsewhere = row.payout_script_hex is not None and row.kind == "miner"
        script = bytes.fromhex(row.payout_script_hex) if elsewhere else None
        address = row.payout_address if elsewhere else None
        terms[row.id] = PayoutTerms(row.minimum_payout, row.frozen is not None, script, address)
    return terms


def apply_message(
    connection: Connection, message: SettingsMessage, text: str, signature: str, rules: SettingsRules, now_ms: int
) -> Applied:
    """Keeps a message whose signature is good, and does what it says. The same message again changes nothing.

    Raises SettingsRefusedError (pool/miners/refusal.py); then the caller's transaction has nothing to keep.
    """
    script_hex = message.miner.script.hex()
    if _kept_text(connection, script_hex, message.number) == text:
        return Applied(message.number, again=True)
    _check_may_change(connection, message, now_ms)
    row = {
        "source": "miner", "script_hex": script_hex, "address": message.miner.address, "number": message.number,
        "message": text, "signature": signature.strip(), "received_ms": now_ms,
    }  # fmt: skip
    message_id = _keep(connection, row)
    for chain, minimum in message.minimums.items():
        _set(connection, message, chain, rules, message_id, {"minimum_payout": minimum})
    for chain, destination in message.registered.items():
        where: dict[str, str | None] = {"payout_script_hex": None, "payout_address": None}
        if destination is not None:
            where = {"payout_script_hex": destination.script.hex(), "payout_address": destination.address}
        _set(connection, message, chain, rules, message_id, where)
    if message.notice is not None:
        set_notice(connection, message.miner, message.notice, message_id)
    done = [
        release_held(connection, chain, script_hex, destination, now_ms)
        for chain, destination in message.released.items()
    ]
    for chain in message.registered:
        done += release_registered(connection, chain, now_ms)
    log.info("settings changed miner=%s number=%d", message.miner.address, message.number)
    return Applied(message.number, again=False, released=tuple(item for item in done if item is not None))


def freeze(connection: Connection, miner: Destination, reason: str, now_ms: int) -> bool:
    """No account of this script is paid or releases anything until `unfreeze`. False when it was frozen already; the
    first reason stays.
    """
    if is_frozen(connection, miner.script.hex()):
        return False
    message_id = note(connection, miner, f"freeze: {miner.address}\nreason: {reason}", now_ms)
    row = {"script_hex": miner.script.hex(), "address": miner.address, "reason": reason, "frozen_ms": now_ms}
    connection.execute(insert(frozen_scripts).values(message_id=message_id, **row))
    log.warning("miner frozen, nothing is paid to it address=%s reason=%s", miner.address, reason)
    return True


def unfreeze(connection: Connection, miner: Destination, reason: str, now_ms: int) -> bool:
    """Ends a freeze. False when there is none."""
    if not is_frozen(connection, miner.script.hex()):
        return False
    note(connection, miner, f"unfreeze: {miner.address}\nreason: {reason}", now_ms)
    connection.execute(delete(frozen_scripts).where(frozen_scripts.c.script_hex == miner.script.hex()))
    log.warning("miner no longer frozen address=%s reason=%s", miner.address, reason)
    return True


def is_frozen(connection: Connection, script_hex: str) -> bool:
    query = select(frozen_scripts.c.script_hex).where(frozen_scripts.c.script_hex == script_hex)
    return connection.execute(query).scalar_one_or_none() is not None


def note(connection: Connection, miner: Destination, text: str, now_ms: int) -> int:
    """Keeps what the operator did about a miner, beside what the miner signed. Returns the row's id."""
    row = {"source": "operator", "script_hex": miner.script.hex(), "address": miner.address, "number": None}
    return _keep(connection, row | {"message": text, "signature": "", "received_ms": now_ms})


def _keep(connection: Connection, row: dict[str, Any]) -> int:
    message_id = connection.execute(insert(settings_messages).values(**row)).inserted_primary_key
    assert message_id is not None
    return int(message_id[0])


def _kept_text(connection: Connection, script_hex: str, number: int) -> str | None:
    column = settings_messages.c
    query = select(column.message).where(column.script_hex == script_hex, column.number == number)
    return connection.execute(query).scalar_one_or_none()


def last_number(connection: Connection, script_hex: str) -> int:
    """The highest number of this miner's messages, 0 before the first."""
    query = select(func.max(settings_messages.c.number)).where(settings_messages.c.script_hex == script_hex)
    return connection.execute(query).scalar_one_or_none() or 0


def is_known(connection: Connection, miner: Destination) -> bool:
    """Whether anything was ever mined for the address."""
    for query in (
        select(accounts.c.id).where(accounts.c.address == miner.address).limit(1),
        select(routes.c.id).where(routes.c.login_parent == miner.address).limit(1),
    ):
        if connection.execute(query).scalar_one_or_none() is not None:
            return True
    return False


def _check_may_change(connection: Connection, message: SettingsMessage, now_ms: int) -> None:
    script_hex = message.miner.script.hex()
    last = last_number(connection, script_hex)
    if message.number <= last:
        raise NumberUsedError(f"number: {message.number} was used before, the next is {last + 1}")
    if not is_known(connection, message.miner):
        raise UnknownMinerError("nothing was mined for this address yet")
    if is_frozen(connection, script_hex):
        raise MinerFrozenError("the pool's operator has stopped payouts of this address; please ask there")
    column = settings_messages.c
    recent = select(func.count()).where(column.script_hex == script_hex, column.received_ms > now_ms - DAY_MS)
    if connection.execute(recent.where(column.source == "miner")).scalar_one() >= MAX_MESSAGES_A_DAY:
        raise TooManyMessagesError(f"at most {MAX_MESSAGES_A_DAY} messages a day are taken, please try tomorrow")


def _set(
    connection: Connection, message: SettingsMessage, chain: str, rules: SettingsRules, message_id: int,
    values: dict[str, Any],
) -> None:  # fmt: skip
    column = account_settings.c
    for kind, script_hex in owned_accounts(message.miner.script, chain, rules.parent, rules.networks):
        key = {"chain": chain, "kind": kind, "script_hex": script_hex}
        add_missing(connection, account_settings, [key | {"message_id": message_id}])
        row = (column.chain == chain, column.kind == kind, column.script_hex == script_hex)
        connection.execute(update(account_settings).where(*row).values(message_id=message_id, **values))
