"""From the configuration to the nodes of consensus-proof networks, shared by all the pool's chains of one network."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from chains.node_glance import NodeGlance
from chains.node_rpc import JsonRpc
from chains.parallel.network_node import NetworkNode, PaidChain
from chains.primitives.address import address_to_script
from pool.config.configuration import Config, NodeSection, ParallelChain


class SharedNode(NamedTuple):
    """A node, and what is looked at for the metrics."""

    node: NetworkNode
    glance: NodeGlance


def network_members(config: Config, network_name: str) -> dict[str, ParallelChain]:
    """The pool's chains of a network, in the file's order."""
    return {
        name: chain
        for name, chain in config.aux_chains.items()
        if isinstance(chain, ParallelChain) and chain.network_name == network_name
    }


def network_name_of(config: Config, name: str) -> str | None:
    """The network of consensus proofs that a chain is under, None for chains of other kinds."""
    chain = config.chains.get(name)
    return chain.network_name if isinstance(chain, ParallelChain) else None


def network_nodes(
    config: Config, names: Iterable[str], open_rpc: Callable[[NodeSection, str], JsonRpc]
) -> dict[str, list[SharedNode]]:
    """By chain, of those among `names` that are under consensus proofs, the nodes of its network: the same ones for
    chains of the same network. Raises OSError or UnicodeDecodeError when a password file cannot be read."""
    found: dict[str, list[SharedNode]] = {}
    opened: dict[str, list[SharedNode]] = {}
    for name in names:
        chain = config.chains[name]
        if isinstance(chain, ParallelChain):
            if chain.network_name not in opened:
                opened[chain.network_name] = _open(config, chain, open_rpc)
            found[name] = opened[chain.network_name]
    return found


def _open(
    config: Config, chain: ParallelChain, open_rpc: Callable[[NodeSection, str], JsonRpc]
) -> list[SharedNode]:
    members = network_members(config, chain.network_name)
    nodes: list[SharedNode] = []
    for number, section in enumerate(chain.nodes):
        name = node_name(shared_name(members), number)
        paid = [_paid(member_name, member, number) for member_name, member in members.items()]
        rpc = open_rpc(section, name)
        nodes.append(SharedNode(NetworkNode(name, rpc, chain.context, paid, chain.genesis_hash), NodeGlance(rpc)))
    return nodes


def _paid(name: str, chain: ParallelChain, number: int) -> PaidChain:
    form = chain.chain_network.addresses
    former = tuple(address_to_script(text, form) for text in chain.former_addresses)
    script = address_to_script(chain.address, form)
    maturity = min(chain.maturity_blocks, chain.credit_maturity - 1)
    return PaidChain(name, node_name(name, number), chain.chain_name, script, former, maturity)


def shared_name(members: Iterable[str]) -> str:
    """What logs call the chains of a network together."""
    return "+".join(members)


def node_name(chain: str, number: int) -> str:
    """What logs and records of found blocks call a chain's node."""
    return f"{chain}[{number}]"
