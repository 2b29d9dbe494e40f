"""What the process of a crowded pool knows of itself, and what its web port is told."""

from __future__ import annotations

from dataclasses import dataclass, field

from crowd import CHAINS

from pool.web.api import ChainStatus, wall_ms
from pool.web.options import PayoutRule, PortOffer, WebOptions
from pool.web.server import WebServer


@dataclass
class Live:
    """What the process would know of itself."""

    name: str = "Parapool of the north <b>"
    started_ms: int = field(default_factory=lambda: wall_ms() - 3 * 86_400_000)
    parent: str = "regbtc"
    algorithm: str = "sha256d"
    fee_ppm: int = 10_000
    stratum_urls: tuple[str, ...] = ("stratum+tcp://127.0.0.1:3333",)
    accepting: bool = True
    draining: bool = False
    connections: int = 9_870
    workers: int = 12_345
    shares_accepted: int = 98_765_432
    accepted_work: int = 2**80
    shares_rejected: dict[str, int] = field(default_factory=lambda: {"stale": 1_234, "low_difficulty": 56})
    jobs_sent: int = 999
    books_lag_s: float = 0.5

    def chains(self) -> list[ChainStatus]:
        states = ("ok", "syncing", "down")
        return [
            ChainStatus(name, kind, None if state == "down" else 800_231, 2**208, state, state == "ok")
            for name, kind, state in zip(CHAINS, ("bitcoin", "auxpow", "mm2"), states, strict=True)
        ]


OPTIONS = WebOptions(
    ports=(
        PortOffer("stratum+tcp", None, 3333, 0.001, 0.0001, 1e6, 4, dict.fromkeys(CHAINS, "pplns")),
        PortOffer("stratum+ssl", "pool.example", 443, 65536, 8192, 1e9, 8, dict.fromkeys(CHAINS, "pplns")),
    ),
    payouts={"regbtc": PayoutRule(10_000_000, 86_400_000), "regnmc": PayoutRule(10**14, 3_600_000)},
)


@dataclass
class Crowded:
    """The web port, and where it is."""

    server: WebServer
    live: Live
    url: str
