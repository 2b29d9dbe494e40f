"""Measures shares and new work against a server that checks nothing, and writes docs/performance.md.

    python tests/bench/bench.py [--runs 3] [--seconds 6] [--bad 0.05] [--only shares,blocks,growth] [--processes N]
                                [--previous REF] [--peer NAME=PORT,PID[,PID...][@PID]]

Starts a parent node with 3,000 transactions, five reference nodes of auxiliary chains, the pool with its share log, its
books in SQLite and every other feature on, and the null server. Each figure of ours is taken back to back with the null
server's; what is compared is the ratio of the medians. The server's CPU time is the kernel's own (schedstat), of all
threads and child processes. A share of the stream is wrong (--bad) and every verdict is checked. The pool is measured
with `--processes` front ends (2) too, with the same load in all and with the same load for each. `--previous` measures
another commit the same way, `--peer` a Stratum server that runs already (its difficulty low and fixed); SIGUSR1 to the
process after the @ makes a block for it. Needs a C compiler, and 11,000 open files for 5,000 miners: the limit is
raised where it may be.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

from figures import CLOSED_CONNECTIONS, LOADS, PACED_CONNECTIONS, PACED_PER_S, Figures
from growth import STEP, STEPS
from miners import Connection, connect, prepare
from new_work import MINERS, find_blocks, raise_limits
from report import PREFACE, report
from servers import ROOT, Server, null_server, our_pool, stop_all

PARTS = ("shares", "blocks", "growth")


def measure(server: Server, figures: Figures, kind: str, options: argparse.Namespace, folder: Path) -> None:
    """One run of one kind."""
    of_each = server.processes if kind == "each" else 1
    rate = 0 if kind == "closed" else of_each * PACED_PER_S
    shares = rate * options.seconds or options.shares
    connections = connect(server.port, of_each * PACED_CONNECTIONS if rate else CLOSED_CONNECTIONS)
    try:
        bad = options.bad if server.judges else 0.0
        prepare(connections, shares, bad, folder / "lines")
        time.sleep(0.5)
        before = server.cpu_ns()
        answer = send(connections, folder, rate, server.judges)
        spent = server.cpu_ns() - before
    finally:
        for connection in connections:
            connection.close()
    figures.cost_us[kind].append(spent / 1000 / shares)
    if kind == "paced":
        figures.p50_ms.append(answer["p50_ms"])
        figures.p99_ms.append(answer["p99_ms"])
    elif kind == "closed":
        figures.rate.append(shares / answer["seconds"])


def send(connections: list[Connection], folder: Path, rate: int, check: bool) -> dict[str, float]:
    command = [str(folder / "send_shares"), str(folder / "lines"), str(rate), "4", str(int(check))]
    descriptors = [connection.socket.fileno() for connection in connections]
    done = subprocess.run(command, pass_fds=descriptors, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise SystemExit(f"the answers are not what they should be: {done.stdout}{done.stderr}")
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def measure_blocks(server: Server, figures: Figures, folder: Path) -> None:
    """5,000 miners, each with a login of its own and a job: what 4,000 of them weigh, and how they hear of blocks."""
    connections = connect(server.port, 1000)
    try:
        time.sleep(1)
        before = server.rss_bytes()
        connections += connect(server.port, MINERS - 1000)
        time.sleep(1)
        figures.memory_kib.append((server.rss_bytes() - before) / (MINERS - 1000) / 1024)
        if server.finds is not None:
            find_blocks(server, connections, figures.new_work, folder)
    finally:
        for connection in connections:
            connection.close()
    time.sleep(1)  # they are gone


def measure_growth(server: Server, figures: Figures, folder: Path) -> None:
    """Two million good shares, of one block's time."""
    connections = connect(server.port, 100)
    try:
        for step in range(STEPS + 1):
            if step:
                prepare(connections, STEP, 0.0, folder / "lines", step)
                send(connections, folder, 0, server.judges)
            figures.growth.shares.append(step * STEP)
            figures.growth.rss_bytes.append(server.rss_bytes())
    finally:
        for connection in connections:
            connection.close()


def compile_tools(folder: Path) -> None:
    for name in ("send_shares", "hear_jobs", "null_server"):
        source = Path(__file__).with_name(f"{name}.c")
        subprocess.run(["cc", "-O2", str(source), "-o", str(folder / name)], check=True)


def peers(words: list[str]) -> list[Server]:
    found = []
    for word in words:
        name, _, rest = word.partition("=")
        numbers, _, finds = rest.partition("@")
        port, *pids = (int(part) for part in numbers.split(","))
        found.append(Server(name, port, pids, finds=int(finds) if finds else None))
    return found


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=6, help="of a paced run")
    parser.add_argument("--shares", type=int, default=40_000, help="of a closed loop")
    parser.add_argument("--bad", type=float, default=0.05)
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {','.join(PARTS)}; writes no file")
    parser.add_argument("--processes", type=int, default=2, help="measure with so many front ends as well; 1: do not")
    parser.add_argument("--previous", help="a commit or tag of this repository")
    parser.add_argument("--peer", action="append", default=[], help="NAME=PORT,PID[,PID...][@PID]")
    parser.add_argument("--write", type=Path, default=ROOT / "docs" / "performance.md")
    options = parser.parse_args()
    options.parts = options.only.split(",")
    if not set(options.parts) <= set(PARTS):
        parser.error(f"--only takes {', '.join(PARTS)}")
    raise_limits()
    with tempfile.TemporaryDirectory(prefix="parapool-bench-") as name:
        folder = Path(name)
        try:
            figures = run(options, folder)
        finally:
            stop_all()
    text = report(figures, options)
    print(text)
    if set(options.parts) == set(PARTS):
        options.write.write_text(PREFACE + text)
    return 0


def run(options: argparse.Namespace, folder: Path) -> dict[str, Figures]:
    """Starts everything and measures all of it, one server after the other in each run."""
    compile_tools(folder)
    null = null_server(folder)
    servers = [null, our_pool(folder / "ours", ROOT), *peers(options.peer)]
    if options.processes > 1:
        name = f"ours, {options.processes} processes"
        servers.append(our_pool(folder / "several", ROOT, name, options.processes))
    several = [server for server in servers if server.processes > 1]
    if options.previous:
        servers.append(our_pool(folder / "previous", checkout(options.previous, folder), options.previous))
    figures = {server.name: Figures() for server in servers}
    for number in range(options.runs):
        for kind in LOADS if "shares" in options.parts else ():
            for server in servers if kind != "each" else several:
                measure(server, figures[server.name], kind, options, folder)
                cost = figures[server.name].cost_us[kind][-1]
                print(f"run {number + 1} {kind:6} {server.name:18} {cost:7.2f} us/share", flush=True)
        for server in servers if "blocks" in options.parts else ():
            measure_blocks(server, figures[server.name], folder)
            new_work = figures[server.name].new_work
            if new_work.last_ms:
                last, cost = new_work.last_ms[-1], new_work.cost_us[-1]
                print(f"run {number + 1} blocks {server.name:18} {last:7.1f} ms {cost:7.2f} us/connection", flush=True)
    if "growth" in options.parts:
        measure_growth(servers[1], figures["ours"], folder)
    return figures


def checkout(reference: str, folder: Path) -> Path:
    """The tree of another commit, with its C parts built as its own installation would."""
    tree = folder / "tree"
    tree.mkdir()
    archive = subprocess.run(["git", "archive", reference], cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", str(tree)], input=archive, check=True)
    include = sysconfig.get_path("include")
    for source in tree.glob("*/**/_*.c"):
        target = source.with_suffix(sysconfig.get_config_var("EXT_SUFFIX"))
        command = ["cc", "-O2", "-fPIC", "-shared", "-pthread", f"-I{include}", str(source), "-o", str(target)]
        subprocess.run(command, check=True)
    return tree


if __name__ == "__main__":
    sys.exit(main())
