"""Who may connect: rates, counts and bans by network address.

One book serves all ports of a process, or an address would have its limits once for each kind of port. Pure: the edge
asks admit() for every connection that arrives and lets sweep() forget old addresses. Shares are tallied for an address
as a whole, so that one broken machine among many good ones behind a NAT bans nobody.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from stratum.ban_list import BanList
from stratum.limits import Limits

IDLE_RECORD_S = 5.0  # the buckets of an address refill in this time
TELL_INTERVAL_S = 60.0
SWEEP_INTERVAL_S = 0.9  # servers sweep once a second, one of those that share a book is enough


class AddressRecord:
    """What is known of one address (an IPv6 /64)."""

    __slots__ = (
        "_limits", "_login_tokens", "_logins_seen", "_tell_after", "banned_until", "connections", "exempt",
        "invalid_weight", "seen", "shares", "tokens", "workers",
    )  # fmt: skip

    def __init__(self, limits: Limits, now: float, exempt: bool = False) -> None:
        self._limits = limits
        self.exempt = exempt
        self.connections = 0
        self.tokens = limits.accepts_per_address_per_s
        self.seen = now
        self.workers = 0  # logins of its live connections
        self._login_tokens = IDLE_RECORD_S * limits.logins_per_address_per_s
        self._logins_seen = now
        self._tell_after = now
        self.banned_until = 0.0
        self.shares = 0
        self.invalid_weight = 0.0

    def worth_telling(self, now: float) -> bool:
        """Whether the log should have a line about this address now: one a minute, however many connections it has."""
        if now < self._tell_after:
            return False
        self._tell_after = now + TELL_INTERVAL_S
        return True

    def login_limit(self, now: float) -> str | None:
        """Why no login is looked at now, or None (and it counts). Checking one costs as much as ten shares."""
        limits = self._limits
        if self.exempt:
            return None
        if self.workers >= limits.workers_per_address:
            return "too many workers from your address"
        earned = (now - self._logins_seen) * limits.logins_per_address_per_s
        self._login_tokens = min(IDLE_RECORD_S * limits.logins_per_address_per_s, self._login_tokens + earned)
        self._logins_seen = now
        if self._login_tokens < 1.0:
            return "too many logins from your address at once, try again"
        self._login_tokens -= 1.0
        return None

    def invalid(self, penalty: float, now: float) -> bool:
        """Count a worthless submission; True when the address is banned by it (never a proxy's, which is everybody)."""
        self.shares += 1
        self.invalid_weight += penalty
        limits = self._limits
        if self.exempt or self.shares < limits.ban_shares:
            return False
        banned = self.invalid_weight > limits.ban_invalid_fraction * self.shares
        if banned:
            self.shares, self.invalid_weight = 0, 0.0
            self.banned_until = now + limits.ban_s
            return True
        self.shares //= 2
        self.invalid_weight /= 2.0
        return False


class AddressBook:
    """All addresses seen lately."""

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self._records: dict[str, AddressRecord] = {}
        self._tokens = limits.accepts_per_s
        self._seen = now
        self._swept = now
        self.connections = 0
        self.bans = BanList()

    def admit(self, address: str, now: float) -> AddressRecord | str:
        """The record of a connection let in, to be given back to leave(); or the reason why it is turned away."""
        limits = self._limits
        if self.bans.covering(address, now) is not None:
            return "banned"
        key, loopback = _key(address)
        if self.connections >= limits.connections_total:
            return "too_many"
        record = self._records.get(key)
        if record is None:
            if len(self._records) >= limits.addresses_remembered:
                return "too_many_addresses"
            record = self._records[key] = AddressRecord(limits, now, loopback and limits.exempt_loopback)
        if not record.exempt:
            if record.banned_until > now:
                return "banned"
            if record.connections >= limits.connections_per_address:
                return "too_many_of_address"
            rate = limits.accepts_per_address_per_s
            record.tokens = min(rate, record.tokens + (now - record.seen) * rate)
            record.seen = now
            if record.tokens < 1.0:
                return "address_rate"
            self._tokens = min(limits.accepts_per_s, self._tokens + (now - self._seen) * limits.accepts_per_s)
            self._seen = now
            if self._tokens < 1.0:
                return "rate"
            record.tokens -= 1.0
            self._tokens -= 1.0
        record.connections += 1
        self.connections += 1
        return record

    def leave(self, record: AddressRecord, now: float) -> None:
        record.connections -= 1
        record.seen = now
        self.connections -= 1

    def sweep(self, now: float) -> None:
        """Forget addresses without connections: those that sent shares after a ban's time, others once their tokens are
        full again, so that addresses which only knock do not fill the book. Each server that shares the book calls."""
        if now - self._swept < SWEEP_INTERVAL_S:
            return
        self._swept = now
        self.bans.sweep(now)
        old = [
            key
            for key, record in self._records.items()
            if not record.connections
            and record.banned_until <= now
            and now - record.seen > (self._limits.ban_s if record.shares else IDLE_RECORD_S)
        ]
        for key in old:
            del self._records[key]

    def banned(self, now: float) -> Iterator[tuple[str, float]]:
        """The addresses (IPv6 networks /64) that their own shares have banned, and until when."""
        for key, record in self._records.items():
            if record.banned_until > now:
                yield key, record.banned_until

    def pardon(self, key: str, now: float) -> bool:
        """End such a ban; whether there was one."""
        record = self._records.get(key)
        if record is None or record.banned_until <= now:
            return False
        record.banned_until = now
        return True

    def __len__(self) -> int:
        return len(self._records)


def _key(address: str) -> tuple[str, bool]:
    """The name under which an address is counted, and whether it is this machine."""
    try:
        parsed: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address, False
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            network = ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64))
            return str(network), parsed.is_loopback
        parsed = parsed.ipv4_mapped
    return str(parsed), parsed.is_loopback
