"""How often a client may ask for something that costs: a bucket of requests per client, refilled as time passes."""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address

MAX_CLIENTS = 4096
"""Clients remembered; the one that asked longest ago is forgotten first, and would by then mostly be full again."""


class RateLimit:
    """`burst` requests at once per client, then `per_s` a second; `clients` are remembered. The time is handed in."""

    def __init__(self, burst: int, per_s: float, clients: int = MAX_CLIENTS) -> None:
        self.burst = burst
        self.per_s = per_s
        self.clients = clients
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str | None, now_s: float) -> bool:
        """Whether the client at `address` may go on; then the request is counted. `now_s` never goes back."""
        client = client_of(address)
        left, since_s = self._left.pop(client, (float(self.burst), now_s))
        left = min(float(self.burst), left + (now_s - since_s) * self.per_s)
        may = left >= 1
        self._left[client] = (left - 1 if may else left, now_s)
        if len(self._left) > self.clients:
            self._left.popitem(last=False)
        return may

    def wait_s(self, address: str | None) -> float:
        """How long the client waits for its next request when it asks for none before."""
        left, _ = self._left.get(client_of(address), (1.0, 0.0))
        return max(0.0, (1 - left) / self.per_s)


def client_of(address: str | None) -> str:
    """Who counts as one client: an IPv4 address, or an IPv6 network of 64 bits, which is what one household gets."""
    try:
        parsed = ip_address((address or "").partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"
    return str(parsed)
