"""What a local network of our own nodes looks like: one snapshot of all nodes, as a table or as plain lines."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

CALL_S = 3.0
HASH_DIGITS = 16
SHORT_DIGITS = 8
ANY_WIDTH = 10_000  # rich never measures a table as wider than this


@dataclass(frozen=True, slots=True)
class NodeView:
    """One node; `tip` is None while it does not answer. `detail` is what its kind shows besides."""

    name: str
    pid: int
    port: int
    rpc_port: int
    starts: int
    peers: int = 0
    height: int = 0
    tip: str | None = None
    detail: str = ""


def call(rpc_port: int, method: str, *parameters: Any) -> Any:
    """A reading call. Raises OSError or ValueError when there is no proper answer."""
    body = json.dumps({"id": 1, "method": method, "params": parameters}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{rpc_port}/", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=CALL_S) as answer:
        return json.loads(answer.read())["result"]


def look(kind: str, name: str, pid: int, port: int, rpc_port: int, starts: int) -> NodeView:
    """What a node says of itself now."""
    try:
        peers = call(rpc_port, "getconnectioncount")
        view = call(rpc_port, "getchainview")
    except (OSError, ValueError, urllib.error.URLError):
        return NodeView(name, pid, port, rpc_port, starts)
    if kind == "bk":
        tip, height = view["bestblockhash"], view["blocks"]
        votes = call_or_none(rpc_port, "getblock", tip)
        detail = f"{votes['votes_for'] if votes else '?'} of {view['k']} for the next"
    else:
        tip, height = view["tip"], view["height"]
        detail = ", ".join(f"{chain['chain']} {chain['height']}" for chain in view["chains"]) or "follows none"
    return NodeView(name, pid, port, rpc_port, starts, peers, height, tip, detail)


def call_or_none(rpc_port: int, method: str, *parameters: Any) -> Any:
    try:
        return call(rpc_port, method, *parameters)
    except (OSError, ValueError):
        return None


def verdict(nodes: Sequence[NodeView]) -> str:
    """Whether the nodes agree, in a sentence."""
    answering = [node for node in nodes if node.tip is not None]
    if not answering:
        return "no node answers"
    tips = {node.tip for node in answering}
    heights = sorted({node.height for node in answering})
    away = f", {len(nodes) - len(answering)} do not answer" if len(answering) < len(nodes) else ""
    if len(tips) == 1:
        return f"{len(answering)} nodes agree on height {heights[-1]}{away}"
    return f"{len(tips)} tips at heights {heights[0]} to {heights[-1]}{away}"


class LiveView:
    """The nodes in the widest form that the terminal has room for: everything, without the ports, lines. Nothing is
    cut."""

    def __init__(self, kind: str, nodes: Sequence[NodeView]) -> None:
        self._kind = kind
        self._nodes = nodes

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for wide in (True, False):
            found = self._table(wide)
            if Measurement.get(console, options.update(max_width=ANY_WIDTH), found).maximum <= options.max_width:
                yield found
                return
        yield Text("\n".join(plain_lines(self._nodes)))

    def _table(self, wide: bool) -> Table:
        found = Table(title=verdict(self._nodes), title_justify="left", expand=False)
        ports = ("port", "RPC") if wide else ()
        what = "chains" if self._kind == "parallel" else "votes"
        for column in ("node", "process", *ports, "peers", "height", "tip", what):
            found.add_column(column, justify="right" if column in ("peers", "height") else "left", no_wrap=True)
        for node in self._nodes:
            process = str(node.pid) if node.starts == 1 else f"{node.pid}, start {node.starts}"
            where = (str(node.port), str(node.rpc_port)) if wide else ()
            figures = ("", "", "no answer", "") if node.tip is None else (
                str(node.peers), str(node.height), node.tip[-HASH_DIGITS if wide else -SHORT_DIGITS :], node.detail
            )  # fmt: skip
            found.add_row(node.name, process, *where, *figures)
        return found


def plain_lines(nodes: Sequence[NodeView]) -> list[str]:
    lines = [verdict(nodes)]
    for node in nodes:
        state = "no answer" if node.tip is None else (
            f"peers {node.peers} height {node.height} tip {node.tip[-HASH_DIGITS:]} {node.detail}"
        )  # fmt: skip
        lines.append(f"  {node.name} process {node.pid}: {state}")
    return lines
