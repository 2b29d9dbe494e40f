"""HTTP connections with bounds, for each port that answers HTTP: how many, and how long one may be silent."""

from __future__ import annotations

import asyncio
import logging
import weakref
from typing import cast

from aiohttp import web


class _Connection(web.RequestHandler):
    """aiohttp's connection, which we ask whether it ever brought a request."""

    served = False


class _TurnedAway(asyncio.Protocol):
    """What a connection over the limit gets: nothing."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).abort()


def connection_log(name: str) -> logging.Logger:
    """A logger for aiohttp, which answers a malformed request with 400 and logs a stack trace of it: strangers shall
    not fill our log."""
    log = logging.getLogger(name)
    log.addFilter(lambda record: not record.getMessage().startswith("Error handling request"))
    return log


def new_connection(
    server: web.Server, log: logging.Logger, *, most: int, first_request_s: float, keepalive_s: float
) -> asyncio.BaseProtocol:
    """A connection that arrived: closed at once when there are `most`, and after `first_request_s` without a whole
    request."""
    if len(server.connections) >= most:
        return _TurnedAway()
    loop = asyncio.get_running_loop()
    connection = _Connection(
        server, loop=loop, keepalive_timeout=keepalive_s, lingering_time=0.0, logger=log,
        access_log=None,  # type: ignore[arg-type]  # its default is a logger, None turns it off
    )
    loop.call_later(first_request_s, _close_if_silent, weakref.ref(connection))
    return connection


def saw_request(request: web.Request) -> None:
    """The connection brought one."""
    if isinstance(request.protocol, _Connection):
        request.protocol.served = True


def _close_if_silent(reference: weakref.ref[_Connection]) -> None:
    connection = reference()
    if connection is not None and not connection.served:
        connection.force_close()
