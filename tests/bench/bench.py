"""Measures the share path against a server that checks nothing, and writes docs/performance.md.

    python tests/bench/bench.py [--runs 3] [--seconds 6] [--bad 0.05] [--previous REF] [--peer NAME=PORT,PID[,PID...]]

Starts a parent node with 2,500 transactions, five reference nodes of auxiliary chains, the pool with its share log, its
books in SQLite and every other feature on, and the null server. Each figure of ours is taken back to back with the null
server's; what is compared is the ratio of the medians. The server's CPU time is the kernel's own (schedstat), of all
threads. A share of the stream is wrong (--bad) and every verdict is checked. `--previous` measures another commit the
same way, `--peer` a Stratum server that runs already (its difficulty low and fixed). Needs a C compiler.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from miners import Connection, connect, prepare
from servers import ROOT, Server, null_server, our_pool, stop_all

BARS = {"paced": (4.0, 3.0), "closed": (12.0, 8.0)}
TITLES = {"paced": "1,000 shares/s over 100 connections", "closed": "closed loop, 1,000 connections"}


@dataclass
class Figures:
    """Of one server: µs of CPU per share by kind of run, answer times, and KiB per connection."""

    cost_us: dict[str, list[float]] = field(default_factory=lambda: {"paced": [], "closed": []})
    rate: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    memory_kib: list[float] = field(default_factory=list)

    def cost(self, kind: str) -> float:
        return statistics.median(self.cost_us[kind])


def measure(server: Server, figures: Figures, kind: str, options: argparse.Namespace, folder: Path) -> None:
    """One run of one kind."""
    count = 100 if kind == "paced" else 1000
    shares = 1000 * options.seconds if kind == "paced" else options.shares
    connections = connect(server.port, count)
    try:
        bad = options.bad if server.judges else 0.0
        prepare(connections, shares, bad, folder / "lines")
        time.sleep(0.5)
        before = server.cpu_ns()
        answer = send(connections, folder, 1000 if kind == "paced" else 0, server.judges)
        spent = server.cpu_ns() - before
    finally:
        for connection in connections:
            connection.close()
    figures.cost_us[kind].append(spent / 1000 / shares)
    if kind == "paced":
        figures.p50_ms.append(answer["p50_ms"])
        figures.p99_ms.append(answer["p99_ms"])
    else:
        figures.rate.append(shares / answer["seconds"])


def send(connections: list[Connection], folder: Path, rate: int, check: bool) -> dict[str, float]:
    command = [str(folder / "send_shares"), str(folder / "lines"), str(rate), "4", str(int(check))]
    descriptors = [connection.socket.fileno() for connection in connections]
    done = subprocess.run(command, pass_fds=descriptors, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise SystemExit(f"the answers are not what they should be: {done.stdout}{done.stderr}")
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def memory(server: Server, figures: Figures) -> None:
    """What 4,000 more connections weigh, each with a login of its own and a job."""
    few = connect(server.port, 1000)
    try:
        time.sleep(1)
        before = server.rss_bytes()
        more = connect(server.port, 4000)
        time.sleep(1)
        figures.memory_kib.append((server.rss_bytes() - before) / 4000 / 1024)
        for connection in more:
            connection.close()
    finally:
        for connection in few:
            connection.close()


def compile_tools(folder: Path) -> None:
    for name in ("send_shares", "null_server"):
        source = Path(__file__).with_name(f"{name}.c")
        subprocess.run(["cc", "-O2", str(source), "-o", str(folder / name)], check=True)


def peers(words: list[str]) -> list[Server]:
    found = []
    for word in words:
        name, _, rest = word.partition("=")
        port, *pids = (int(part) for part in rest.split(","))
        found.append(Server(name, port, pids))
    return found


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=6, help="of a paced run")
    parser.add_argument("--shares", type=int, default=40_000, help="of a closed loop")
    parser.add_argument("--bad", type=float, default=0.05)
    parser.add_argument("--previous", help="a commit or tag of this repository")
    parser.add_argument("--peer", action="append", default=[], help="NAME=PORT,PID[,PID...]")
    parser.add_argument("--write", type=Path, default=ROOT / "docs" / "performance.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="parapool-bench-") as name:
        folder = Path(name)
        try:
            figures = run(options, folder)
        finally:
            stop_all()
    text = report(figures, options)
    print(text)
    options.write.write_text(PREFACE + text)
    return 0


def run(options: argparse.Namespace, folder: Path) -> dict[str, Figures]:
    """Starts everything and measures all of it, one server after the other in each run."""
    compile_tools(folder)
    null = null_server(folder)
    servers = [null, our_pool(folder / "ours", ROOT), *peers(options.peer)]
    if options.previous:
        servers.append(our_pool(folder / "previous", checkout(options.previous, folder), options.previous))
    figures = {server.name: Figures() for server in servers}
    for number in range(options.runs):
        for kind in BARS:
            for server in servers:
                measure(server, figures[server.name], kind, options, folder)
                cost = figures[server.name].cost_us[kind][-1]
                print(f"run {number + 1} {kind:6} {server.name:12} {cost:7.2f} us/share", flush=True)
    for server in servers:
        memory(server, figures[server.name])
    return figures


def checkout(reference: str, folder: Path) -> Path:
    """The tree of another commit, with its C parts built as its own installation would."""
    tree = folder / "tree"
    tree.mkdir()
    archive = subprocess.run(["git", "archive", reference], cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", str(tree)], input=archive, check=True)
    include = sysconfig.get_path("include")
    for source in (*tree.glob("chains/primitives/_*.c"), *tree.glob("stratum/_*.c")):
        target = source.with_suffix(sysconfig.get_config_var("EXT_SUFFIX"))
        subprocess.run(["cc", "-O2", "-fPIC", "-shared", f"-I{include}", str(source), "-o", str(target)], check=True)
    return tree


PREFACE = """# Performance

Written by `make bench` (tests/bench/bench.py says what it does and what can be compared). Absolute times move with the
machine and with what else it does; a figure is worth what its ratio to the null server says, which was measured back to
back with it: the same load on a server of one C file that answers `true` and looks at nothing. CPU time is that of all
threads of the process, its idle work included. The parent's template has twelve merkle levels, five auxiliary chains
are checked for every share, the share log and the books are on, and every answer is compared with the verdict that it
should be.

"""


def report(figures: dict[str, Figures], options: argparse.Namespace) -> str:
    null = figures["null"]
    lines = [f"{machine()}. {options.runs} runs each, medians [least-most], {options.bad:.0%} of the shares wrong.", ""]
    lines += ["| server | load | µs CPU per share | null | ratio | bar (goal) |", "|---|---|---|---|---|---|"]
    for name, own in figures.items():
        for kind, (bar, goal) in BARS.items():
            costs, ratio = own.cost_us[kind], own.cost(kind) / null.cost(kind)
            spread = f"{own.cost(kind):.1f} [{min(costs):.1f}-{max(costs):.1f}]"
            last = "" if name == "null" else f" {ratio:.1f}× | {bar:g}× ({goal:g}×)"
            lines.append(f"| {name} | {TITLES[kind]} | {spread} | {null.cost(kind):.2f} |{last or ' | '} |")
    titles = ("server", "answer p50, p99 at 1,000/s, ms", "closed loop, shares/s", "KiB per connection, 1,000 to 5,000")
    lines += ["", f"| {' | '.join(titles)} |"]
    lines += ["|---|---|---|---|"]
    for name, own in figures.items():
        p50, p99, rate = map(statistics.median, (own.p50_ms, own.p99_ms, own.rate))
        lines.append(f"| {name} | {p50:.1f}, {p99:.1f} | {rate:,.0f} | {own.memory_kib[0]:.1f} |")
    return "\n".join(lines) + "\n"


def machine() -> str:
    facts = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in facts if line.startswith("model name")), "?")
    command = ["git", "describe", "--always", "--dirty"]
    revision = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    load = os.getloadavg()[1]
    return (
        f"{time.strftime('%Y-%m-%d')}, {revision.stdout.strip() or 'no git'}, Python {platform.python_version()}, "
        f"{os.cpu_count()} cores {model}, Linux {platform.release()}, load average {load:.1f}"
    )


if __name__ == "__main__":
    sys.exit(main())
