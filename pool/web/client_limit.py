"""Which client a request comes from, and whether it asks too often.

A web server in front of this port names its client in `X-Forwarded-For`; that is believed from the addresses the
operator has named and from nobody else, as anybody can write that header. Of several names the last one that is no such
server counts: what stands before it was written by the client.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

from pool.web.options import ClientLimits
from pool.web.rate_limit import RateLimit

MAX_FORWARDED = 16
"""Names of one header that are looked at."""


class ClientLimit:
    """The buckets of all clients. Nothing is kept of a client but its address and what is left to it."""

    def __init__(self, limits: ClientLimits) -> None:
        self.limits = limits
        self._rate = RateLimit(limits.burst, limits.per_s, limits.clients)

    def client(self, remote: str | None, forwarded: str | None) -> str | None:
        """The address that a request comes from."""
        client = _plain(remote)
        if forwarded is None:
            return client
        for name in reversed(forwarded.split(",")[-MAX_FORWARDED:]):
            if client not in self.limits.forwarded_from:
                break
            named = _plain(name.strip())
            if named is None:
                break
            client = named
        return client

    def wait_s(self, client: str | None, now_s: float) -> float | None:
        """None when the client may go on, else how long it should wait. `now_s` never goes back."""
        if self._is_exempt(client) or self._rate.take(client, now_s):
            return None
        return self._rate.wait_s(client)

    def _is_exempt(self, client: str | None) -> bool:
        if not self.limits.exempt_loopback or client is None or client in self.limits.forwarded_from:
            return False
        return ip_address(client).is_loopback


def _plain(text: str | None) -> str | None:
    """An address without its zone and in its one written form; None for anything else."""
    try:
        parsed = ip_address((text or "").partition("%")[0])
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return str(parsed)
