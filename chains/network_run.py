"""Start one node of our own networks: `python -m chains.network_run --network FILE --data DIR --port 9733 …`.

FILE says kind and numbers of the network (chains/network_nodes.py); everything that belongs to this one node is an
option. Prints `READY pid=… port=… rpc=… key=…` when it answers; ends on SIGTERM, SIGINT or the call `stop`. Exit code 0
after an orderly end, 1 when something it needs cannot be used, 2 for wrong arguments. `--docs KIND` prints the calls of
a kind as Markdown.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chains.calls.documents import reference_page
from chains.calls.table import CallTable
from chains.network_nodes import NETWORK_NODES, NetworkFile, NetworkFileError, open_node, read_network_file
from chains.peers.hub import MAX_INBOUND, PeerLimits
from chains.peers.peer_calls import PEER_CALLS
from chains.peers.program import NodeOptions, run_node
from chains.peers.sources import AddressError, split_address
from chains.signer.keys import KeyFileError, create_key, read_key

WALLET_NAME = "wallet.key"
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"

# The smallest network of each kind, of which only the calls matter.
_SAMPLES: dict[str, dict[str, Any]] = {"bk": {"name": "sample"}, "parallel": {"name": "sample"}}


def documents(kind: str) -> str:
    """The calls of a node of this kind, as Markdown."""
    parts = open_node(NetworkFile(kind, _SAMPLES[kind]), random.Random(0), ())
    return reference_page(f"Calls of a node of kind {kind}", CallTable((*PEER_CALLS, *parts.calls)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m chains.network_run", description="Run one node of a network.")
    parser.add_argument("--docs", choices=sorted(NETWORK_NODES), metavar="KIND", help="print a kind's calls and end")
    parser.add_argument("--network", type=Path, metavar="FILE", help="kind and numbers, the same for all nodes")
    parser.add_argument("--data", type=Path, metavar="DIR", help="where this node keeps what is its own")
    parser.add_argument("--host", default="127.0.0.1", help="address that peers connect to")
    parser.add_argument("--port", type=int, default=0, help="port that peers connect to; 0: any, -1: none")
    parser.add_argument("--peer", action="append", default=[], metavar="HOST:PORT", help="whom to dial; several times")
    parser.add_argument("--rpc-host", default="127.0.0.1", help="address of the calls; HTTP without TLS")
    parser.add_argument("--rpc-port", type=int, default=0, help="port of the calls; 0: any")
    parser.add_argument("--login", metavar="FILE", help="file (mode 0600) with user:password, besides DIR/.cookie")
    parser.add_argument("--open-reads", action="store_true", help="calls that only read need no login on this machine")
    parser.add_argument("--max-inbound", type=int, default=MAX_INBOUND, help="peers that may dial us")
    parser.add_argument("--devnet", action="store_true", help="never limit or ban loopback addresses (keys still are)")
    parser.add_argument("--wallet", action="store_true", help="hold the key of an account in DIR/wallet.key")
    parser.add_argument("--log-level", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    parser = _parser()
    given = parser.parse_args(argv)
    if given.docs is not None:
        print(documents(given.docs), end="")
        return 0
    if given.network is None or given.data is None:
        parser.error("--network and --data are required")
    try:
        for address in given.peer:
            split_address(address)
    except AddressError as error:
        parser.error(f"--peer: {error}")
    logging.basicConfig(level=given.log_level, stream=sys.stdout, format=LOG_FORMAT)
    try:
        file = read_network_file(given.network)
        given.data.mkdir(parents=True, exist_ok=True)
        parts = open_node(file, random.Random(random.SystemRandom().getrandbits(256)), _secrets(given))
        login = None if given.login is None else _login(Path(given.login))
    except (NetworkFileError, KeyFileError, OSError) as error:
        print(f"node: {error}", file=sys.stderr)
        return 1
    options = NodeOptions(
        data_dir=given.data,
        host=given.host,
        port=None if given.port < 0 else given.port,
        peers=tuple(given.peer),
        rpc_host=given.rpc_host,
        rpc_port=given.rpc_port,
        login=login,
        open_reads=given.open_reads,
        limits=PeerLimits(inbound=given.max_inbound, exempt_loopback=given.devnet),
    )
    return run_node(parts, options)


def _secrets(given: argparse.Namespace) -> list[bytes]:
    path = given.data / WALLET_NAME
    if not given.wallet:
        return []
    return [read_key(path) if path.exists() else create_key(path)]


def _login(path: Path) -> str:
    """Raises OSError and KeyFileError."""
    if path.stat().st_mode & 0o077:
        raise KeyFileError(f"{path}: others may read it, expected mode 0600")
    login = path.read_text().strip()
    if ":" not in login or "\n" in login:
        raise KeyFileError(f"{path}: expected one line, user:password")
    return login


if __name__ == "__main__":
    sys.exit(main())
