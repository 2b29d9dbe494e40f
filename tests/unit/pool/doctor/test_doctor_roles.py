"""The doctor of a process with one role: it looks at what that one needs, and needs nothing that it must not have."""

from __future__ import annotations

import shutil
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from doctor_world import DoctorWorld, picked

from pool.config.configuration import load
from pool.doctor import node_clock
from pool.doctor.doctor import examine
from pool.doctor.finding import Result
from pool.doctor.place_checks import certificate_findings
from pool.storage.database import upgrade
from stratum.certificate_end import certificate_end_s

CERTIFICATES = Path(__file__).parents[3] / "fixtures" / "tls"
PLACE = {"data folder", "disk"}
OF_A_NODE = {"answers", "network", "synced", "latency", "peers", "clock", "submission", "template"}
JOB = {"job", "block proposal", "coinbase", "AuxPoW proof", "MM2 proof", "own rules"}


@pytest.fixture
def roles(world: DoctorWorld) -> DoctorWorld:
    """The file of a pool of several processes, whose secrets are files: each process may read its own only."""
    for name, text in {"redis": "redis://127.0.0.1:9/0", "node": "devnet", "wallet": "devnet"}.items():
        (world.directory / name).write_text(text + "\n")
        (world.directory / name).chmod(0o600)
    world.values["pool"]["database_url"] = f"sqlite:///{world.directory}/books.sqlite"
    world.values["transport"] = {"kind": "redis", "redis_url_file": str(world.directory / "redis")}
    for name in world.nodes:
        world.set_node(name, password=None, password_file=str(world.directory / "node"))
    world.chain("regbtc")["payouts"] = {
        "minimum_payout": 1000, "wallet_url": world.node_section("regbtc")["url"], "user": "devnet",
        "password_file": str(world.directory / "wallet"),
    }  # fmt: skip
    upgrade(world.values["pool"]["database_url"])
    return world


async def looked_at(world: DoctorWorld, role: str, *unreadable: str) -> dict[str, set[str]]:
    """The checks by result, where these secrets are not there."""
    for name in unreadable:
        (world.directory / name).unlink()
    findings = await examine(load(world.path, {"pool.role": role}))
    checks: dict[str, set[str]] = {}
    for finding in findings:
        checks.setdefault(finding.result.value, set()).add(finding.check)
    return checks


async def test_doctor_of_web_looks_at_folder_books_and_port(roles: DoctorWorld) -> None:
    checks = await looked_at(roles, "web", "redis", "node", "wallet")
    assert checks == {"good": PLACE | {"database", f"port 127.0.0.1:{roles.http_port}"}}
    assert not any(node.calls for node in roles.nodes.values())


async def test_doctor_of_payout_looks_at_wallets_and_no_nodes(roles: DoctorWorld) -> None:
    checks = await looked_at(roles, "payout", "redis")
    assert checks.pop("good") >= PLACE | {"database", f"port 127.0.0.1:{roles.http_port}", "wallet"}
    assert set().union(*checks.values()) <= {"address"}, "whose it is, the world of this test does not say"
    assert {name for name, node in roles.nodes.items() if node.calls} == {"regbtc"}


async def test_doctor_of_a_front_end_looks_at_nodes_and_job_and_neither_books_nor_wallets(roles: DoctorWorld) -> None:
    checks = await looked_at(roles, "stratum", "wallet")
    assert checks["wrong"] == {"redis"}, "there is none"
    ports = {f"port 127.0.0.1:{number}" for number in (roles.http_port, roles.stratum_port)}
    assert checks["good"] >= PLACE | OF_A_NODE | JOB | ports
    assert not {"database", "wallet", "address"} & set().union(*checks.values())


async def test_doctor_of_the_accountant_looks_at_books_and_nodes_and_makes_no_job(roles: DoctorWorld) -> None:
    checks = await looked_at(roles, "accountant", "wallet")
    assert checks["good"] == PLACE | OF_A_NODE | {"database", f"port 127.0.0.1:{roles.http_port}"}
    assert checks["wrong"] == {"redis"} and len(checks) == 2


@pytest.mark.parametrize(
    ("offset_s", "result", "words"),
    [(0, Result.GOOD, "as ours"), (70, Result.WRONG, "70 s behind its peers'"), (-300, Result.WRONG, "ahead of")],
)
async def test_doctor_hears_what_peers_say_of_a_nodes_clock(
    world: DoctorWorld, offset_s: int, result: Result, words: str
) -> None:
    world.nodes["regnmc"].lies["getnetworkinfo"] = lambda info: {**info, "timeoffset": offset_s}
    assert words in picked(await world.examine(), result)["regnmc[0] clock"].found


async def test_doctor_finds_our_own_clock_behind_by_the_newest_block(
    world: DoctorWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node and a pool on one machine: the Date agrees, and the chain does not."""
    world.nodes["regbtc"].lies["getblockheader"] = lambda header: {**header, "time": int(time.time()) + 3 * 3600}
    finding = picked(await world.examine(), Result.WRONG)["regbtc[0] clock"]
    assert "3.0 h after our now" in finding.found and "ours is behind" in finding.remedy


async def test_doctor_judges_a_clock_by_the_date_where_the_node_tells_nothing_else(world: DoctorWorld) -> None:
    def missing(_: Any) -> Any:
        raise LookupError("Method not found")

    node = world.nodes["regnmc"]
    node.lies |= {"getnetworkinfo": missing, "getblockheader": missing}
    node.date = formatdate(time.time() + 2 * node_clock.CLOCK_WRONG_S, usegmt=True)
    assert "ahead of ours" in picked(await world.examine(), Result.WRONG)["regnmc[0] clock"].found


@pytest.mark.parametrize(("name", "result"), [("certificate.pem", Result.GOOD), ("ending.pem", None)])
def test_doctor_tells_how_long_a_ports_certificate_is_good(
    world: DoctorWorld, name: str, result: Result | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(CERTIFICATES / name, tmp_path / "certificate.pem")
    shutil.copy(CERTIFICATES / "key.pem", tmp_path / "key.pem")
    (tmp_path / "key.pem").chmod(0o600)
    files = {"certificate_file": str(tmp_path / "certificate.pem"), "key_file": str(tmp_path / "key.pem")}
    world.values["stratum"]["ports"][0]["tls"] = files
    config = world.config
    (found,) = certificate_findings(config)
    assert result in (None, found.result) and found.found.startswith("until ")
    if result is None:
        end_s = certificate_end_s((CERTIFICATES / name).read_text())
        for now_s, expected in ((end_s - 86_400, Result.NOTE), (end_s + 1, Result.WRONG)):
            monkeypatch.setattr(time, "time", lambda now_s=now_s: now_s)
            assert certificate_findings(config)[0].result is expected
    (tmp_path / "key.pem").write_text("half of a key")
    assert certificate_findings(config)[0].result is Result.WRONG
