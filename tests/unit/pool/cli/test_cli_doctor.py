"""`pool doctor` as it is typed: the table, the JSON, the exit codes, and nothing of the parts' own logs."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from config_file import GOOD

from pool.cli.commands import commands
from pool.doctor import doctor
from pool.doctor.finding import Finding, good, note, wrong

FINDINGS = [
    good("regbtc[0]", "answers", "http://127.0.0.1:19501"),
    note("regbtc[0]", "peers", "1", "Let the node find more peers."),
]
BROKEN = [*FINDINGS, wrong("alpha[0]", "login", "refused [red]HTTP 401[/red]", "Set chains.alpha.nodes.0.user.")]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    path = tmp_path / "pool.yaml"
    path.write_text(GOOD)

    def run(findings: list[Finding], *words: str) -> Any:
        async def examine(config: Any, tell: Any) -> list[Finding]:
            logging.getLogger("parapool.node").error("this must not be seen")
            tell("looking at regbtc[0]")
            return findings

        monkeypatch.setattr(doctor, "examine", examine)
        return CliRunner().invoke(commands, ["doctor", "-c", str(path), *words])

    return run


def test_cli_doctor_prints_a_table_and_ends_with_0_when_nothing_is_wrong(run: Any) -> None:
    outcome = run(FINDINGS)
    assert outcome.exit_code == 0
    lines = outcome.output.splitlines()
    assert [line.split()[:3] for line in lines if "regbtc[0]" in line] == [
        ["regbtc[0]", "answers", "good"],
        ["regbtc[0]", "peers", "note"],
    ]
    assert lines[-1] == "1 good, 1 note"
    assert "this must not be seen" not in outcome.output + outcome.stderr


def test_cli_doctor_names_what_is_wrong_once_more_below_and_ends_with_1(run: Any) -> None:
    outcome = run(BROKEN)
    assert outcome.exit_code == 1
    assert outcome.output.splitlines()[-1] == "1 good, 1 note, 1 wrong: alpha[0] login"
    assert "Set chains.alpha.nodes.0.user." in outcome.output
    assert "[red]HTTP 401[/red]" in outcome.output, "a node's words are shown as they are"


def test_cli_doctor_lets_no_node_write_to_the_terminal(run: Any) -> None:
    outcome = run([wrong("alpha[0]", "own rules", "\x1b[2Jwiped\nregbtc good", "x")])
    assert "\x1b" not in outcome.output and "wiped regbtc good" in outcome.output


def test_cli_doctor_gives_programs_json(run: Any) -> None:
    outcome = run(BROKEN, "--json")
    answer = json.loads(outcome.stdout)
    assert outcome.exit_code == 1 and answer["good"] is False
    assert answer["findings"][1] == {
        "subject": "regbtc[0]", "check": "peers", "result": "note", "found": "1",
        "remedy": "Let the node find more peers.",
    }  # fmt: skip
    assert json.loads(run(FINDINGS, "--json").stdout)["good"] is True


def test_cli_doctor_is_wrong_use_without_a_file_and_no_with_a_bad_one(run: Any, tmp_path: Path) -> None:
    assert CliRunner().invoke(commands, ["doctor"]).exit_code == 2
    bad = tmp_path / "bad.yaml"
    bad.write_text("pool: 1\n")
    assert CliRunner().invoke(commands, ["doctor", "-c", str(bad)]).exit_code == 1


def test_cli_doctor_leaves_the_logs_as_they_were(run: Any) -> None:
    area = logging.getLogger("parapool")
    before = area.propagate, area.level, list(area.handlers)
    run(FINDINGS)
    assert (area.propagate, area.level, list(area.handlers)) == before
