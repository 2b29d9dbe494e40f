"""From a chain's configuration to its nodes: the one place that knows each kind's node class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from chains.auxpow.node import AuxPowNode
from chains.bitcoin.node import BitcoinNode
from chains.bk.node import BkNode
from chains.mm2.node import Mm2Node
from chains.node_glance import NodeGlance
from chains.node_rpc import JsonRpc
from chains.parallel.node import ParallelNode
from chains.primitives.address import address_to_script
from chains.signer.keys import KeyFileError
from pool.config.configuration import (
    AuxpowChain,
    BitcoinChain,
    BkChain,
    ChainSection,
    Config,
    Mm2Chain,
    NodeSection,
    ParallelChain,
)
from pool.leader_keys import public_leader_key
from pool.parallel_setup import SharedNode, network_nodes, node_name
from pool.services.chain_watch import WatchedChain

# A parent's template of 4 MB and its proposal may take a busy node seconds; an auxiliary node has no such excuse.
PARENT_TIMEOUT_S = 20.0
AUX_TIMEOUT_S = 3.0


def watched_chains(config: Config, names: Iterable[str] | None = None) -> dict[str, WatchedChain]:
    """These chains with their nodes; every configured one, the parent first, when none are named. Raises OSError when a
    file with a secret cannot be read."""
    names = [config.parent, *config.aux_chains] if names is None else list(names)
    if config.transport.jobs == "follow":  # no node is asked here
        bare = {name: config.chains[name].model_copy(update={"nodes": ()}) for name in names}
        return {name: _watched(name, chain, config.pool.data_dir, ()) for name, chain in bare.items()}
    shared = network_nodes(config, names, lambda section, name: node_rpc(section, name, AUX_TIMEOUT_S))
    return {
        name: _watched(name, config.chains[name], config.pool.data_dir, shared.get(name, ())) for name in names
    }


def strict_chains(config: Config) -> frozenset[str]:
    """The MM1 chains that refuse a parent version with their own chain id."""
    return frozenset(
        name
        for name, chain in config.aux_chains.items()
        if isinstance(chain, AuxpowChain) and chain.rpc_dialect().strict_chain_id
    )


def _watched(name: str, chain: ChainSection, data_dir: Path, shared: Sequence[SharedNode]) -> WatchedChain:
    """One chain with its nodes; `shared` are those of its network, where it has them in common with other chains."""
    net = chain.chain_network
    script = address_to_script(chain.address, net.addresses)
    former_addresses = chain.former_addresses
    former = [address_to_script(text, net.addresses) for text in former_addresses]
    nodes: list[Any] = []
    glances: list[NodeGlance] = []
    for number, section in enumerate(chain.nodes):
        own_name = node_name(name, number)
        if isinstance(chain, ParallelChain):
            glances.append(shared[number].glance)
            nodes.append(ParallelNode(name, shared[number].node, waits_for_bodies=chain.waits_for_bodies))
            continue
        rpc = node_rpc(section, own_name, PARENT_TIMEOUT_S if isinstance(chain, BitcoinChain) else AUX_TIMEOUT_S)
        glances.append(NodeGlance(rpc))
        if isinstance(chain, BitcoinChain):
            nodes.append(BitcoinNode(name, own_name, rpc, script, net, former))
        elif isinstance(chain, AuxpowChain):
            dialect = chain.rpc_dialect()
            chain_id = chain.chain_id
            nodes.append(AuxPowNode(name, own_name, rpc, chain.address, net, dialect, chain_id, former_addresses))
        elif isinstance(chain, Mm2Chain):
            nodes.append(Mm2Node(name, own_name, rpc, chain.address, net, chain.context_name, former_addresses))
        elif isinstance(chain, BkChain):
            key = leader_key(chain, data_dir, name)
            nodes.append(BkNode(name, own_name, rpc, chain.address, net, chain.context_name, key, former_addresses))
    return WatchedChain(name, chain.kind, net, nodes, script, chain.away_s, glances)


def leader_key(chain: BkChain, data_dir: Path, name: str) -> bytes:
    """Whom the chain's votes name. Raises OSError."""
    try:
        return public_leader_key(chain.leader_key_in(data_dir, name))
    except KeyFileError as error:
        raise OSError(str(error)) from error


def node_rpc(section: NodeSection, name: str, timeout_s: float) -> JsonRpc:
    """A client of one node. Raises OSError or UnicodeDecodeError when its password file cannot be read."""
    return JsonRpc(
        section.url,
        user=section.user,
        password=section.read_password(),
        cookie_file=section.cookie_file,
        timeout_s=timeout_s,
        name=name,
    )
