"""Completion with the tab key: the scripts, and what a real bash offers after reading its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from pool.cli.commands import commands

BIN = Path(sys.executable).parent
# Asks bash's own completion of `pool` as the tab key does, without a terminal, for the words of a line.
ASK = """
eval "$(pool completion bash)"
complete -p pool
COMP_WORDS=(pool "$@")
COMP_CWORD=$#
COMPREPLY=()
compopt() { printf 'compopt %s %s\\n' "$1" "$2"; }
_pool_completion pool
printf '%s\\n' "${COMPREPLY[@]}"
"""


def offered(*words: str) -> list[str]:
    """What bash offers for the last word; `compopt -o default` where it is to complete files."""
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    asked = subprocess.run(
        ["bash", "--norc", "-c", ASK, "bash", *words], env=environment, capture_output=True, text=True, timeout=60
    )
    assert (asked.returncode, asked.stderr) == (0, "")
    registered, *offers = asked.stdout.splitlines()
    assert registered == "complete -o nosort -F _pool_completion pool"
    return [offer for offer in offers if offer]


@pytest.mark.parametrize(
    ("words", "offers"),
    [
        (("check",), {"check-config"}),
        (("ledger", "a"), {"audit", "absorb"}),
        (("run", "--ro"), {"--role"}),
        (("run", "--role", "s"), {"stratum"}),
        (("completion", ""), {"bash", "zsh", "fish"}),
        (("run", "-c", "pool.y"), {"compopt -o default"}),
        (("verify", "mm2", ""), {"compopt -o default"}),
        (("run", "--role", "x"), set()),
    ],
    ids=" ".join,
)
def test_cli_completion_in_a_real_bash(words: tuple[str, ...], offers: set[str]) -> None:
    assert set(offered(*words)) == offers


def test_cli_completion_of_bash_completes_files_itself(tmp_path: Path) -> None:
    """The command is completed by its path, too, as it is typed in a clone."""
    script = CliRunner().invoke(commands, ["completion", "bash"]).output
    told = subprocess.run(
        ["bash", "--norc", "-c", script + "\ncompgen -A function; complete -p pool"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert told.stdout.splitlines() == [
        "_pool_completion", "_pool_completion_setup", "complete -o nosort -F _pool_completion pool"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("shell", "first", "registers"),
    [
        ("bash", "_pool_completion() {", "complete -o nosort -F _pool_completion pool"),
        ("zsh", "#compdef pool", "compdef _pool_completion pool"),
        ("fish", "function _pool_completion;", "complete --no-files --command pool"),
    ],
)
def test_cli_completion_scripts_of_all_shells(shell: str, first: str, registers: str) -> None:
    result = CliRunner().invoke(commands, ["completion", shell])
    assert result.exit_code == 0
    assert result.output.startswith(first)
    assert registers in result.output
    assert f"_POOL_COMPLETE={shell}_complete" in result.output


def test_cli_completion_of_another_shell_is_wrong_use() -> None:
    result = CliRunner().invoke(commands, ["completion", "tcsh"])
    assert result.exit_code == 2
    assert "'bash', 'zsh', 'fish'" in result.output
