"""How connections come in by one port: from miners, or from proxies that say who is behind them; in clear or with TLS.

The order is that of the bytes: a PROXY header, then TLS, then Stratum. A header counts from the port's proxies only;
anybody else's is no Stratum, and ends the connection.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.protocol import Protocol as TwistedProtocol

from stratum.proxy_header import ProxyHeaderError, parse_proxy_header
from stratum.tls import Certificate

log = logging.getLogger("parapool.stratum")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Entrance:
    """`proxies` are the networks whose PROXY headers are believed; with a `certificate` the port speaks TLS."""

    proxies: tuple[Network, ...] = ()
    certificate: Certificate | None = None

    def is_proxy(self, host: str) -> bool:
        if not self.proxies:
            return False
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self.proxies)


class ProxiedConnection(TwistedProtocol):
    """A connection from a proxy until its header is there; then who is behind it comes in, and has the socket."""

    transport: Any

    def __init__(
        self,
        proxy: str,
        come_in: Callable[[str], Any],
        ended: Callable[[ProxiedConnection, str | None], None],
    ) -> None:
        """`come_in` gives the protocol of a client, or None to hang up; `ended` hears that this one is over, and what
        was wrong with its header."""
        self._proxy = proxy
        self._come_in = come_in
        self._ended = ended
        self._data = b""

    def dataReceived(self, data: bytes) -> None:
        self._data += data
        try:
            header = parse_proxy_header(self._data)
        except ProxyHeaderError as error:
            self._end(str(error))
            return
        if header is None:
            return
        client = self._come_in(header.client or self._proxy)
        if client is None:
            self._end(None)
            return
        self._ended(self, None)
        socket, rest = self.transport, self._data[header.length :]
        socket.protocol = client
        client.makeConnection(socket)
        if rest:
            client.dataReceived(rest)

    def expire(self) -> None:
        """The header has not come in time."""
        self._end("no header in time")

    def hang_up(self) -> None:
        self._end(None)

    def connectionLost(self, reason: Any = None) -> None:
        self._ended(self, None)

    def _end(self, problem: str | None) -> None:
        self._ended(self, problem)
        self.transport.abortConnection()
