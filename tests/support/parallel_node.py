"""A consensus-proof node as a program, for tests: `python -m support.parallel_node DATA PORT RPC CHAINS PEER...`.

CHAINS are names of the devnet's chains, joined by commas; `-` follows none.
"""

from __future__ import annotations

import logging
import random
import sys
from pathlib import Path

from chains.parallel.core import ParallelCore
from chains.parallel.description import DEVNET, read_network
from chains.parallel.table import CALLS, REFUSALS
from chains.peers.hub import PeerLimits
from chains.peers.program import NodeOptions, NodeParts, run_node


def main(arguments: list[str]) -> int:
    logging.basicConfig(level=logging.INFO, stream=sys.stdout)
    data, port, rpc, names, *peers = arguments
    network, chains = read_network(DEVNET)
    core = ParallelCore(network, [one for one in chains if one.name in names.split(",")], random.SystemRandom())
    options = NodeOptions(
        Path(data),
        port=int(port),
        peers=tuple(peers),
        rpc_port=int(rpc),
        login="user:secret",
        limits=PeerLimits(exempt_loopback=True),
    )
    return run_node(NodeParts(core, CALLS, REFUSALS), options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
