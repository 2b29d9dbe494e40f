"""Rounds of all connections: who comes first, a job to many, whose time has come.

5,000 miners wait while a job goes around, and once a second each of them is looked at; in Python that costs as much
again as the kernel's part of it. So _rounds.c deals with the connections in which all is as usual and gives the others
back, to be dealt with one by one. Where it was not compiled, those are all.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from stratum.connection import Connection
from stratum.offer import JobOffer
from stratum.transport import DirectServer


def python_by_difficulty(connections: Iterable[Connection]) -> list[Connection]:
    """Those that may have jobs, the smallest difficulty first; of equal ones in the order given."""
    return sorted((connection for connection in connections if connection.session.ready), key=_difficulty)


def _difficulty(connection: Connection) -> float:
    assignment = connection.session.assignment
    sent = assignment.terms.sent
    return assignment.difficulty if sent is None else sent


def python_send_job(
    direct: type[DirectServer], connections: list[Connection], job: JobOffer, clean_from: int
) -> list[tuple[Connection, bytes | None]]:
    """Sends a job, as Connection.offer() does, to those of whom nothing else is known or to be said and whose transport
    is `direct` and has room. The others in their order: with the rest of the line for offer_rest(), or with None for
    offer()."""
    return [(connection, None) for connection in connections]


def python_due(direct: type[DirectServer], connections: Iterable[Connection], now: float) -> list[Connection]:
    """Those of whom sweep() has something to do."""
    return list(connections)


if TYPE_CHECKING:
    by_difficulty, due, send_job = python_by_difficulty, python_due, python_send_job
else:
    try:
        from stratum._rounds import by_difficulty, due, send_job
    except ImportError:
        by_difficulty, due, send_job = python_by_difficulty, python_due, python_send_job
