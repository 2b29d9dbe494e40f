"""The demo's picture of the pool: a live table on a terminal, plain lines on a pipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from pool.devnet.demo.snapshot import Snapshot
from pool.web.units import amount_text, duration_text, hashrate_text

ANY_WIDTH = 10_000  # rich never measures a table as wider than this
BLOCKS_WIDTH = 24  # two states of blocks in a line
_STATE_STYLES = {"ok": "green", "syncing": "yellow"}


class LiveView:
    """Two lines of figures over what each chain has, in the widest form that the terminal has room for: a table with a
    column per figure, one with the credits below each other, lines. Figures are never cut."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(_hash_line(self.snapshot))
        yield Text(_share_line(self.snapshot))
        tables = (_wide_table(self.snapshot), _wide_table(self.snapshot, BLOCKS_WIDTH), _stacked_table(self.snapshot))
        for table in tables:
            if Measurement.get(console, options.update(max_width=ANY_WIDTH), table).maximum <= options.max_width:
                yield table
                return
        for chain in self.snapshot.chains:
            yield Text("\n".join(_chain_lines(self.snapshot, chain)))


def _wide_table(snapshot: Snapshot, blocks_width: int | None = None) -> Table:
    """A row per chain. Credits are the sums over all miners, in smallest units."""
    table = Table(expand=False)
    for name in ("chain", "state"):
        table.add_column(name, no_wrap=True)
    table.add_column("height", justify="right", no_wrap=True)
    table.add_column("blocks found", width=blocks_width)
    for name in ("credits immature", "credits available", "fee"):
        table.add_column(name, justify="right", min_width=15, no_wrap=True)
    for chain in snapshot.chains:
        sums = _sums(snapshot, chain)
        table.add_row(
            escape(chain["name"]), _state(chain), _height(chain), _blocks(chain, sums),
            *(text for _, text in _amounts(sums)),
        )
    return table


def _stacked_table(snapshot: Snapshot) -> Table:
    """The same, a chain's blocks and amounts each below the other."""
    table = Table(expand=False)
    for name in ("chain", "state"):
        table.add_column(name, no_wrap=True)
    table.add_column("height", justify="right", no_wrap=True)
    table.add_column("blocks found", no_wrap=True)
    table.add_column("credits and fee", justify="right", no_wrap=True)
    for chain in snapshot.chains:
        sums = _sums(snapshot, chain)
        table.add_row(
            escape(chain["name"]), _state(chain), _height(chain), _blocks(chain, sums).replace(", ", "\n"),
            "\n".join(f"{name} {text}" for name, text in _amounts(sums)),
        )
    return table


def _chain_lines(snapshot: Snapshot, chain: Mapping[str, Any]) -> list[str]:
    sums = _sums(snapshot, chain)
    state = Text.from_markup(_state(chain)).plain
    amounts = ", ".join(f"{name} {text}" for name, text in _amounts(sums))
    found = f"{_found(chain)}: {_blocks(chain, sums)}"
    return [f"{chain['name']}: {state}, height {_height(chain)}", f"  {found}", f"  {amounts}"]


def plain_lines(snapshot: Snapshot) -> list[str]:
    """The same as text: one line for the pool, one per chain."""
    lines = [f"{_hash_line(snapshot)}; {_share_line(snapshot)}"]
    for chain in snapshot.chains:
        sums = _sums(snapshot, chain)
        lines.append(
            f"  {chain['name']:<8} {chain['state']:<7} height {_height(chain):>5}  "
            f"{_found(chain)}: {_blocks(chain, sums)}  "
            f"credits immature={sums['immature']} available={sums['available']} fee={sums['fee']}{_leading(chain)}"
        )
    return lines


def _leading(chain: Mapping[str, Any]) -> str:
    """What the pool led of a chain of votes."""
    leading = chain.get("leading")
    if leading is None:
        return ""
    return f"  led={leading['led']}" + ("" if leading["ready"] else ", nothing can be signed now")


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


_VOTE_WORDS = {"submitted": "waiting", "immature": "included", "mature": "paid", "orphan": "late or orphaned"}


def _found(chain: Mapping[str, Any]) -> str:
    return "votes" if chain.get("votes") else "blocks"


def _blocks(chain: Mapping[str, Any], sums: Mapping[str, Any]) -> str:
    """`10 immature, 12 mature`, of votes `10 included, 12 paid`; a state without blocks is left out."""
    words = _VOTE_WORDS if chain.get("votes") else {}
    counts = [f"{count:,} {words.get(state, state)}" for state, count in sums["blocks"].items() if count]
    return ", ".join(counts) or "none yet"


def _amounts(sums: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, amount_text(sums[name])) for name in ("immature", "available", "fee")]


def _height(chain: Mapping[str, Any]) -> str:
    return "?" if chain["height"] is None else f"{chain['height']:,}"


def _sums(snapshot: Snapshot, chain: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the books hold for a chain; a chain without a block yet is not in them."""
    nothing: dict[str, Any] = {"blocks": {}, "immature": 0, "available": 0, "fee": 0}
    return snapshot.pool["chains"].get(chain["name"], nothing)
