"""The figures as docs/performance.md tells them."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from figures import BARS, LOADS, Figures
from new_work import MINERS
from servers import ROOT

PREFACE = """# Performance

Written by `make bench` (tests/bench/bench.py says what it does and what can be compared). Absolute times move with the
machine and with what else it does; a figure is worth what its ratio to the null server says, which was measured back to
back with it: the same load on a server of one C file that answers `true` and looks at nothing. CPU time is that of all
threads of all the server's processes, its idle work included. The parent's template has 3,000 transactions, 3.4 MB,
twelve merkle levels; five auxiliary chains are checked for every share, the share log and the books are on, and every
answer is compared with the verdict that it should be.

A new block is timed from the parent node's finding it, its long poll being answered with the whole template, to the
clean job of the last of 5,000 miners; the null server has its job ready. The CPU time of a block is everything that the
pool spends in the 2 s after it, template and jobs included, less what it spends in that time without a block.

"""
BLOCK_BAR, BROADCAST_BAR = 2.2, 1.5
SEVERAL_BAR = 1.1
CONNECTION_BAR_KIB = 8
FLAT_MIB = 4.0
"""So much more at most for a second million of shares, which a pool of 20,000 miners may take between two blocks."""


def report(figures: dict[str, Figures], options: argparse.Namespace) -> str:
    tables = [f"{machine()}. {options.runs} runs each, medians [least-most], {options.bad:.0%} of the shares wrong.\n"]
    if "shares" in options.parts:
        tables += [_costs(figures), _several(figures), _answers(figures)]
    if "blocks" in options.parts:
        tables += [_blocks(figures), _memory(figures)]
    if "growth" in options.parts:
        tables.append(_growth(figures["ours"]))
    return "\n".join(table for table in tables if table)


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.1f} [{min(values):.1f}-{max(values):.1f}]"


def _ratio(own: float, null: float, bar: str, is_null: bool) -> list[str]:
    return [f"{null:.2f}", *(["", ""] if is_null else [f"{own / null:.1f}×", bar])]


def _costs(figures: dict[str, Figures]) -> str:
    null = figures["null"]
    rows = []
    for name, own in figures.items():
        for kind, (bar, goal) in BARS.items():
            ratio = _ratio(own.cost(kind), null.cost(kind), f"{bar:g}× ({goal:g}×)", name == "null")
            rows.append([name, LOADS[kind], _spread(own.cost_us[kind]), *ratio])
    return _table(["server", "load", "µs CPU per share", "null", "ratio", "bar (goal)"], rows)


def _several(figures: dict[str, Figures]) -> str:
    """What more processes cost: at the load that one had, shared by them, and with that load for each of them."""
    rows = []
    for name, own in figures.items():
        if name.startswith("ours,"):
            for kind, load in LOADS.items():
                cost, one = own.cost(kind), figures["ours"].cost("paced" if kind == "each" else kind)
                bar = f"{SEVERAL_BAR}×"
                rows.append([name, load, f"{cost:.1f}", f"{one:.1f}", f"{cost / one:.2f}×", bar])
    titles = ["server", "load", "µs CPU per share", "one process", "ratio", "bar"]
    return _table(titles, rows) if rows else ""


def _answers(figures: dict[str, Figures]) -> str:
    rows = []
    for name, own in figures.items():
        p50, p99, rate = map(statistics.median, (own.p50_ms, own.p99_ms, own.rate))
        rows.append([name, f"{p50:.1f}, {p99:.1f}", f"{rate:,.0f}"])
    return _table(["server", "answer p50, p99 at 1,000/s, ms", "closed loop, shares/s"], rows)


def _blocks(figures: dict[str, Figures]) -> str:
    null = figures["null"].new_work
    rows = []
    for name, own in figures.items():
        new_work = own.new_work
        if new_work.last_ms:
            what = f"new block, last of {MINERS:,}, ms"
            ratio = _ratio(new_work.last, null.last, f"{BLOCK_BAR}×", name == "null")
            rows.append([name, what, _spread(new_work.last_ms), *ratio])
            ratio = _ratio(new_work.cost, null.cost, f"{BROADCAST_BAR}×", name == "null")
            rows.append([name, "broadcast, µs CPU per connection", _spread(new_work.cost_us), *ratio])
    first = ", ".join(
        f"{name} {statistics.median(own.new_work.first_ms):.1f} and {statistics.median(own.new_work.median_ms):.1f}"
        for name, own in figures.items()
        if own.new_work.first_ms
    )
    table = _table(["server", "new work", "", "null", "ratio", "bar"], rows)
    return f"{table}\nFirst and median miner, ms: {first}.\n"


def _memory(figures: dict[str, Figures]) -> str:
    rows = [
        [name, f"{statistics.median(own.memory_kib):.1f}", "" if name == "null" else f"{CONNECTION_BAR_KIB}"]
        for name, own in figures.items()
    ]
    return _table(["server", f"KiB per connection, 1,000 to {MINERS:,}", "bar"], rows)


def _growth(own: Figures) -> str:
    growth = own.growth
    sizes = ", ".join(f"{size / 2**20:.1f}" for size in growth.rss_bytes)
    grown_mib = growth.grown_bytes() / 2**20
    verdict = "flat" if grown_mib <= FLAT_MIB else "it grows"
    return (
        f"Memory over {growth.shares[-1]:,} shares without a new block: the second half needed {grown_mib:+.1f} MiB "
        f"({verdict}; {FLAT_MIB:g} is the bar), a slope of {growth.slope():.1f} bytes per share. MiB after every "
        f"{growth.shares[1]:,}: {sizes}.\n"
    )


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
