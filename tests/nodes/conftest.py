from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from aux_nodes import AuxNode, start_children, stop_children
from node_daemons import PAYOUT_SCRIPT, RealNode, start_bcoin, start_litecoind
from spending import COINBASE_MATURITY, peg_in

from chains.bitcoin.node import BitcoinNode

MWEB_HEIGHT = 432
START: dict[str, Callable[[Path], RealNode]] = {"litecoind": start_litecoind, "bcoin": start_bcoin}


@pytest.fixture(scope="session")
def litecoin_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNode]:
    node = start_litecoind(tmp_path_factory.mktemp("litecoind"))
    yield node
    node.stop()


@pytest.fixture(scope="session")
def bcoin_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNode]:
    node = start_bcoin(tmp_path_factory.mktemp("bcoin"))
    yield node
    node.stop()


@pytest.fixture(scope="session")
def mweb_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNode]:
    """A litecoind with a wallet above its first MWEB block, which needs a peg-in: without one there is no template."""
    node = start_litecoind(tmp_path_factory.mktemp("mweb"))
    try:
        node.call("createwallet", "w")
        node.call("generatetoaddress", MWEB_HEIGHT - 1 - node.call("getblockcount"), node.call("getnewaddress"))
        peg_in(node)
        node.generate(1)
        yield node
    finally:
        node.stop()


@pytest.fixture(scope="session")
def wallet_node(litecoin_node: RealNode) -> RealNode:
    """The litecoind below the MWEB height, with a wallet that has something to spend."""
    litecoin_node.call("createwallet", "w")
    litecoin_node.call("generatetoaddress", 10, litecoin_node.call("getnewaddress"))
    litecoin_node.generate(COINBASE_MATURITY)
    return litecoin_node


@pytest.fixture(scope="session")
def children(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], dict[str, AuxNode]]]:
    """The four auxiliary nodes of a proof of work, sha256d or scrypt, started when first asked for."""
    started: dict[str, dict[str, AuxNode]] = {}

    def start(pow_hash: str) -> dict[str, AuxNode]:
        if pow_hash not in started:
            started[pow_hash] = start_children(tmp_path_factory.mktemp(f"children-{pow_hash}"), pow_hash)
        return started[pow_hash]

    yield start
    for nodes in started.values():
        stop_children(nodes)


@pytest.fixture(params=["litecoin_node", "bcoin_node"])
def real_node(request: pytest.FixtureRequest) -> RealNode:
    """Each daemon in turn, shared by all tests; a test takes the tip as it finds it."""
    node: RealNode = request.getfixturevalue(request.param)
    return node


@pytest.fixture
def start_node(tmp_path: Path) -> Iterator[Callable[[str], RealNode]]:
    """Starts a daemon of the test's own by name, litecoind or bcoin, and ends it with the test."""
    started: list[RealNode] = []

    def start(name: str) -> RealNode:
        node = START[name](tmp_path / f"{name}-{len(started)}")
        started.append(node)
        return node

    yield start
    for node in started:
        node.stop()


@pytest.fixture
async def chain_node(real_node: RealNode) -> AsyncIterator[BitcoinNode]:
    """Our edge to the daemon, as the pool would configure it."""
    node = BitcoinNode("parent", real_node.name, real_node.client(), PAYOUT_SCRIPT, real_node.network)
    yield node
    await node.close()
