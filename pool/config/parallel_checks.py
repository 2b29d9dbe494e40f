"""The configuration's rules about chains under consensus proofs (kind parallel): what those of one network share, and
what each has for itself.

One question to one node brings the work for all of a network's chains, so their nodes and how these are asked are the
same. Every check returns (location, what was expected); the plain values may be wrong in other ways.
"""

from __future__ import annotations

from collections.abc import Iterator

from pool.config.chain_checks import MM2_KINDS, ChainFacts, Mistake
from pool.config.parallel_chain import CONTEXT_PREFIX

SHARED = ("nodes", "genesis", "poll_interval_s", "away_s")


def parallel_mistakes(chains: list[ChainFacts]) -> Iterator[Mistake]:
    """All mistakes in them."""
    first: dict[str, ChainFacts] = {}
    named: dict[tuple[str, str], str] = {}
    for chain in chains:
        network_name, chain_name = chain.values.get("network_name"), chain.values.get("chain_name")
        if chain.kind != "parallel" or not isinstance(network_name, str):
            continue
        yield from _context_mistakes(chain, network_name, chains)
        yield from _shared_mistakes(chain, first.setdefault(network_name, chain))
        if isinstance(chain_name, str):
            other = named.setdefault((network_name, chain_name), chain.name)
            if other != chain.name:
                yield (
                    (*chain.location, "chain_name"),
                    f"expected another chain of {network_name}, {other} is {chain_name} already",
                )


def _shared_mistakes(chain: ChainFacts, first: ChainFacts) -> Iterator[Mistake]:
    for key in SHARED:
        if chain.values.get(key) != first.values.get(key):
            place = (*chain.location, key) if key in chain.values else chain.location
            network_name = chain.values["network_name"]
            yield (
                place,
                f"expected the same {key} as chains.{first.name}: both are chains of the network {network_name}",
            )


def _context_mistakes(chain: ChainFacts, network_name: str, chains: list[ChainFacts]) -> Iterator[Mistake]:
    """A chain of another kind whose context is the network's."""
    for other in chains:
        if other.kind in MM2_KINDS and other.values.get("context_name") == CONTEXT_PREFIX + network_name:
            yield (
                (*chain.location, "network_name"),
                f"expected another network: its context is that of chain {other.name}, {CONTEXT_PREFIX}{network_name}",
            )
