"""Miners' offline notices in SQL: who wishes one where. Everything takes an open connection.

A target is read back by the grammar that it was taken by, so nothing that got into the table in another way is sent to.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, func, insert, select

from pool.miners.notice_target import NoticeTarget, NoticeWish, Watched, parse_target
from pool.miners.refusal import TooManyMessagesError
from pool.miners.settings_message import Destination
from pool.storage.settings_tables import frozen_scripts, offline_notices

MAX_NOTICES = 10_000
"""Addresses with a wish, of a database: keys cost nothing, and all of their workers are watched."""


def set_notice(connection: Connection, miner: Destination, wish: NoticeWish, message_id: int) -> None:
    """Does what a miner wishes, in the transaction of the message. Raises TooManyMessagesError."""
    column = offline_notices.c
    connection.execute(delete(offline_notices).where(column.script_hex == miner.script.hex()))
    if wish.target is None:
        return
    if connection.execute(select(func.count()).select_from(offline_notices)).scalar_one() >= MAX_NOTICES:
        raise TooManyMessagesError("the pool watches the workers of as many miners as it can")
    row = {"script_hex": miner.script.hex(), "address": miner.address, "message_id": message_id}
    connection.execute(
        insert(offline_notices).values(target=wish.target.text, after_min=wish.after_min, **row)
    )


def notice_of(connection: Connection, script_hex: str) -> NoticeWish | None:
    """What a miner wishes; None without a wish, or one that this version cannot read."""
    column = offline_notices.c
    row = connection.execute(
        select(column.target, column.after_min).where(column.script_hex == script_hex)
    ).one_or_none()
    target = None if row is None else _target(row.target)
    return None if row is None or target is None else NoticeWish(target, row.after_min)


def watched(connection: Connection) -> list[Watched]:
    """Everybody who is told, but for those whom the operator has frozen."""
    column = offline_notices.c
    frozen = select(frozen_scripts.c.script_hex).where(frozen_scripts.c.script_hex == column.script_hex).exists()
    query = select(column.address, column.target, column.after_min).where(~frozen).order_by(column.script_hex)
    found = []
    for row in connection.execute(query.limit(MAX_NOTICES)):
        target = _target(row.target)
        if target is not None:
            found.append(Watched(row.address, target, row.after_min))
    return found


def _target(text: str) -> NoticeTarget | None:
    try:
        return parse_target(text)
    except ValueError:
        return None
