"""Sentences of the operator's for people at the miners: client.show_message to everybody, an address or a worker."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from pool.shares.route import RoutedLogin
from stratum.server import Connection, StratumServer

SLICE = 250  # connections per turn of the loop


async def tell(servers: Collection[StratumServer], text: str, login: str | None, worker: str | None) -> int:
    """Tell it, and to how many connections. `login` is the address that stands first in logins, `worker` one of its
    workers; None is anybody. Many miners show such a message nowhere."""
    told = 0
    connections = [one for server in servers for one in server.connections]
    for start in range(0, len(connections), SLICE):
        for one in connections[start : start + SLICE]:
            if is_of(one, login, worker) and one.tell(text):
                told += 1
        await asyncio.sleep(0)
    return told


def is_of(connection: Connection, login: str | None, worker: str | None) -> bool:
    """Whether a worker like that logged in on a connection."""
    if login is None and worker is None:
        return True
    return any(
        (login is None or login == user.route.login_parent) and (worker is None or worker == user.worker)
        for user in connection.session.users.values()
        if isinstance(user, RoutedLogin)
    )
