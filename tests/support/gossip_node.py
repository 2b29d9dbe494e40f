"""The toy node as a program, for tests of real processes: `python -m support.gossip_node DATA PORT RPC PEER...`."""

from __future__ import annotations

import logging
import random
import sys
from pathlib import Path
from typing import Any

from chains.calls.table import INTEGER, TEXT, WAIT_PARAMETER, Access, Call, Parameter, Waited
from chains.peers.hub import PeerLimits
from chains.peers.program import NodeOptions, NodeParts, run_node
from support.gossip import GossipCore


def getitems(core: GossipCore) -> dict[str, Any]:
    return {"count": len(core.items), "digest": core.digest()}


def waitforitems(core: GossipCore, count: int) -> Waited:
    return Waited(getitems(core), len(core.items) >= count)



CALLS = (
    Call("getitems", "", Access.READ, (), "", getitems),
    Call("waitforitems", "", Access.READ, (Parameter("count", INTEGER, ""), WAIT_PARAMETER), "", waitforitems,
         waits="items"),
    Call("add", "", Access.WRITE, (Parameter("text", TEXT, ""),), ""),
)  # fmt: skip


def main(arguments: list[str]) -> int:
    logging.basicConfig(level=logging.INFO, stream=sys.stdout)
    data, port, rpc, *peers = arguments
    options = NodeOptions(
        Path(data),
        port=int(port),
        peers=tuple(peers),
        rpc_port=int(rpc),
        login="user:secret",
        open_reads=True,
        limits=PeerLimits(exempt_loopback=True),
    )
    return run_node(NodeParts(GossipCore(random.SystemRandom()), CALLS), options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
