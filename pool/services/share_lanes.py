"""Who gets a lane: a connection whose ordinary shares go from the socket to the share log without a frame of Python.

_share_desk.c has the desk and its lanes; where it was not built, and for every share that is not ordinary, everything
goes as the other files of this folder say. An ordinary share costs a third with it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from stratum.connection import Connection, Lane
from stratum.transport import DirectServer

if TYPE_CHECKING:
    from pool.services.share_intake import ShareIntake

ShareDesk: Any
try:
    from pool.services._share_desk import ShareDesk
except ImportError:
    ShareDesk = None


def make_desk(intake: ShareIntake) -> Any:
    """The desk of an intake; None without the C, and where a share's proof of work is not the hash of its header. The
    disk's thread answers its shares where that is one of C's."""
    if ShareDesk is None or intake.pow_hash is not None:
        return None
    desk = ShareDesk(intake, intake.table, intake.log, intake.tally, intake.schemes)
    intake.log.answer_with(desk.answers)
    return desk


class Lanes:
    """What a StratumServer asks for the lane of each connection."""

    def __init__(self, intake: ShareIntake) -> None:
        self._desk = intake.desk

    def __call__(self, connection: Connection) -> Lane | None:
        """None for those whose bytes are not Stratum's (TLS), and those that are answered before the disk has the
        share."""
        transport = connection.transport
        if self._desk is None or connection.answers_at_once or type(transport) is not DirectServer:
            return None
        lane: Lane = self._desk.lane(connection, transport, connection.session, transport.fileno())
        return lane


def lanes(intake: ShareIntake, clock: Any = time.monotonic) -> Lanes | None:
    """For a server of that clock; the lanes know monotonic seconds only."""
    return Lanes(intake) if intake.desk is not None and clock is time.monotonic else None
