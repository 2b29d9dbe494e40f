"""Start one reference node: `python -m chains.reference.run --kind bitcoin --name regbtc --port 18443 ...`.

Prints one line, `READY pid=PID port=PORT`, when the RPC port answers; ends on SIGTERM, SIGINT or the RPC `stop`. Exit
code 0 after an orderly end, 1 when the port or the data cannot be used, 2 for wrong arguments.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from chains.devnet_nodes import DEVNET_NODES
from chains.primitives.hashes import POW_HASHES
from chains.reference.rules import COIN_SAT, LEAST_EXPECTED_HASHES, REGTEST_BITS, START_EXPECTED_HASHES
from chains.reference.server import Changes, Server
from chains.reference.settings import NodeSettings, SettingsError
from chains.reference.store import StoreError


def _now_s() -> int:
    return int(time.time())


async def serve_forever(settings: NodeSettings) -> int:
    """Run a node until it is told to end; the exit code."""
    changes = Changes()
    try:
        devnet = DEVNET_NODES[settings.kind](settings, _now_s, changes)
    except (SettingsError, StoreError, OSError) as error:
        print(f"{settings.name}: {error}", file=sys.stderr)
        return 1
    server = Server(settings, devnet, changes)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stopped.set)
    try:
        port = await server.start()
        print(f"READY pid={os.getpid()} port={port}", flush=True)
        await server.stopped.wait()
    except OSError as error:
        print(f"{settings.name}: port {settings.port}: {error}", file=sys.stderr)
        return 1
    finally:
        await server.close()
    return 0


def serve(settings: NodeSettings) -> int:
    """As `serve_forever`, with an event loop of its own; what the `pool devnet node` command calls."""
    return asyncio.run(serve_forever(settings))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m chains.reference.run", description="Run one devnet node.")
    parser.add_argument("--kind", required=True, choices=sorted(DEVNET_NODES))
    parser.add_argument("--name", required=True, help="the chain's name; part of its genesis block")
    parser.add_argument("--port", required=True, type=int, help="RPC port on 127.0.0.1; 0 lets the system choose")
    parser.add_argument("--user", required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="where the chain is kept")
    parser.add_argument("--seed", required=True, help="the wallet's keys and the chain's genesis are made from it")
    parser.add_argument("--pow-hash", default="sha256d", choices=sorted(POW_HASHES), help="the parent's proof of work")
    parser.add_argument("--chain-id", type=int, default=1, help="kind auxpow: the MM1 chain id")
    parser.add_argument("--dialect", default="namecoin", choices=("namecoin", "dogecoin"), help="kind auxpow")
    parser.add_argument("--context-name", default="", help="kind mm2: the name that is hashed to the context")
    parser.add_argument("--block-interval-s", type=int, help="retarget each block towards this interval")
    parser.add_argument("--start-hashes", type=int, default=START_EXPECTED_HASHES, help="expected hashes at the start")
    parser.add_argument("--least-hashes", type=int, default=LEAST_EXPECTED_HASHES, help="never easier than this")
    parser.add_argument("--bits", type=lambda text: int(text, 16), default=REGTEST_BITS, help="fixed bits, hex")
    parser.add_argument("--maturity", type=int, default=10, help="blocks until a coinbase can be spent")
    parser.add_argument("--subsidy-sat", type=int, default=50 * COIN_SAT)
    parser.add_argument("--trickle-s", type=float, default=0, help="pause between the wallet's payments to itself")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    parsed = _parser().parse_args(argv)
    settings = NodeSettings(
        kind=parsed.kind,
        name=parsed.name,
        port=parsed.port,
        user=parsed.user,
        password=parsed.password,
        data_dir=parsed.data,
        seed=parsed.seed,
        block_interval_s=parsed.block_interval_s,
        bits=parsed.bits,
        start_hashes=parsed.start_hashes,
        least_hashes=parsed.least_hashes,
        maturity=parsed.maturity,
        subsidy_sat=parsed.subsidy_sat,
        trickle_s=parsed.trickle_s,
        pow_hash=parsed.pow_hash,
        chain_id=parsed.chain_id,
        dialect=parsed.dialect,
        context_name=parsed.context_name,
    )
    return serve(settings)


if __name__ == "__main__":
    sys.exit(main())
