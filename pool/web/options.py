"""What the web port is told beside what it serves: limits per client, names in splits, what miners connect to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pool.web.pseudonyms import Pseudonyms
from pool.web.rate_limit import MAX_CLIENTS


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """How often one client may ask. `forwarded_from` are the proxies whose word about their client is taken."""

    burst: int = 60
    per_s: float = 5.0
    clients: int = MAX_CLIENTS
    exempt_loopback: bool = True
    forwarded_from: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class PortOffer:
    """A Stratum port as miners are told of it. `host` is None where the pool listens on every address: then it is the
    name under which the page was asked for. `schemes` are by chain.
    """

    protocol: str
    host: str | None
    port: int
    start_difficulty: float
    minimum_difficulty: float
    maximum_difficulty: float
    extranonce2_size: int
    schemes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PayoutRule:
    """How a chain pays: amounts in smallest units."""

    minimum: int
    interval_ms: int


@dataclass(frozen=True, slots=True)
class WebOptions:
    """`pseudonyms` stand in splits where there are some, else addresses. `payouts` has the chains that pay."""

    limits: ClientLimits = field(default_factory=ClientLimits)
    pseudonyms: Pseudonyms | None = None
    ports: tuple[PortOffer, ...] = ()
    payouts: Mapping[str, PayoutRule] = field(default_factory=dict)
