"""What the demo starts: command lines, the miner's login, the ports it needs."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pool.chain_setup import watched_chains
from pool.cli.commands import commands
from pool.config.configuration import load
from pool.devnet.demo.demo import demo, invitation
from pool.devnet.demo.plan import DemoPlan, Port, port_problems
from pool.shares.route import route_login
from stratum.words import parse_login

DEVNET = str(Path(__file__).parents[5] / "deploy" / "devnet.yaml")
CHAINS = ("regbtc", "regnmc", "regdoge", "alpha", "beta", "votes", "north", "south")
NODES = CHAINS[:-1]  # the last two share one
LOGINS = "".join(f"+{name}=same" for name in CHAINS[1:])


@pytest.fixture
def plan(tmp_path: Path) -> DemoPlan:
    overrides = {
        "pool.data_dir": str(tmp_path), "stratum.ports.0.bind": "127.0.0.1:3340", "http.bind": "127.0.0.1:8090"
    }
    return DemoPlan(DEVNET, load(DEVNET, overrides), overrides)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def parsed(command: list[str]) -> dict[str, object]:
    """What click makes of a command line of ours: its parameters, without running it."""
    assert command[:4] == [sys.executable, "-P", "-m", "pool"]
    found, context, words = commands, commands.make_context("pool", command[4:]), command[4:]
    while hasattr(found, "commands"):
        _, found, words = found.resolve_command(context, words)
        context = found.make_context(found.name, list(words), parent=context)
    return context.params


def test_demo_plan_nodes_and_pool_get_the_same_configuration(plan: DemoPlan, tmp_path: Path):
    sets = (f"pool.data_dir={tmp_path}", "stratum.ports.0.bind=127.0.0.1:3340", "http.bind=127.0.0.1:8090")
    node = parsed(plan.node_command("alpha"))
    assert (node["name"], node["config_file"], node["overrides"]) == ("alpha", DEVNET, sets)
    pool = parsed(plan.pool_command())
    assert (pool["config_file"], pool["overrides"]) == (DEVNET, sets)


def test_demo_plan_miner_command(plan: DemoPlan):
    mine = parsed(plan.miner_command())
    assert mine["url"] == "stratum+tcp://127.0.0.1:3340"
    assert (mine["algorithm"], mine["threads"]) == ("sha256d", 1)
    assert mine["user"] == f"{plan.miner_address}{LOGINS}.demo"


def test_demo_plan_login_is_credited_on_every_chain(plan: DemoPlan):
    networks = {name: chain.network for name, chain in watched_chains(plan.config).items()}
    routed = route_login(parse_login(plan.login("demo")), {}, networks, "regbtc")
    assert routed.remarks == ()
    assert {name: account.kind for name, account in routed.route.accounts.items()} == dict.fromkeys(CHAINS, "miner")


def test_demo_plan_ports_are_those_of_the_configuration(plan: DemoPlan):
    assert [(port.number, port.purpose) for port in plan.ports()] == [
        *((19501 + index, f"the RPC of node {name}") for index, name in enumerate(NODES)),
        (3340, "Stratum"),
        (8090, "HTTP"),
    ]


def test_demo_port_in_use_is_said_before_anything_starts(
    plan: DemoPlan, taken_port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    overrides = {**plan.overrides, "http.bind": f"127.0.0.1:{taken_port}"}
    for index, name in enumerate(CHAINS):
        overrides[f"chains.{name}.nodes.0.url"] = f"http://127.0.0.1:{taken_port + 1 + min(index, len(NODES) - 1)}"
    assert demo(DEVNET, overrides, miner=False) == 1
    error = capsys.readouterr().err
    assert f"port {taken_port} for HTTP is in use already; choose another with HTTP_PORT=… make demo\n" in error
    assert not (tmp_path / "logs").exists()


def test_demo_node_port_in_use_names_the_node(taken_port: int):
    (problem,) = port_problems([Port("127.0.0.1", taken_port, "the RPC of node alpha", "change it")])
    assert problem == f"port {taken_port} for the RPC of node alpha is in use already; change it"


def test_demo_one_port_for_two_purposes():
    (problem,) = port_problems([Port("127.0.0.1", 3341, "Stratum", "a"), Port("127.0.0.1", 3341, "HTTP", "b")])
    assert problem == "port 3341 is wanted by both Stratum and HTTP; b"


def test_demo_address_that_is_not_ours():
    (problem,) = port_problems([Port("192.0.2.1", 3341, "HTTP", "remedy")])
    assert problem.startswith("port 3341 for HTTP cannot be opened on 192.0.2.1 (")


def test_demo_invitation_has_lines_to_copy(plan: DemoPlan):
    lines = invitation(plan).splitlines()
    login = f"{plan.miner_address}{LOGINS}.rig1"
    mine = next(line for line in lines if " mine stratum+tcp://" in line)
    assert mine.endswith(f"pool mine stratum+tcp://127.0.0.1:3340 -u {login} -p x --algorithm sha256d")
    assert any(line.startswith("  minerd -a sha256d -o stratum+tcp://127.0.0.1:3340 -u ") for line in lines)
    assert any("host 127.0.0.1, port 3340" in line for line in lines)
    assert "http://127.0.0.1:8090/" in invitation(plan)
