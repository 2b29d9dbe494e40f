"""How a connection has behaved: refused logins, lines it could not spell, and its part in its address's shares."""

from __future__ import annotations

from stratum.addresses import AddressRecord
from stratum.limits import Limits


class Standing:
    """One per connection; `address` is shared with the other connections from there."""

    __slots__ = ("_asked", "_backoff_s", "_limits", "_malformed", "_refused", "_refused_until", "_workers", "address")

    def __init__(self, limits: Limits, address: AddressRecord | None = None) -> None:
        self._limits = limits
        self.address = AddressRecord(limits, 0.0) if address is None else address
        self._asked = 0
        self._refused = 0
        self._refused_until = 0.0
        self._backoff_s = limits.refused_backoff_s
        self._malformed = 0
        self._workers = 0

    def malformed(self) -> bool:
        """Count a line that was no request; True when there were too many."""
        self._malformed += 1
        return self._malformed > self._limits.malformed_lines

    def login_limit(self, now: float) -> str | None:
        """Why the pool is not asked about another login, or None (and the question counts)."""
        if self._refused > self._limits.refused_authorizes_free and now < self._refused_until:
            return f"too many refused logins, try again in {self._refused_until - now:.0f} s"
        if self._asked >= self._limits.authorizes_per_connection:
            return "too many logins on one connection"
        refusal = self.address.login_limit(now)
        if refusal is None:
            self._asked += 1
        return refusal

    def joined(self) -> None:
        """Count a worker of this connection with its address."""
        self._workers += 1
        self.address.workers += 1

    def left(self) -> None:
        """The connection is gone, and its workers with it."""
        self.address.workers -= self._workers
        self._workers = 0

    def login_refused(self, now: float) -> None:
        self._refused += 1
        if self._refused > self._limits.refused_authorizes_free:
            self._refused_until = now + self._backoff_s
            self._backoff_s = min(2.0 * self._backoff_s, self._limits.refused_backoff_maximum_s)

    def valid(self) -> None:
        """Count an accepted share."""
        self.address.shares += 1

    def invalid(self, penalty: float, now: float) -> bool:
        """Count a worthless submission; True when the address is banned by it."""
        return self.address.invalid(penalty, now)
