"""A B_k node as a program, for tests: `python -m support.bk_node DATA PORT RPC K PEER...`."""

from __future__ import annotations

import logging
import random
import sys
from pathlib import Path

from chains.bk.calls import CALLS, REFUSALS
from chains.bk.core import BkCore
from chains.bk.parameters import BkParameters
from chains.peers.hub import PeerLimits
from chains.peers.program import NodeOptions, NodeParts, run_node


def parameters(k: int) -> BkParameters:
    """A vote takes some sixteen hashes."""
    return BkParameters("bk-processes", k=k, interval_s=20, subsidy=1003, maturity_blocks=3, first_difficulty=16)


def main(arguments: list[str]) -> int:
    logging.basicConfig(level=logging.INFO, stream=sys.stdout)
    data, port, rpc, k, *peers = arguments
    core = BkCore(parameters(int(k)), random.Random(random.SystemRandom().getrandbits(64)))
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
