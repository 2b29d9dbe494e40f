"""Misbehaviour: points that fade, and bans at one hundred.

A ban holds for a node key, and for the address it came from unless that address is exempt: on a devnet every node
is 127.0.0.1, and one flooder must not shut out the four others. Pure; time is milliseconds and handed in.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

BAN_AT_POINTS = 100
FADE_MS = 60_000  # one point is forgotten after each whole such time
BAN_MS = 24 * 3600 * 1000  # as long as Bitcoin Core's default ban
MAX_NAMES = 10_000  # names with points or a ban; beyond, the one that is due first is forgotten


@dataclass(frozen=True, slots=True)
class BanPolicy:
    """`exempt_loopback`: loopback addresses are never banned (node keys still are)."""

    ban_ms: int = BAN_MS
    exempt_loopback: bool = False


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def key_name(node_key: bytes) -> str:
    return f"key:{node_key.hex()}"


def address_name(host: str) -> str:
    """The name under which an address is banned. Of IPv6 it is the /64: a single machine has that many addresses."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"host:{host}"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return f"ip:{address.ipv4_mapped}"
        return f"ip:{ipaddress.ip_network((address, 64), strict=False)}"
    return f"ip:{address}"


class Scores:
    """Points by name (a key, an address) and the bans that came of them."""

    def __init__(self, policy: BanPolicy | None = None) -> None:
        self.policy = BanPolicy() if policy is None else policy
        self._points: dict[str, tuple[int, int]] = {}  # points, and when they began to fade
        self._bans: dict[str, int] = {}  # until when

    def names(self, node_key: bytes | None, host: str) -> list[str]:
        """What a peer is scored and banned under."""
        names = [] if node_key is None else [key_name(node_key)]
        if not (self.policy.exempt_loopback and is_loopback(host)):
            names.append(address_name(host))
        return names

    def points(self, name: str, now_ms: int) -> int:
        return self._faded(name, now_ms)[0]

    def _faded(self, name: str, now_ms: int) -> tuple[int, int]:
        points, at_ms = self._points.get(name, (0, now_ms))
        faded = max(0, now_ms - at_ms) // FADE_MS
        return (points - faded, at_ms + faded * FADE_MS) if points > faded else (0, now_ms)

    def add(self, names: list[str], points: int, now_ms: int) -> bool:
        """Count points against all of these names; whether they are banned by it now."""
        banned = False
        for name in names:
            before, at_ms = self._faded(name, now_ms)
            self._points[name] = (before + points, at_ms)
            banned = banned or before + points >= BAN_AT_POINTS
        if banned:
            for name in names:
                self.ban(name, now_ms + self.policy.ban_ms)
        if len(self._points) > MAX_NAMES:
            del self._points[min(self._points, key=lambda name: self._points[name])]
        return banned

    def ban(self, name: str, until_ms: int) -> None:
        self._points.pop(name, None)
        self._bans[name] = until_ms
        if len(self._bans) > MAX_NAMES:
            del self._bans[min(self._bans, key=lambda name: self._bans[name])]

    def unban(self, name: str) -> bool:
        """Whether there was a ban to lift."""
        return self._bans.pop(name, None) is not None

    def is_banned(self, names: list[str], now_ms: int) -> bool:
        return any(now_ms < self._bans.get(name, 0) for name in names)

    def sweep(self, now_ms: int) -> list[str]:
        """Forget what is over; the names whose ban ended."""
        ended = [name for name, until_ms in self._bans.items() if now_ms >= until_ms]
        for name in ended:
            del self._bans[name]
        for name in [name for name in self._points if self.points(name, now_ms) <= 0]:
            del self._points[name]
        return ended

    def bans(self) -> Iterator[tuple[str, int]]:
        """(name, until when)."""
        return iter(sorted(self._bans.items()))
