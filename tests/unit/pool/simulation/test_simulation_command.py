"""`pool simulate` as it is typed: the three sources of shares, the table, the picture, and its refusals."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from pool import progress
from pool.cli.simulate import simulate
from pool.shares.record import AccountKey, Route
from pool.shares.share_log import ShareLog

QUICK = ("--runs", "5", "--share-count", "300", "--miners", "3", "--blocks", "10")


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(simulate, arguments)
    return result.exit_code, result.output


async def write_log(folder: Path) -> None:
    """Ten shares of two miners in another scheme each; the last one solved a block of alpha."""
    log = ShareLog(
        folder, loop=asyncio.get_running_loop(), on_durable=lambda sequence: None, on_error=lambda error: None,
        interval_s=0.0,
    )  # fmt: skip
    for number in range(10):
        name = "anna" if number % 2 else "bert"
        route = Route(name.encode().ljust(16), name, {"alpha": AccountKey("miner", name, f"{name}-alpha")})
        solved = (("alpha", bytes(32)),) if number == 9 else ()
        word = "alpha:pps:1000:100:0" if number % 2 else "alpha"
        log.append(route, "rig", 1000 * number, 10, ("regbtc", word), bytes([number]) * 32, False, solved)
    await asyncio.get_running_loop().run_in_executor(None, log.close)


def test_simulate_compares_made_up_miners_and_draws_them(tmp_path: Path) -> None:
    picture = tmp_path / "schemes.png"
    code, output = run(*QUICK, "--schemes", "pplns,pps", "--plot", str(picture))
    assert code == 0
    assert output.startswith("shares=300 miners=3 weight=300000000 solves=0 blocks=10 work=30000000 runs=5 seed=1")
    assert "pplns mean" in output and "pps mean" in output and "miner-03" in output
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_simulate_gives_the_same_table_for_the_same_seed() -> None:
    assert run(*QUICK, "--seed", "9") == run(*QUICK, "--seed", "9")
    assert run(*QUICK, "--seed", "9") != run(*QUICK, "--seed", "8")


async def test_simulate_replays_a_share_log(tmp_path: Path) -> None:
    await write_log(tmp_path / "shares")
    told = ("--data-dir", str(tmp_path), "--chain", "alpha", "--runs", "1", "--reward", "1000")
    code, output = await asyncio.to_thread(run, *told, "--schemes", "solo,fpps")
    assert code == 0, output
    assert "shares=10 miners=2 weight=100 solves=1 blocks=1 work=100" in output
    anna = next(line.split() for line in output.splitlines() if line.startswith("anna-alpha"))
    assert anna[2] == "1000" and anna[5] == "500", "solo: the recorded block; fpps: half of the work"
    code, output = await asyncio.to_thread(run, "--data-dir", str(tmp_path), "--chain", "beta")
    assert code == 1 and "holds no shares of beta" in output


def test_simulate_makes_shares_of_an_exported_block(tmp_path: Path) -> None:
    export = tmp_path / "split.json"
    rows = [{"address": "a", "held": False, "weight": "3000"}, {"address": "b", "held": True, "weight": "1000"}]
    export.write_text(json.dumps({"credits": rows}))
    code, output = run("--shares", str(export), "--runs", "2")
    assert code == 0
    assert "b (held)" in output and "75.00%" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--schemes", "pplns,prop"), "expected different names out of pplns, solo, pps, fpps"),
        (("--schemes", "pps,pps"), "expected different names"),
        (("--factor", "1/0"), "--factor: expected a number over 0"),
        (("--fees", "6", "--reward", "5"), "--fees: expected at most the reward"),
        (("--shares", "/nowhere/split.json"), "/nowhere/split.json is no export of a block"),
        (("--data-dir", "/nowhere"), "/nowhere/shares holds no segment of a share log"),
        (("--shares", "a", "--data-dir", "b"), "expected --shares or --data-dir, not both"),
        ((*QUICK, "--plot", "/nowhere/x.png"), "No such file"),
        ((*QUICK, "--plot", "x.nonsense"), "is not supported"),
    ],
)
def test_simulate_says_what_it_cannot_do(arguments: tuple[str, ...], message: str) -> None:
    code, output = run(*arguments)
    assert code != 0
    assert message in output


def test_simulate_names_what_to_install_for_plots(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, output = run(*QUICK, "--plot", str(tmp_path / "x.png"))
    assert code == 1
    assert "pip install parapool[plots]" in output


def test_simulate_says_how_far_it_is_beside_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "QUIET_S", 60.0)
    code, output = run(*QUICK)
    monkeypatch.setattr(progress, "QUIET_S", 0.0)
    monkeypatch.setattr(progress, "PIPE_S", 0.0)
    result = CliRunner().invoke(simulate, QUICK)
    assert (result.exit_code, result.stdout) == (code, output)
    assert "simulation: 4 of 5 draws (80 %), " in result.stderr
    assert "simulation: 4 of 5 runs of pps (80 %), " in result.stderr
