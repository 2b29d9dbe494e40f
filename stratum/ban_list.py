"""Networks that the operator turned away, each until a time and for a reason.

Bans of the pool's own (an address whose shares are mostly invalid) stand with the address (addresses.py) and end by
themselves; these were asked for, hold for whole networks, and no exemption is stronger. Pure: times are the caller's.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_BANS = 10_000
"""Beyond it a ban is refused. One with its reason takes half a kilobyte; looking one up costs a step for each length of
prefix in use, however many there are."""

WIDEST_IPV4, WIDEST_IPV6 = 8, 16
"""A shorter prefix is a typing error: 0.0.0.0/0 would end the pool."""


class BanRefusedError(ValueError):
    """A ban that cannot be; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Ban:
    """`until` is in seconds of the clock that the list is asked by; `until_ms` is the same on the wall's, for people
    and files, and nothing here looks at it."""

    network: Network
    until: float
    reason: str
    until_ms: int = 0


def network_of(text: str) -> Network:
    """The network that an address or a CIDR names. A lone IPv6 address stands for its /64, which one customer has, and
    an IPv4-mapped one for the IPv4 address. Raises BanRefusedError."""
    try:
        network: Network = ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        raise BanRefusedError("expected an IP address or a network, such as 203.0.113.7 or 203.0.113.0/24") from None
    if isinstance(network, ipaddress.IPv6Network):
        mapped = network.network_address.ipv4_mapped
        if mapped is not None and network.prefixlen >= 96:
            network = ipaddress.IPv4Network((int(mapped), network.prefixlen - 96))
        elif network.prefixlen > 64:
            network = network.supernet(new_prefix=64)
    widest = WIDEST_IPV4 if network.version == 4 else WIDEST_IPV6
    if network.prefixlen < widest:
        raise BanRefusedError(f"{network} is too much of the internet: expected a prefix of /{widest} or longer")
    return network


class BanList:
    """Ordered by when the bans were made, the oldest first."""

    def __init__(self) -> None:
        self._bans: dict[Network, Ban] = {}
        self._lengths: dict[tuple[int, int], int] = {}  # (version, prefix length): bans of it

    def __len__(self) -> int:
        return len(self._bans)

    def __iter__(self) -> Iterator[Ban]:
        return iter(self._bans.values())

    def add(self, ban: Ban) -> None:
        """Ban a network; one that is banned already gets the new time and reason. Raises BanRefusedError."""
        if ban.network not in self._bans:
            if len(self._bans) >= MAX_BANS:
                raise BanRefusedError(f"there are {MAX_BANS} bans already: remove some, or ban wider networks")
            length = ban.network.version, ban.network.prefixlen
            self._lengths[length] = self._lengths.get(length, 0) + 1
        self._bans[ban.network] = ban

    def remove(self, network: Network) -> bool:
        """End a ban; whether there was one of this very network."""
        ban = self._bans.pop(network, None)
        if ban is None:
            return False
        length = network.version, network.prefixlen
        self._lengths[length] -= 1
        if not self._lengths[length]:
            del self._lengths[length]
        return True

    def covering(self, address: str, now: float) -> Ban | None:
        """The ban in force that an address falls under, if any."""
        if not self._bans:
            return None
        try:
            parsed: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return None
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        for version, length in self._lengths:
            if version == parsed.version:
                ban = self._bans.get(ipaddress.ip_network((parsed, length), strict=False))
                if ban is not None and ban.until > now:
                    return ban
        return None

    def sweep(self, now: float) -> None:
        """Forget what is over."""
        for network in [ban.network for ban in self._bans.values() if ban.until <= now]:
            self.remove(network)
