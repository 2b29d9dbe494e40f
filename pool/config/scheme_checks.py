"""The configuration's rules about reward schemes: chains that ports name exist, and bought shares can be paid.

Like the other checks they look at plain values that may be wrong in other ways. Every check returns (location, what was
expected).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from chains.subsidies import SUBSIDIES
from pool.config.chain_checks import ChainFacts, Mistake, mapping_at, members_at
from pool.config.chains import CHAIN_KINDS, network_name_of
from pool.config.lines import Location
from pool.shares.scheme import PER_SHARE


def scheme_mistakes(values: Mapping[str, Any], chains: list[ChainFacts]) -> Iterator[Mistake]:
    """All mistakes in schemes."""
    names = [chain.name for chain in chains]
    yield from _port_chains(values, names)
    for chain in chains:
        yield from _marks(chain)
        where = _buying_place(values, chain)
        if where is not None:
            yield from _cannot_be_bought(chain, where)


def _port_chains(values: Mapping[str, Any], names: list[str]) -> Iterator[Mistake]:
    for place, port in members_at(mapping_at(values, "stratum"), "ports"):
        schemes = port.get("scheme")
        for name in schemes if isinstance(schemes, Mapping) else ():
            if name not in names:
                expected = f"expected chains out of {', '.join(names)}, not {str(name)[:64]!a}"
                yield ("stratum", "ports", place, "scheme"), expected


def _buying_place(values: Mapping[str, Any], chain: ChainFacts) -> Location | None:
    """The key that makes the pool buy shares of a chain; None when none does."""
    own = chain.values.get("scheme")
    if not _ports_override_all(values, chain.name) and own in PER_SHARE:
        return (*chain.location, "scheme")
    for place, port in members_at(mapping_at(values, "stratum"), "ports"):
        scheme = port.get("scheme")
        if isinstance(scheme, Mapping):
            scheme = scheme.get(chain.name)
        if isinstance(scheme, str) and scheme in PER_SHARE:
            return ("stratum", "ports", place, "scheme")
    return None


def _ports_override_all(values: Mapping[str, Any], name: str) -> bool:
    ports = [port.get("scheme") for _, port in members_at(mapping_at(values, "stratum"), "ports")]
    return bool(ports) and all(
        scheme.get(name) is not None if isinstance(scheme, Mapping) else scheme is not None for scheme in ports
    )


def _cannot_be_bought(chain: ChainFacts, where: Location) -> Iterator[Mistake]:
    """Shares are bought from a reserve, by a subsidy that is known."""
    if chain.values.get("pps") is None:
        yield where, f"expected a section pps with minimum_reserve in chain {chain.name}: shares are bought from it"
    if chain.kind is None:
        return  # told as a mistake of that key alone
    default = CHAIN_KINDS[chain.kind].model_fields["family"].default
    family, network_name = chain.values.get("family", default), network_name_of(chain.values, default)
    if len(chain.networks) == 1 and (family, network_name) not in SUBSIDIES:
        yield where, f"expected pplns or solo for chain {chain.name}: no subsidy of {chain.described} is known here"


def _marks(chain: ChainFacts) -> Iterator[Mistake]:
    """Buying stops at a mark and begins again at one that is not lower."""
    section = chain.values.get("pps")
    if not isinstance(section, Mapping):
        return
    minimum, resume = section.get("minimum_reserve"), section.get("resume_reserve")
    if type(minimum) is int and type(resume) is int and resume < minimum:
        yield (*chain.location, "pps", "resume_reserve"), f"expected at least minimum_reserve, which is {minimum}"
