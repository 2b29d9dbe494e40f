"""`pool devnet node NAME` for the kinds whose networks have no nodes but ours: one node that is a network of its own.

Like the reference nodes it is made of the chain's own section: name of the network, port, login; of a consensus-proof
network, of the sections of all its chains. What else a network needs is fixed here, so that the next start finds the
same chain. Its wallet's key follows from the chain's name (of several, the first's), which is why the address can stand
in the file; its coins are worth nothing.
"""

from __future__ import annotations

import hashlib
import logging
import random
import sys
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import SplitResult

from chains.network_nodes import NetworkFile, open_node
from chains.network_run import LOG_FORMAT
from chains.peers.hub import PeerLimits
from chains.peers.program import NodeOptions, run_node
from chains.primitives.target import target_to_bits
from pool.config.configuration import BkChain, Config, ParallelChain
from pool.parallel_setup import network_members

HASHES_PER_S = 2**19
"""What the first target expects of the miners: about half of what the bundled miner does on one core."""

VOTES = 8
BLOCK_INTERVAL_S = 20
"""Towards a block every so many seconds: what is mined in the seconds after one, before a job tells of it, is late."""

COINS = 50_00000000

PROOF_INTERVAL_S = 6
HALF_LIFE_S = 60
"""So that the first minute finds the miner's rate."""


def network_of(config: Config, name: str) -> Mapping[str, Any]:
    """The numbers of the network that the chain is of (chains/network_nodes.py)."""
    return _NETWORKS[config.chains[name].kind](config, name)


def run_network_node(config: Config, name: str, url: SplitResult, login: str) -> int:
    """Run until SIGINT or SIGTERM; the exit code. Nobody dials it, and it dials nobody."""
    chain = config.chains[name]
    owner = _owner(config, name)
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format=LOG_FORMAT)
    chance = random.Random(random.SystemRandom().getrandbits(256))
    parts = open_node(NetworkFile(chain.kind, network_of(config, name)), chance, [wallet_secret(owner)])
    folder = config.pool.data_dir / "nodes" / owner
    folder.mkdir(parents=True, exist_ok=True)
    assert url.hostname is not None and url.port is not None, "looked at before"
    options = NodeOptions(
        data_dir=folder, port=None, rpc_host="127.0.0.1", rpc_port=url.port, login=login,
        limits=PeerLimits(exempt_loopback=True),
    )  # fmt: skip
    return run_node(parts, options)


def _owner(config: Config, name: str) -> str:
    """The chain that names the node: of several chains of one network the first."""
    chain = config.chains[name]
    return next(iter(network_members(config, chain.network_name))) if isinstance(chain, ParallelChain) else name


def wallet_secret(name: str) -> bytes:
    """The key of the node's account."""
    return hashlib.sha256(b"parapool devnet wallet " + name.encode()).digest()


def _bk(config: Config, name: str) -> Mapping[str, Any]:
    chain = config.chains[name]
    assert isinstance(chain, BkChain)
    return {
        "name": chain.context_name,
        "k": VOTES,
        "interval_s": BLOCK_INTERVAL_S,
        "subsidy": COINS,
        "maturity_blocks": max(1, chain.credit_maturity - 1),
        "first_difficulty": HASHES_PER_S * BLOCK_INTERVAL_S // VOTES,
    }


def _parallel(config: Config, name: str) -> Mapping[str, Any]:
    chain = config.chains[name]
    assert isinstance(chain, ParallelChain)
    return {
        "name": chain.network_name,
        "mode": "aux",
        "first_bits": f"{target_to_bits(2**256 // (HASHES_PER_S * PROOF_INTERVAL_S)):08x}",
        "interval_s": PROOF_INTERVAL_S,
        "half_life_s": HALF_LIFE_S,
        "chains": [
            {
                "name": member.chain_name,
                "context_name": f"{member.chain_name} of {chain.network_name}",
                "subsidy": COINS,
                "maturity_blocks": member.maturity_blocks,
                "hrp": member.hrp,
            }
            for member in network_members(config, chain.network_name).values()
        ],
    }


_NETWORKS: dict[str, Callable[[Config, str], Mapping[str, Any]]] = {"bk": _bk, "parallel": _parallel}

NETWORK_KINDS = frozenset(_NETWORKS)
