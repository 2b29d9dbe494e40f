"""`pool devnet node NAME`: a node made of the chain's own section of the configuration.

The pool and its nodes read one file, so they cannot disagree about ports, logins, chain ids or contexts.
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import SplitResult, urlsplit

from chains.families import network
from chains.reference.run import serve
from chains.reference.settings import NodeSettings
from pool.config.configuration import AuxpowChain, ChainSection, Config, Mm2Chain
from pool.devnet.network_node import NETWORK_KINDS, run_network_node

LOOPBACK = ("127.0.0.1", "localhost")
DEVNET_FAMILIES = ("devnet", "devnet-scrypt")
# A retargeting chain starts and ends at so many expected hashes; scrypt miners make some hundred times fewer a second.
SCRYPT_START_HASHES, SCRYPT_LEAST_HASHES = 2**12, 2**8

# What the first target expects of the miners: about half of what the bundled miner does on one core.
FIRST_HASHES_PER_S = 2**19


class DevnetError(Exception):
    """The configuration's chain cannot be a reference node; the message says what was expected."""


def run_node(config: Config, name: str, block_interval_s: int | None) -> int:
    """Run the node of a chain until SIGINT or SIGTERM; the exit code. A network of our own has an interval of its own.
    Raises DevnetError."""
    chain = _chain_of(config, name)
    if chain.kind in NETWORK_KINDS:
        url, user, password = _address_and_login(name, chain)
        return run_network_node(config, name, url, f"{user}:{password}")
    return serve(node_settings(config, name, block_interval_s))


def _chain_of(config: Config, name: str) -> ChainSection:
    chain = config.chains.get(name)
    if chain is None:
        raise DevnetError(f"no chain {name!a} in the configuration, expected one of {', '.join(config.chains)}")
    return chain


def _address_and_login(name: str, chain: ChainSection) -> tuple[SplitResult, str, str]:
    """Where the node is to listen, and the user and password it lets in."""
    node = chain.nodes[0]
    url = urlsplit(node.url)
    if url.hostname not in LOOPBACK or url.port is None or url.scheme != "http":
        raise DevnetError(f"chains.{name}.nodes.0.url: expected http://127.0.0.1:PORT, a node of this machine")
    password = node.read_password()
    if node.user is None or password is None:
        raise DevnetError(f"chains.{name}.nodes.0: expected user and password")
    return url, node.user, password


def node_settings(config: Config, name: str, block_interval_s: int | None) -> NodeSettings:
    """How the chain's reference node is started. Its wallet's seed is the chain's name. Raises DevnetError."""
    chain = _chain_of(config, name)
    if chain.family not in DEVNET_FAMILIES:
        raise DevnetError(
            f"chains.{name}.family: expected {' or '.join(DEVNET_FAMILIES)}; the node of family {chain.family} is its "
            "own daemon"
        )
    url, user, password = _address_and_login(name, chain)
    assert url.port is not None, "looked at before"
    parent_network = network(config.parent_chain.family, config.parent_chain.network)
    start_hashes = FIRST_HASHES_PER_S * (block_interval_s or 1)
    settings = NodeSettings(
        kind=chain.kind,
        name=name,
        port=url.port,
        user=user,
        password=password,
        data_dir=config.pool.data_dir / "nodes" / name,
        seed=name,
        block_interval_s=block_interval_s,
        start_hashes=start_hashes,
        maturity=max(1, chain.credit_maturity - 1),  # its wallet adds one
        pow_hash=parent_network.pow_hash,
    )
    if parent_network.pow_hash == "scrypt":
        settings = replace(settings, start_hashes=SCRYPT_START_HASHES, least_hashes=SCRYPT_LEAST_HASHES)
    if isinstance(chain, AuxpowChain):
        return replace(settings, chain_id=_chain_id(chain), dialect=_dialect(name, chain))
    if isinstance(chain, Mm2Chain):
        return replace(settings, context_name=chain.context_name)
    return settings


def _chain_id(chain: AuxpowChain) -> int:
    if chain.chain_id is not None:
        return chain.chain_id
    return 98 if chain.dialect == "dogecoin" else 1


def _dialect(name: str, chain: AuxpowChain) -> str:
    if not isinstance(chain.dialect, str):
        raise DevnetError(f"chains.{name}.dialect: expected namecoin or dogecoin, which a reference node speaks")
    return chain.dialect
