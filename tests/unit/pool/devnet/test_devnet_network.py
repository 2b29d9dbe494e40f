"""`pool devnet up`: what it starts, what it shows."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from chains.network_run import _parser
from chains.primitives.target import bits_to_target
from pool.cli.commands import commands
from pool.devnet.network import HASHES_PER_S, NetworkPlan
from pool.devnet.network_miner import Hasher
from pool.devnet.network_view import LiveView, NodeView, plain_lines, verdict


def plan(kind: str = "bk", count: int = 3) -> NetworkPlan:
    return NetworkPlan(kind, count, k=8, interval_s=10, data_dir=Path("x"), first_port=9700)


def node(name: str, tip: str | None, height: int = 5, starts: int = 1) -> NodeView:
    return NodeView(name, 77, 9700, 9701, starts, 2, height, tip, "3 of 8 for the next")


def test_devnet_network_nodes_dial_all_others_and_share_one_file() -> None:
    given = _parser().parse_args(plan().node_command(1)[4:])
    assert given.peer == ["127.0.0.1:9700", "127.0.0.1:9704"]
    assert (given.port, given.rpc_port, given.data) == (9702, 9703, Path("x/node1"))
    assert given.devnet and given.open_reads and given.wallet
    assert {str(_parser().parse_args(plan().node_command(i)[4:]).network) for i in range(3)} == {"x/network.yaml"}
    assert len(plan().ports()) == 6


def test_devnet_network_targets_fit_the_miner() -> None:
    """All miners together find what makes a block about every `interval_s`."""
    bk = plan().network()["network"]
    assert bk["first_difficulty"] * bk["k"] == HASHES_PER_S * 10
    for_a_pool = replace(plan(), hashrate=500_000).network()["network"]
    assert for_a_pool["first_difficulty"] * 8 == 500_000 * 10
    bits = int(plan("parallel").network()["network"]["first_bits"], 16)
    hashes = 2**256 // bits_to_target(bits)
    assert 0.99 < hashes / (HASHES_PER_S * 10) < 1.01
    assert json.dumps(plan("parallel").network())


def shown(kind: str, views: list[NodeView], width: int) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(LiveView(kind, views))
    return out.getvalue()


@pytest.mark.parametrize(
    ("views", "said"),
    [
        ([node("a", None)], "no node answers"),
        ([node("a", "t"), node("b", "t")], "2 nodes agree on height 5"),
        ([node("a", "t"), node("b", None)], "1 nodes agree on height 5, 1 do not answer"),
        ([node("a", "t"), node("b", "u", 6)], "2 tips at heights 5 to 6"),
    ],
)
def test_devnet_network_verdict(views: list[NodeView], said: str) -> None:
    assert verdict(views) == said
    assert plain_lines(views)[0] == said
    assert len(plain_lines(views)) == 1 + len(views)
    for width in (140, 80, 40):
        text = shown("bk", views, width)
        assert said in " ".join(text.split())
        assert ("no answer" in text) == any(view.tip is None for view in views)
        assert "…" not in text


def test_devnet_network_restarted_node_is_marked() -> None:
    assert "77, start 2" in shown("parallel", [node("a", "t", starts=2)], 140)


def test_devnet_network_hasher_finds_what_is_there_and_goes_on_behind_it() -> None:
    hasher = Hasher(bytes(80), 2**248)
    found = []
    for _ in range(40):
        header = hasher.look(100)
        if header is not None:
            found.append(int.from_bytes(header[76:], "little"))
    assert len(found) >= 3 and found == sorted(set(found))
    nothing = Hasher(bytes(80), 0)
    assert nothing.look(1000) is None and not nothing.used_up


def test_devnet_network_command_names_wrong_use() -> None:
    runner = CliRunner()
    assert "--kind" in runner.invoke(commands, ["devnet", "up"]).output
    result = runner.invoke(commands, ["devnet", "up", "--kind", "bk", "--nodes", "50", "--port", "65001"])
    assert result.exit_code == 2 and "--port" in result.output
    result = runner.invoke(commands, ["devnet", "up", "--kind", "bitcoin"])
    assert result.exit_code == 2 and "'bk', 'parallel'" in result.output
