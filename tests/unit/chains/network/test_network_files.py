"""The file of a network: the examples of deploy/ are good, mistakes are named; the generated pages are up to date."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from chains.network_nodes import NETWORK_NODES, NetworkFileError, open_node, read_network_file
from chains.network_run import documents, main
from pool.devnet.network import NetworkPlan

ROOT = Path(__file__).parents[4]
SECRET = b"\x01" * 32


@pytest.mark.parametrize("kind", sorted(NETWORK_NODES))
def test_network_files_examples_open_a_node(kind: str) -> None:
    file = read_network_file(ROOT / "deploy" / "networks" / f"{kind}.yaml")
    assert file.kind == kind
    parts = open_node(file, random.Random(1), [SECRET])
    assert len(parts.core.network) == len(parts.core.genesis) == 32
    assert {"getchainview", "listaccounts"} <= {call.name for call in parts.calls}


@pytest.mark.parametrize("kind", sorted(NETWORK_NODES))
def test_network_files_of_devnet_up_are_good(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "network.yaml"
    path.write_text(json.dumps(NetworkPlan(kind, 5, 8, 10, tmp_path, 9700).network()))
    parts = open_node(read_network_file(path), random.Random(1), ())
    assert parts.core.messages


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the file: expected an object"),
        ("{", "while parsing"),
        ("kind: bitcoin\nnetwork: {}", "kind: expected bk or parallel"),
        ("network: {}", "kind"),
        ("kind: bk", "network: expected an object"),
        ("kind: bk\nnetwork: {name: x}\nmore: 1", "more: no such key"),
        ("kind: bk\nnetwork: {}", "name"),
        ("kind: bk\nnetwork: {name: x, votes: 3}", "votes: no such key"),
        ("kind: bk\nnetwork: {name: x, k: eight}", "k: expected an integer"),
        ("kind: bk\nnetwork: {name: x, k: 0}", "network: .*k"),
        ("kind: bk\nnetwork: {name: x, k: 100000000}", "network: .*k"),
        ("kind: parallel\nnetwork: {name: x, chains: {}}", "chains: expected a list"),
        ("kind: parallel\nnetwork: {name: x, first_bits: 12}", "first_bits"),
    ],
)
def test_network_files_mistakes_are_named(text: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "network.yaml"
    path.write_text(text)
    with pytest.raises(NetworkFileError, match=problem):
        open_node(read_network_file(path), random.Random(1), ())


def test_network_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(NetworkFileError, match="No such file"):
        read_network_file(tmp_path / "none")
    (tmp_path / "big").write_bytes(bytes(1_000_001))
    with pytest.raises(NetworkFileError, match="more than"):
        read_network_file(tmp_path / "big")


@pytest.mark.parametrize("kind", sorted(NETWORK_NODES))
def test_network_files_pages_of_calls_are_those_of_the_tables(kind: str) -> None:
    page = (ROOT / "docs" / "reference" / f"calls-{kind}.md").read_text()
    again = f"python -m chains.network_run --docs {kind} > docs/reference/calls-{kind}.md"
    assert page == documents(kind), f"the table has changed: {again}"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "--network and --data are required"),
        (["--network", "x", "--data", "y", "--peer", "nowhere"], 2, "peer 'nowhere': expected HOST:PORT"),
        (["--network", "/nonexistent", "--data", "y"], 1, "No such file"),
    ],
)
def test_network_run_wrong_use_is_said(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        got = main(arguments)
    except SystemExit as ended:
        got = int(ended.code or 0)
    assert got == code and said in capsys.readouterr().err
