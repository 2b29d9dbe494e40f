"""From the configuration to the parts that reward schemes need: the board, the service that buys shares, the realms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor

from chains.subsidies import SUBSIDIES
from pool.accounting.reserve import Change, ReserveGuard
from pool.config.configuration import Config, PortSection
from pool.services.scheme_board import BoughtChain, SchemeBoard
from pool.services.share_buying import BuyingChain, PpsBooks, ShareBuying
from pool.shares.scheme import PER_SHARE, Scheme

HOUR_S = 3600

LOW = "The pool's reserve for {chain} is low: your {chain} shares now count for PPLNS"
RESTORED = "The pool buys {chain} shares again"


def realm_of(config: Config, port: PortSection) -> str:
    """The realm of a port: ports with the same schemes share one, and it is empty where everything is PPLNS."""
    schemes = config.port_schemes(port)
    return ",".join(f"{name}:{scheme}" for name, scheme in sorted(schemes.items()) if scheme != "pplns")


def scheme_board(config: Config) -> SchemeBoard:
    """The board of the configured schemes. Buying waits until the reserves are known."""
    realms: dict[str, Mapping[str, Scheme]] = {
        realm_of(config, port): config.port_schemes(port) for port in config.stratum.ports
    }
    bought = {}
    for name in config.bought_chains:
        chain = config.chains[name]
        assert chain.pps is not None, "check-config asks for it"
        subsidy = SUBSIDIES[chain.family, chain.network]
        guard = ReserveGuard(chain.pps.minimum_reserve, chain.pps.resume)
        bought[name] = BoughtChain(subsidy, config.pps_fee_ppm(name), guard)
    return SchemeBoard(realms, bought)


def share_buying(
    config: Config,
    board: SchemeBoard,
    books: PpsBooks,
    executor: Executor,
    tell: Callable[[str, Change], None],
    now_ms: Callable[[], int],
) -> ShareBuying:
    """The service that credits what is bought, on every chain: what was bought before the schemes changed is owed."""
    return ShareBuying(books, buying_chains(config, board), executor, tell, now_ms=now_ms)


def buying_chains(config: Config, board: SchemeBoard) -> dict[str, BuyingChain]:
    """By chain, how its shares are bought, if they are."""
    chains = {}
    for name, chain in config.chains.items():
        bought, interval_s = board.bought.get(name), chain.pps.credit_interval_s if chain.pps is not None else HOUR_S
        chains[name] = BuyingChain(None if bought is None else bought.guard, interval_s)
    return chains


def announcement(chain: str, change: Change) -> str:
    """What miners of a chain are told when their scheme changes."""
    return (LOW if change == "low" else RESTORED).format(chain=chain)


def schemes_of(config: Config, chain: str) -> tuple[Scheme, ...]:
    """The schemes that a chain's shares may count under, over all ports, the chain's own first. PPLNS is among them
    wherever shares are bought: it takes over when the reserve is low.
    """
    found = [config.chains[chain].scheme, *(config.port_schemes(port)[chain] for port in config.stratum.ports)]
    used: list[Scheme] = [scheme for scheme in dict.fromkeys(found) if _is_used(config, chain, scheme)]
    if any(scheme in PER_SHARE for scheme in used) and "pplns" not in used:
        used.append("pplns")
    return tuple(used)


def _is_used(config: Config, chain: str, scheme: Scheme) -> bool:
    return any(config.port_schemes(port)[chain] == scheme for port in config.stratum.ports)
