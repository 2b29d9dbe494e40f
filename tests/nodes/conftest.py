from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from node_daemons import PAYOUT_SCRIPT, RealNode, start_bcoin, start_litecoind

from chains.bitcoin.node import BitcoinNode

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
