"""Who is connected: a page of connections with what an operator asks first, in the order in which they came."""

from __future__ import annotations

import heapq
from collections.abc import Collection
from typing import Any

from chains.primitives.target import difficulty_to_target, work_of
from pool.services.miner_messages import is_of
from pool.shares.route import RoutedLogin
from stratum.server import Connection, StratumServer

LOGINS_SHOWN = 8
"""Of one connection; a farm's proxy may have hundreds."""


class ConnectionList:
    """`pow_name` tells what a unit of difficulty is worth."""

    def __init__(self, servers: Collection[StratumServer], pow_name: str) -> None:
        self._servers = servers
        self._hashes = work_of(difficulty_to_target(1.0, pow_name))

    def page(
        self, after: int, limit: int, login: str | None, worker: str | None, now: float, now_ms: int
    ) -> dict[str, Any]:
        """At most `limit` connections with a number above `after`, and the `after` of the next page (None on the last).
        `now` is the servers' clock, `now_ms` the wall's at the same moment."""
        wanted = (
            one
            for server in self._servers
            for one in server.connections
            if one.number > after and is_of(one, login, worker)
        )
        found = heapq.nsmallest(limit + 1, wanted, key=lambda one: one.number)
        shown = found[:limit]
        return {
            "total": sum(len(server.connections) for server in self._servers),
            "items": [self._item(one, now, now_ms) for one in shown],
            "after": shown[-1].number if len(found) > limit else None,
        }

    def _item(self, connection: Connection, now: float, now_ms: int) -> dict[str, Any]:
        session, deadlines = connection.session, connection.session.deadlines
        users = [user for user in session.users.values() if isinstance(user, RoutedLogin)]
        rate = session.assignment.terms.vardiff.measured(now)
        shared = deadlines.last_valid_share > deadlines.logged_in

        def wall_ms(then: float) -> int:
            return now_ms - round((now - then) * 1000)

        return {
            "number": connection.number,
            "address": connection.remote_address,
            "logins": [{"login": u.route.login_parent, "worker": u.worker} for u in users[:LOGINS_SHOWN]],
            "logins_total": len(users),
            "agent": session.user_agent,
            "difficulty": session.assignment.difficulty if session.ready else None,
            "hashrate": None if rate is None else int(rate * self._hashes),
            "connected_ms": wall_ms(deadlines.opened),
            "last_share_ms": wall_ms(deadlines.last_valid_share) if shared else None,
            "leaving": not connection.stays,
        }
