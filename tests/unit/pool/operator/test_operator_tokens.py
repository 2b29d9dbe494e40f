"""The file of tokens: what it may hold, who may read it, and that it is made for who has none."""

from __future__ import annotations

from pathlib import Path

import pytest

from pool.data_dir import StartError
from pool.operator.tokens import Tokens, make_tokens, read_tokens

GOOD = "0123456789abcdef" * 4


def _file(tmp_path: Path, text: str, mode: int = 0o600) -> Path:
    path = tmp_path / "tokens"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_operator_tokens_have_names(tmp_path: Path) -> None:
    path = _file(tmp_path, f"# ours\n\n{GOOD}\nanna {GOOD[::-1]}\n  ben@x\t{'b' * 32}  \n")
    found = read_tokens(path)
    assert found == {"operator": GOOD, "anna": GOOD[::-1], "ben@x": "b" * 32}
    tokens = Tokens(found)
    assert [tokens.holder(text) for text in (GOOD, GOOD[::-1], "b" * 32)] == ["operator", "anna", "ben@x"]
    assert [tokens.holder(text) for text in ("", "anna", GOOD[:-1], GOOD + "0", "\udcff")] == [None] * 5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected from 1 to 64 of them"),
        ("# nothing\n", "expected from 1 to 64 of them"),
        ("short\n", ":1: expected TOKEN or NAME TOKEN"),
        (f"{GOOD}\n{'x' * 31}\n", ":2: expected TOKEN or NAME TOKEN"),
        (f"anna {GOOD} more\n", ":1: expected TOKEN or NAME TOKEN"),
        (f"an,na {GOOD}\n", ":1: expected TOKEN or NAME TOKEN"),
        (f"{GOOD[:-1]}ä\n", ":1: expected TOKEN or NAME TOKEN"),
        (f"anna {GOOD}\nanna {GOOD}\n", ":2: there is a token of anna already"),
        ("".join(f"n{number} {GOOD}\n" for number in range(65)), "expected from 1 to 64 of them"),
    ],
)
def test_operator_tokens_name_their_mistakes_and_no_token(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(StartError) as refusal:
        read_tokens(_file(tmp_path, text))
    assert words in str(refusal.value) and GOOD not in str(refusal.value)


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o620, 0o602])
def test_operator_tokens_that_others_can_reach_are_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(StartError, match="chmod "):
        read_tokens(_file(tmp_path, GOOD, mode))


def test_operator_tokens_are_made_once(tmp_path: Path) -> None:
    path = tmp_path / "operator.token"
    make_tokens(path)
    first = read_tokens(path)
    assert len(first["operator"]) == 64 and path.stat().st_mode & 0o777 == 0o600
    make_tokens(path)
    assert read_tokens(path) == first and [entry.name for entry in tmp_path.iterdir()] == ["operator.token"]
