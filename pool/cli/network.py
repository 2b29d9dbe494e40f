"""`pool devnet up`: a local network of our own nodes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

import click


@click.command(short_help="Run a local network of our own nodes (kinds bk and parallel).")
@click.option("--kind", type=click.Choice(["bk", "parallel"]), required=True, help="What kind of network.")
@click.option("--nodes", type=click.IntRange(1, 50), default=5, show_default=True, help="How many nodes.")
@click.option("--k", type=click.IntRange(1, 255), default=8, show_default=True, help="Kind bk: votes of a block.")
@click.option(
    "--seconds", type=click.IntRange(1, 86_400), default=10, show_default=True,
    help="Towards a block (bk) or proof (parallel) every so many seconds.",
)  # fmt: skip
@click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path),
    help="Folder of everything it keeps; ./data/network-KIND otherwise.",
)  # fmt: skip
@click.option("--port", type=click.IntRange(1, 65_000), default=9700, show_default=True, help="The first of its ports.")
@click.option(
    "--hashrate", type=click.IntRange(1, 10**15), default=None,
    help="Hashes a second that the first target is made for, where more than its own miner is to mine it.",
)
@click.option("--miner/--no-miner", default=True, help="Mine on all nodes, with a few per cent of the processor.")
def up(
    kind: str, nodes: int, k: int, seconds: int, data_dir: Path | None, port: int, hashrate: int | None, miner: bool
) -> NoReturn:
    """Run a local network of our own nodes, with a miner, and show what happens. Ctrl-C ends it cleanly.

    Each node is a process of its own that dials all others; a node that is killed is started again and catches up. With
    the same folder and numbers the next start goes on where this one ended.

    \b
    Examples:
      pool devnet up --kind bk --nodes 5 --k 8 --seconds 10
      pool devnet up --kind bk --hashrate 300000 --seconds 20      to be mined by a pool
      pool devnet up --kind parallel --nodes 3 --port 9800
    """
    from pool.devnet.network import HASHES_PER_S, NetworkPlan
    from pool.devnet.network import up as run_up

    folder = data_dir or Path("data") / f"network-{kind}"
    if port + 2 * nodes > 65_536:
        raise click.UsageError(f"--port: {2 * nodes} ports from {port} on do not fit below 65536")
    sys.exit(run_up(NetworkPlan(kind, nodes, k, seconds, folder, port, miner, hashrate or HASHES_PER_S)))
