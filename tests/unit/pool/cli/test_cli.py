"""The command line: help that teaches, exit codes, one line per refusal, and what each command calls."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
import types
from pathlib import Path
from typing import Any

import pytest

from chains.registry import VERIFIERS
from pool.cli import commands

ROOT = Path(__file__).parents[4]
DEVNET = str(ROOT / "deploy/devnet.yaml")


class Outcome:
    def __init__(self, exit_code: int, out: str, err: str) -> None:
        self.exit_code, self.out, self.err = exit_code, out, err


@pytest.fixture
def pool_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs `pool` with these words in this process."""

    def run(*words: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["pool", *words])
        with pytest.raises(SystemExit) as end:
            commands.main()
        captured = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return Outcome(end.value.code, captured.out, captured.err)

    return run


def put_module(monkeypatch: pytest.MonkeyPatch, name: str, **functions: object) -> None:
    module = types.ModuleType(name)
    for key, function in functions.items():
        setattr(module, key, function)
    monkeypatch.setitem(sys.modules, name, module)


ALL_COMMANDS = [
    (), ("run",), ("check-config",), ("mine",), ("verify",), ("verify", "mm2"), ("verify", "auxpow"), ("devnet",),
    ("devnet", "node"), ("devnet", "demo"), ("init",), ("doctor",),
]  # fmt: skip


@pytest.mark.parametrize("words", ALL_COMMANDS, ids=" ".join)
def test_cli_help_of_every_command_teaches(pool_command: Any, words: tuple[str, ...]) -> None:
    outcome = pool_command(*words, "--help")
    assert (outcome.exit_code, outcome.err) == (0, "")
    assert "Usage: pool" in outcome.out
    if words != ("verify",):
        assert "  pool " in outcome.out.partition("Usage:")[2], "shows an example to type"


def test_cli_without_a_command_shows_the_help_as_wrong_use(pool_command: Any) -> None:
    outcome = pool_command()
    assert outcome.exit_code == 2
    assert "pool devnet demo" in outcome.err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("nonsense",), "pool: No such command 'nonsense'. (see pool --help)"),
        (("run",), "pool run: Missing option '-c' / '--config'. (see pool run --help)"),
        (("check-config",), "pool check-config: Missing option '-c' / '--config'. (see pool check-config --help)"),
        (("run", "--zzz"), "pool run: No such option '--zzz'. (see pool run --help)"),
        (
            ("check-config", "-c", DEVNET, "--set", "http.bind"),
            "pool check-config: --set wants KEY=VALUE, such as --set http.bind=127.0.0.1:8081 "
            "(see pool check-config --help)",
        ),
        (("mine", "127.0.0.1:3333"), "pool mine: Missing option '-u' / '--user'. (see pool mine --help)"),
        (("verify", "mm2"), "pool verify: Missing argument 'FILE'. (see pool verify --help)"),
        (
            ("verify", "mm3", "proof.json"),
            "pool verify: Invalid value for 'KIND': expected one of mm2, auxpow, bk, parallel, not 'mm3' "
            "(see pool verify --help)",
        ),
        (
            ("devnet", "node", "gamma", "-c", DEVNET),
            "pool devnet node: no chain 'gamma' in the configuration, expected one of regbtc, regnmc, regdoge, "
            "alpha, beta, votes, north, south (see pool devnet node --help)",
        ),
    ],
)
def test_cli_wrong_use_is_one_line_and_exit_code_2(pool_command: Any, words: tuple[str, ...], line: str) -> None:
    outcome = pool_command(*words)
    assert (outcome.exit_code, outcome.out, outcome.err) == (2, "", line + "\n")


@pytest.mark.parametrize(
    "url", ["nonsense", "http://127.0.0.1:3333", "stratum+tcp://127.0.0.1", "127.0.0.1:99999", "a:1/path", "[::1"]
)
def test_cli_mine_refuses_a_url_that_is_no_pool(pool_command: Any, url: str) -> None:
    outcome = pool_command("mine", url, "-u", "x")
    assert outcome.exit_code == 2
    assert outcome.err == (
        "pool mine: URL: expected stratum+tcp://HOST:PORT or HOST:PORT (see pool mine --help)\n"
    )


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("stratum+tcp://127.0.0.1:3333", ("127.0.0.1", 3333)),
        ("tcp://pool.example:1/", ("pool.example", 1)),
        ("localhost:3333", ("localhost", 3333)),
        ("[::1]:3333", ("::1", 3333)),
    ],
)
def test_cli_mine_hands_its_options_to_the_miner(
    pool_command: Any, monkeypatch: pytest.MonkeyPatch, url: str, address: tuple[str, int]
) -> None:
    from pool.mining_client import miner

    taken: list[miner.MinerSettings] = []

    def run_miner(settings: miner.MinerSettings) -> int:
        taken.append(settings)
        return 1

    monkeypatch.setattr(miner, "run_miner", run_miner)
    words = ["-u", "ADDRESS.rig", "-p", "d=1", "--algorithm", "scrypt", "--threads", "3"]
    words += ["--shares", "7", "--blocks", "2", "--seconds", "1.5"]
    assert pool_command("mine", url, *words).exit_code == 1
    assert taken == [
        miner.MinerSettings(*address, "ADDRESS.rig", "d=1", "scrypt", 3, shares=7, blocks=2, duration_s=1.5)
    ]


def test_cli_check_config_says_good(pool_command: Any) -> None:
    outcome = pool_command("check-config", "-c", DEVNET)
    assert (outcome.exit_code, outcome.err) == (0, "")
    names = "regnmc, regdoge, alpha, beta, votes, north, south"
    assert outcome.out == f"{DEVNET}: good; parent regbtc, auxiliary chains: {names}\n"


def test_cli_check_config_names_all_mistakes_and_starts_nothing(pool_command: Any, tmp_path: Path) -> None:
    path = tmp_path / "pool.yaml"
    text = Path(DEVNET).read_text().replace("fee_ppm: 10000", "fee_ppm: x").replace("context_name: beta", "x: y")
    path.write_text(text.replace("./data", str(tmp_path / "data")))
    fee_line = text[: text.index("fee_ppm")].count("\n") + 1
    beta_line = text[: text.index("  beta:")].count("\n") + 1
    wrong_line = text[: text.index("    x: y")].count("\n") + 1
    for command in (["check-config"], ["run"], ["devnet", "demo"], ["devnet", "node", "beta"]):
        outcome = pool_command(*command, "-c", str(path), "--set", "http.bind=nowhere")
        assert (outcome.exit_code, outcome.out) == (1, "")
        lines = outcome.err.splitlines()
        assert lines[0] == f"{path}:{fee_line}: pool.fee_ppm: expected a whole number"
        assert lines[1].startswith(f"{path}:{beta_line}: chains.beta.context_name: missing key, expected: ")
        assert lines[2].startswith(f"{path}:{wrong_line}: chains.beta.x: unknown key, expected one of address, ")
        assert lines[3].startswith("--set http.bind: expected HOST:PORT")
        assert len(lines) == 4
    assert list(tmp_path.iterdir()) == [path], "nothing was started or written"


def test_cli_check_config_exits_1_when_the_file_cannot_be_read(pool_command: Any, tmp_path: Path) -> None:
    outcome = pool_command("check-config", "-c", str(tmp_path / "nowhere.yaml"))
    expected = f"{tmp_path}/nowhere.yaml:1: file: expected a readable file: No such file or directory\n"
    assert (outcome.exit_code, outcome.out, outcome.err) == (1, "", expected)


def test_cli_check_config_prints_the_reference(pool_command: Any) -> None:
    outcome = pool_command("check-config", "--reference")
    assert (outcome.exit_code, outcome.err) == (0, "")
    assert outcome.out == (ROOT / "docs/reference/configuration.md").read_text()


def test_cli_run_starts_the_pool_with_the_overridden_config(
    pool_command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Any] = []
    put_module(monkeypatch, "pool.wiring.program", run=lambda config, read: taken.append(config) or 1)
    outcome = pool_command("run", "-c", DEVNET, "--set", "http.bind=127.0.0.1:9090", "--set", "pool.name=other")
    assert outcome.exit_code == 1
    assert (taken[0].http.bind, taken[0].pool.name) == ("127.0.0.1:9090", "other")


@pytest.mark.parametrize(("environment", "has_miner"), [(None, True), ("1", True), ("0", False)])
def test_cli_devnet_demo_turns_its_options_into_overrides(
    pool_command: Any, monkeypatch: pytest.MonkeyPatch, environment: str | None, has_miner: bool
) -> None:
    if environment is None:
        monkeypatch.delenv("MINER", raising=False)
    else:
        monkeypatch.setenv("MINER", environment)
    taken: list[Any] = []

    def demo(config_file: str, overrides: dict[str, str], *, miner: bool) -> int:
        taken.append((config_file, overrides, miner))
        return 0

    put_module(monkeypatch, "pool.devnet.demo.demo", demo=demo)
    words = ("--data-dir", "/tmp/d", "--stratum-port", "3334", "--http-port", "8081", "--set", "pool.fee_ppm=5")
    assert pool_command("devnet", "demo", "-c", DEVNET, *words).exit_code == 0
    overrides = {
        "pool.data_dir": "/tmp/d", "stratum.ports.0.bind": "127.0.0.1:3334", "http.bind": "127.0.0.1:8081",
        "pool.fee_ppm": "5",
    }  # fmt: skip
    assert taken == [(DEVNET, overrides, has_miner)]


def test_cli_devnet_node_runs_the_chains_node(pool_command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Any] = []
    monkeypatch.setattr("pool.devnet.node.serve", lambda settings: taken.append(settings) or 0)
    assert pool_command("devnet", "node", "alpha", "-c", DEVNET, "--block-interval-s", "0").exit_code == 0
    assert (taken[0].name, taken[0].block_interval_s) == ("alpha", None)
    pool_command("devnet", "node", "alpha", "-c", DEVNET)
    assert taken[1].block_interval_s == 6


@pytest.mark.parametrize("kind", ["mm2", "auxpow", "bk", "parallel"])
@pytest.mark.parametrize(
    ("answer", "out", "err"),
    [((0, "ok"), "ok\n", ""), ((1, "high-hash"), "high-hash\n", ""), ((2, "no JSON"), "", "no JSON\n")],
)
def test_cli_verify_prints_the_verdict_and_exits_with_it(
    pool_command: Any, monkeypatch: pytest.MonkeyPatch, kind: str, answer: Any, out: str, err: str
) -> None:
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr("pool.verify.verify_file", lambda *question: asked.append(question) or answer)
    outcome = pool_command("verify", kind, "proof.json")
    assert (outcome.exit_code, outcome.out, outcome.err) == (answer[0], out, err)
    assert asked == [(kind, "proof.json")]


def test_cli_verify_explains_every_kind(pool_command: Any) -> None:
    out = pool_command("verify", "--help").out
    assert {kind for kind in VERIFIERS if f"\n    {kind} " in out} == set(VERIFIERS)


def test_cli_starts_fast_by_importing_nothing_heavy() -> None:
    code = "import sys, json, pool.cli.commands; print(json.dumps(sorted(sys.modules)))"
    modules = set(json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout))
    heavy = {"twisted", "sqlalchemy", "aiohttp", "pydantic", "ruamel.yaml", "uvloop", "rich", "embit", "asyncio"}
    assert not modules & heavy


def test_cli_is_the_module_and_the_console_script() -> None:
    for command in ([sys.executable, "-m", "pool"], [str(Path(sys.executable).parent / "pool")]):
        done = subprocess.run([*command, "mine", "x", "-u", "y"], capture_output=True, text=True)
        assert done.returncode == 2
        assert done.stderr.startswith("pool mine: URL: expected ")


def test_cli_tells_the_installed_version(pool_command: Any) -> None:
    project = tomllib.loads((Path(__file__).parents[4] / "pyproject.toml").read_text())["project"]
    assert pool_command("--version").out == f"parapool {project['version']}\n"


def test_cli_ends_quietly_when_nobody_reads_its_output() -> None:
    done = subprocess.run(
        f"{sys.executable} -m pool check-config --reference | true", shell=True, capture_output=True, text=True
    )
    assert done.stderr == ""
