"""The status page: the API's own answers as one small HTML page, without script, that reloads itself."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from pool.web.units import amount_text, duration_text, hashrate_text

REFRESH_S = 5
TEXT_COLUMNS = frozenset({"Kind", "State", "In jobs", "Hash"})
BLOCK_STATES = ("submitted", "immature", "mature", "orphan", "rejected", "lost")

STYLE = """
:root{color-scheme:light dark;--line:light-dark(#d5d9e0,#3a3f47);--dim:light-dark(#5c6470,#9aa3ae);
--ok:light-dark(#1a7f37,#4ac26b);--bad:light-dark(#c62828,#ff7b72)}
body{font:15px/1.5 system-ui,sans-serif;max-width:80rem;margin:2rem auto;padding:0 1rem;
background:light-dark(#fff,#16191d);color:light-dark(#1b1f24,#e4e7eb)}
h1{margin:0;font-size:1.5rem}h2{font-size:1.05rem;margin:1.8rem 0 .4rem}
p{margin:.3rem 0}.dim{color:var(--dim)}.ok{color:var(--ok)}.bad{color:var(--bad)}
div{overflow-x:auto}@media(max-width:56rem){div{background:right/1.5rem 100% no-repeat
linear-gradient(to left,light-dark(#e8ebf0,#2a2f36),transparent 1.5rem)}}table{border-collapse:collapse;width:100%}
th,td{padding:.3rem .5rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th{font-weight:600;color:var(--dim)}th:first-child,td:first-child,.text{text-align:left}
td{font-variant-numeric:tabular-nums}code{font:13px ui-monospace,monospace}
"""
STYLE_HASH = "sha256-" + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()


def status_page(
    pool: Mapping[str, Any], chains: Sequence[Mapping[str, Any]], blocks: Sequence[Mapping[str, Any]],
    problems: Sequence[str],
) -> str:
    """The whole page. Every word that is not ours goes through `escape`."""
    shares = pool["shares"]
    rejected = sum(shares["rejected"].values())
    trouble = escape("; ".join(problems))
    health = f'<span class="bad">{trouble}</span>' if problems else '<span class="ok">all well</span>'
    up = duration_text((pool["now_ms"] - pool["started_ms"]) / 1000)
    ports = ", ".join(f"<code>{escape(url)}</code>" for url in pool["stratum"])
    figures = _table(
        ("Hashrate, 5 min", "Connections", "Workers", "Accepted shares", "Rejected shares"),
        [(hashrate_text(pool["hashrate"]), *(f"{n:,}" for n in (
            pool["connections"], pool["workers"], shares["accepted"], rejected)))],
    )
    found = {chain: sums["blocks"] for chain, sums in pool["chains"].items()}
    chain_rows = [
        (
            escape(chain["name"]), escape(chain["kind"]), _state(chain["state"]), "yes" if chain["in_tree"] else "no",
            "" if chain["height"] is None else f"{chain['height']:,}",
            *(f"{found.get(chain['name'], {}).get(state, 0):,}" for state in BLOCK_STATES),
        )
        for chain in chains
    ]
    block_rows = [
        (
            escape(block["chain"]), f"{block['height']:,}", f"<code>{escape(block['hash'][:16])}…</code>",
            escape(block["state"]), "" if block["reward"] is None else amount_text(block["reward"]),
            duration_text((pool["now_ms"] - block["found_ms"]) / 1000) + " ago",
        )
        for block in blocks
    ]
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="refresh" content="{REFRESH_S}"><title>{escape(pool["name"])}</title><style>{STYLE}</style></head>
<body><h1>{escape(pool["name"])}</h1>
<p>{health} <span class="dim">· up {up} · {escape(pool["algorithm"])} · fee {pool["fee_ppm"] / 10_000:g} %</span></p>
<p class="dim">Mine here: {ports}</p>
{figures}
<h2>Chains, and the blocks found on each by state</h2>
{_table(("Chain", "Kind", "State", "In jobs", "Height", *(state.capitalize() for state in BLOCK_STATES)), chain_rows)}
<h2>Newest blocks</h2>
{_table(("Chain", "Height", "Hash", "State", "Reward", "Found"), block_rows) if block_rows else "<p>None yet.</p>"}
<p class="dim">Rewards are in each chain's smallest unit. The same as JSON: <a href="/api/v1/pool">/api/v1/pool</a>,
<a href="/api/v1/chains">chains</a>, <a href="/api/v1/blocks">blocks</a>, /api/v1/miners/ADDRESS.</p>
</body></html>
"""


def _state(state: str) -> str:
    return f'<span class="{"ok" if state == "ok" else "bad"}">{escape(state.replace("_", " "))}</span>'


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are HTML already."""
    opening = [' class="text">' if name in TEXT_COLUMNS else ">" for name in heads]
    head = "".join(f"<th{tag}{name}</th>" for tag, name in zip(opening, heads, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{tag}{cell}</td>" for tag, cell in zip(opening, row, strict=True)) + "</tr>"
        for row in rows
    )
    return f"<div><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
