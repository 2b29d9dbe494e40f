"""The demo's picture of the pool: a live table on a terminal, plain lines on a pipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pool.demo.snapshot import Snapshot
from pool.web.units import amount_text, duration_text, hashrate_text

_STATE_STYLES = {"ok": "green", "syncing": "yellow"}


def live_view(snapshot: Snapshot) -> RenderableType:
    """Two lines of figures over a row per chain. Credits are the sums over all miners, in smallest units."""
    table = Table(expand=False)
    for name in ("chain", "state"):
        table.add_column(name)
    table.add_column("height", justify="right")
    table.add_column("blocks found")
    for name in ("credits immature", "credits available"):
        table.add_column(name, justify="right", min_width=15)
    for chain in snapshot.chains:
        sums = _sums(snapshot, chain)
        table.add_row(
            escape(chain["name"]), _state(chain), _height(chain), _blocks(sums),
            amount_text(sums["immature"]), amount_text(sums["available"]),
        )
    return Group(Text(_hash_line(snapshot)), Text(_share_line(snapshot)), table)


def plain_lines(snapshot: Snapshot) -> list[str]:
    """The same as text: one line for the pool, one per chain."""
    lines = [f"{_hash_line(snapshot)}; {_share_line(snapshot)}"]
    for chain in snapshot.chains:
        sums = _sums(snapshot, chain)
        lines.append(
            f"  {chain['name']:<8} {chain['state']:<7} height {_height(chain):>5}  blocks: {_blocks(sums)}  "
            f"credits immature={sums['immature']} available={sums['available']} fee={sums['fee']}"
        )
    return lines


def _hash_line(snapshot: Snapshot) -> str:
    pool = snapshot.pool
    up = duration_text((pool["now_ms"] - pool["started_ms"]) / 1000)
    return f"hashrate {hashrate_text(snapshot.hashrate)}, connections {pool['connections']}, up {up}"


def _share_line(snapshot: Snapshot) -> str:
    shares = snapshot.pool["shares"]
    rejected = [f"{count:,} {reason.replace('_', ' ')}" for reason, count in sorted(shares["rejected"].items())]
    return f"shares: {shares['accepted']:,} accepted, {', '.join(rejected) or '0 rejected'}"


def _state(chain: Mapping[str, Any]) -> str:
    if chain["state"] == "ok" and not chain["in_tree"]:
        return "[yellow]ok, not in jobs[/]"
    return f"[{_STATE_STYLES.get(chain['state'], 'red')}]{escape(chain['state'])}[/]"


def _blocks(sums: Mapping[str, Any]) -> str:
    """`10 immature, 12 mature`; a state without blocks is left out."""
    return ", ".join(f"{count:,} {state}" for state, count in sums["blocks"].items() if count) or "none yet"


def _height(chain: Mapping[str, Any]) -> str:
    return "?" if chain["height"] is None else f"{chain['height']:,}"


def _sums(snapshot: Snapshot, chain: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the books hold for a chain; a chain without a block yet is not in them."""
    nothing: dict[str, Any] = {"blocks": {}, "immature": 0, "available": 0, "fee": 0}
    return snapshot.pool["chains"].get(chain["name"], nothing)
